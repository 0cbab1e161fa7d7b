"""Draws: a subset of the training images, random labels, a confusion set, all fixed by one seed.

NumPy's RandomState is used on purpose: its streams are frozen by NumPy's compatibility policy, so
that a draw can be drawn again with any later NumPy. Every draw is a prefix of one permutation of
the whole training set, and the random label of an image depends on the seed and the image alone:
smaller draws with the same seed are contained in larger ones, labels included.
"""

import hashlib
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from gentool.common.errors import GentoolError
from gentool.data.dataset import DataSet

_ORDER, _LABELS = 0, 1  # the streams of a seed
_FRACTIONS = {"true": Fraction(0), "random": Fraction(1)}


@dataclass(frozen=True)
class LabelledImages:
    """Training images that were drawn, with the labels that training is given."""

    indices: Tensor  # (n,) into the training set
    images: Tensor  # (n, C, H, W) as stored
    labels: Tensor  # (n,)
    true_labels: Tensor  # (n,)


@dataclass(frozen=True)
class TrainingDraw:
    """A subset, its confusion set (which may be empty), and the proof of both."""

    subset: LabelledImages
    confusion: LabelledImages

    @property
    def digest(self) -> str:
        """SHA-256 over indices, given and true labels of the subset, then of the confusion set."""
        digest = hashlib.sha256()
        for part in (self.subset, self.confusion):
            for numbers in (part.indices, part.labels, part.true_labels):
                digest.update(len(numbers).to_bytes(8, "little"))
                digest.update(numbers.numpy().astype("<i8").tobytes())
        return digest.hexdigest()


def draw_subset(
    data: DataSet, *, labels: str | float, subset: int | None, confusion: int, seed: int
) -> TrainingDraw:
    """Draw `subset` training images (None: all) and `confusion` further ones.

    `labels` is "true", "random", or the fraction of the subset whose labels are random; a random
    label is uniform over all classes and may be the true one. Confusion images have random labels
    always.

    Raises GentoolError where the training set is too small for both.
    """
    available = len(data.train_labels)
    size = available if subset is None else subset
    if size > available:
        raise GentoolError(
            f"--subset is {size}, but the training set has {available} images; ask for fewer"
        )
    if size + confusion > available:
        raise GentoolError(
            f"--confusion is {confusion}, but beside the subset of {size} the training set has "
            f"only {available - size} images; lower --subset or --confusion"
        )
    order = np.random.RandomState([seed, _ORDER]).permutation(available)
    random_labels = np.random.RandomState([seed, _LABELS]).randint(data.classes, size=available)
    is_random = np.concatenate([_is_random(labels, size), np.ones(confusion, dtype=bool)])

    indices = torch.from_numpy(order[: size + confusion])
    true_labels = data.train_labels[indices]
    drawn_labels = torch.from_numpy(random_labels)[indices]
    given = torch.where(torch.from_numpy(is_random), drawn_labels, true_labels)

    def part(where: slice) -> LabelledImages:
        images = data.train_images[indices[where]]
        return LabelledImages(indices[where], images, given[where], true_labels[where])

    return TrainingDraw(part(slice(size)), part(slice(size, None)))


def _is_random(labels: str | float, size: int) -> np.ndarray:
    """Which of the drawn images have random labels: round(size * fraction), at even distances.

    The images are in random order already; even distances make the count right for every prefix
    too. In fractions, for 100 * 0.29 is less than 29 in binary.
    """
    fraction = _FRACTIONS[labels] if isinstance(labels, str) else Fraction(str(labels))
    steps = np.array([int(i * fraction + Fraction(1, 2)) for i in range(size + 1)])
    return np.diff(steps) > 0
