"""Try the usual normalisations of images on a network that does not fit its training set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gentool.data.examples import Examples
from gentool.networks.class_logits import class_logits
from gentool.records.recipe import Recipe

NUMBERS = 2_000_000  # pixels to try on: some hundred small images, a few large ones
FEWEST, MOST = 40, 500
NUMBERS_AT_ONCE = 2**20  # pixels; the first layers of a VGG make some twenty numbers of each
BY_CHANCE = 4  # wrong images, fewer or more, tell nothing
LOWER = 0.8  # a normalisation helps if it lowers the error to this fraction of it, or less

_GREY = {
    "MNIST's": ((0.1307,), (0.3081,)),
    "Fashion-MNIST's": ((0.2860,), (0.3530,)),
}
_COLOUR = {
    "CIFAR-10's": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR-10's, another": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "CIFAR-100's": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, of images in [0, 1]."""


@dataclass(frozen=True)
class Trial:
    """Hold the normalisation with the lowest error on some images, and the error as read."""

    normalisation: Normalisation
    error: float
    error_as_read: float
    images: int
    is_option: bool  # whether --mean and --std can say it: images of floats are used as they are

    @property
    def helps(self) -> bool:
        """Return whether the error is lower than as read by more than chance."""
        return helps(self.error, self.error_as_read, self.images)

    @property
    def words(self) -> str:
        """Return the error with this normalisation, named as options to copy."""
        mean, std = (",".join(f"{x:.6g}" for x in part) for part in self.normalisation)
        on = f"{100 * self.error:.1f} % (of {self.images} tried)"
        if self.is_option:
            return f"with --mean {mean} --std {std} it is {on}"
        return f"with the images normalised by mean {mean} and deviation {std} it is {on}"


def best_normalisation(
    examples: Examples, recipe: Recipe, logits_of: Callable[[Tensor], Tensor]
) -> Trial | None:
    """Return the usual normalisation with the lowest error on a few hundred images.

    The loss decides between equal errors. Return None if there is none to try.
    """
    few = some_of(examples)
    as_read = judge(few, logits_of)
    trials = []
    for normalisation in _candidates(examples, recipe):
        error, loss = judge(_normalised_by(few, normalisation), logits_of)
        trials.append((error, loss, normalisation))
    if not trials:
        return None
    error, _, normalisation = min(trials, key=lambda trial: trial[:2])
    is_option = examples.images.dtype == torch.uint8
    return Trial(normalisation, error, as_read[0], len(few), is_option)


def some_of(examples: Examples) -> Examples:
    """Return a few hundred of the examples, evenly spaced; fewer if they are large."""
    pixels = examples.images[0].numel()
    count = min(len(examples), MOST, max(FEWEST, NUMBERS // pixels))
    chosen = torch.linspace(0, len(examples) - 1, count, device=examples.labels.device).long()
    return replace(examples, images=examples.images[chosen], labels=examples.labels[chosen])


def helps(error: float, error_as_read: float, images: int) -> bool:
    """Return whether an error on so many images is lower than as read by more than chance."""
    return error <= LOWER * error_as_read and (error_as_read - error) * images >= BY_CHANCE


def _candidates(examples: Examples, recipe: Recipe) -> Iterator[Normalisation]:
    """Yield the usual normalisations but the one that was used."""
    channels = examples.images.shape[1]
    one = (1.0,) * channels
    usual = [((0.0,) * channels, one), ((0.5,) * channels, (0.5,) * channels)]
    usual += {1: _GREY, 3: _COLOUR}.get(channels, {}).values()
    if examples.images.dtype == torch.uint8:
        usual += [_of(examples.images), ((0.0,) * channels, (1 / 255,) * channels)]
    for normalisation in usual:
        if normalisation != (recipe.mean, recipe.std):
            yield normalisation


def _of(images: Tensor) -> Normalisation:
    """Return mean and deviation of the images themselves, of each channel."""
    means, deviations = [], []
    for channel in images.transpose(0, 1):
        numbers = channel.flatten().bincount(minlength=256).double().cpu()
        values = torch.arange(256, dtype=torch.float64) / 255
        mean = (numbers @ values) / numbers.sum()
        means.append(round(mean.item(), 6))
        variance = (numbers @ (values - mean) ** 2) / numbers.sum()
        deviations.append(round(variance.sqrt().item(), 6) or 1.0)
    return tuple(means), tuple(deviations)


def _normalised_by(examples: Examples, normalisation: Normalisation) -> Examples:
    """Return the examples normalised in another way; images of floats for the first time."""
    mean, std = (torch.tensor(part).double().reshape(-1, 1, 1) for part in normalisation)
    mean, std = mean.to(examples.labels.device), std.to(examples.labels.device)
    if examples.images.dtype == torch.uint8:
        return replace(examples, mean=255 * mean, std=255 * std)
    scale = 255.0 if float(examples.images.max()) > 16 else 1.0  # pixels of 0 to 255
    return replace(examples, images=(examples.images / scale - mean) / std)


def _batch(examples: Examples) -> int:
    """Return how many images to judge at once: 100 small ones, a few large ones for the memory."""
    return max(1, min(100, NUMBERS_AT_ONCE // examples.images[0].numel()))


def judge(examples: Examples, logits_of: Callable[[Tensor], Tensor]) -> tuple[float, float]:
    """Return error and mean loss over the examples; the loss is infinite if it is NaN."""
    wrong, loss = 0, 0.0
    with torch.inference_mode():
        for images, labels in examples.batches(_batch(examples), torch.float64):
            logits = class_logits(logits_of(images))
            wrong += int((logits.argmax(dim=1) != labels).sum())
            loss += float(cross_entropy(logits, labels, reduction="sum"))
    return wrong / len(examples), loss if loss == loss else float("inf")
