"""Draw a subset of the training images, random labels and a confusion set from one seed.

NumPy's RandomState is used on purpose: NumPy's compatibility policy freezes its streams, so that
any later NumPy repeats a draw. Every draw is a prefix of one permutation of the whole training set,
and the random label of an image depends on the seed and the image alone: smaller draws with the
same seed are contained in larger ones, labels included.
"""

import hashlib
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from gentool.common.errors import GentoolError
from gentool.data.dataset import DataSet

_ORDER, _LABELS = 0, 1  # the random streams of a seed
_FRACTIONS = {"true": Fraction(0), "random": Fraction(1)}


@dataclass(frozen=True)
class LabelledImages:
    """Hold drawn training images with their labels for training."""

    indices: Tensor  # (n,) in the training set
    images: Tensor  # (n, C, H, W) as stored
    labels: Tensor  # (n,)
    true_labels: Tensor  # (n,)


@dataclass(frozen=True)
class TrainingDraw:
    """Hold a subset and its confusion set, which may be empty."""

    subset: LabelledImages
    confusion: LabelledImages

    @property
    def digest(self) -> str:
        """SHA-256 over indices, labels and true labels of the subset, then of the confusion set."""
        digest = hashlib.sha256()
        for part in (self.subset, self.confusion):
            for numbers in (part.indices, part.labels, part.true_labels):
                digest.update(len(numbers).to_bytes(8, "little"))
                digest.update(numbers.numpy().astype("<i8").tobytes())
        return digest.hexdigest()


def draw_subset(
    data: DataSet,
    *,
    labels: str | float,
    subset: int | None,
    confusion: int,
    seed: int,
    takes_first: bool = False,
) -> TrainingDraw:
    """Draw `subset` training images (None: all) and `confusion` further ones.

    They are drawn at random, or are the first ones in the order of the data if `takes_first`.

    `labels` is "true", "random", or the fraction of the subset whose labels are random; a random
    label is uniform over all classes and may be the true one. Confusion images always have random
    labels.

    Raise GentoolError if the training set is too small for both.
    """
    available = len(data.train_labels)
    size = available if subset is None else subset
    if size > available:
        option = "--first" if takes_first else "--subset"
        raise GentoolError(
            f"{option} is {size}, but the training set has {available} images; ask for fewer"
        )
    if size + confusion > available:
        raise GentoolError(
            f"--confusion is {confusion}, but beside the subset of {size} the training set has "
            f"only {available - size} images; lower --subset or --confusion"
        )
    order = np.arange(available)
    if not takes_first:
        order = np.random.RandomState([seed, _ORDER]).permutation(available)
    random_labels = np.random.RandomState([seed, _LABELS]).randint(data.classes, size=available)
    is_random = np.concatenate([_is_random(labels, size), np.ones(confusion, dtype=bool)])

    indices = torch.from_numpy(order[: size + confusion])
    true_labels = data.train_labels[indices]
    drawn_labels = torch.from_numpy(random_labels)[indices]
    training_labels = torch.where(torch.from_numpy(is_random), drawn_labels, true_labels)

    def part(rows: slice) -> LabelledImages:
        images = data.train_images[indices[rows]]
        return LabelledImages(indices[rows], images, training_labels[rows], true_labels[rows])

    return TrainingDraw(part(slice(size)), part(slice(size, None)))


def _is_random(labels: str | float, size: int) -> np.ndarray:
    """Return which of the drawn images have random labels: round(size * fraction), evenly spaced.

    The images are in random order already; even spacing makes the count right for every prefix
    too. The trap avoided: in binary 100 * 0.29 is less than 29, hence fractions.
    """
    fraction = _FRACTIONS[labels] if isinstance(labels, str) else Fraction(str(labels))
    steps = np.array([int(i * fraction + Fraction(1, 2)) for i in range(size + 1)])
    return np.diff(steps) > 0
