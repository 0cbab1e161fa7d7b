"""Check a training set in memory: arrays, tensors, a DataLoader; return it as examples.

The traps avoided: labels that do not belong to the images or to the network, which index the logits
of other classes without an error, and images with another normalisation than in training.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gentool.common.errors import UsageError
from gentool.data.examples import Examples

Arrays = Tensor | np.ndarray | Sequence
Batches = DataLoader | Dataset | Iterable[tuple[Arrays, Arrays]]
Numbers = float | Sequence[float]
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, of images in [0, 1]."""
ImageShape = tuple[int, int, int]


def example_batches(
    images: Arrays | Batches,
    labels: Arrays | None,
    input_shape: ImageShape,
    classes: int,
    normalisation: Normalisation | None = None,
) -> Iterator[Examples]:
    """Yield the examples of a training set on the CPU, a batch at a time as it comes.

    `images` is an array with `labels` beside it, or a DataLoader, a data set or another iterable of
    pairs of both. `classes` is the number of logits. As everywhere in gentool, images of uint8 are
    scaled to [0, 1] and normalised, images of floats are taken as they are.

    Raise UsageError, naming the remedy, for images of another shape or type, for labels of another
    number, type or range, and for images of uint8 without a normalisation or floats with one.
    """
    pairs: Iterable = _pairs(images) if labels is None else [(images, labels)]
    mean, std = normalisation or ((0.0,) * input_shape[0], (1.0,) * input_shape[0])
    mean, std = (
        torch.tensor(part, dtype=torch.float64).mul_(255).reshape(-1, 1, 1) for part in (mean, std)
    )
    count = 0
    for pair in pairs:
        part, labels_of_part = _checked(*_two(pair), input_shape, classes)
        _check_normalised(part, normalisation)
        count += len(part)
        if len(part):
            yield Examples(part, labels_of_part, mean, std)
    if not count:
        raise UsageError("there are no images; leave out images and labels to measure the weights")


def joined(parts: Iterable[Examples]) -> Examples:
    """Return examples that come in batches as one."""
    parts = list(parts)
    images, labels = (torch.cat([getattr(p, name) for p in parts]) for name in ("images", "labels"))
    return replace(parts[0], images=images, labels=labels)


def checked_normalisation(
    mean: Numbers | None, std: Numbers | None, channels: int
) -> Normalisation | None:
    """Return mean and deviation of each channel, None if neither is given.

    One number is that of all channels. Raise UsageError if one is missing, of another number of
    channels or out of range.
    """
    if (mean is None) != (std is None):
        raise UsageError("mean and std go together; give both or neither")
    if mean is None:
        return None
    numbers = []
    for name, values in (("mean", mean), ("std", std)):
        try:
            row = tuple(float(value) for value in np.ravel(values))
        except (TypeError, ValueError):
            row = ()
        row = row * channels if len(row) == 1 else row
        if len(row) != channels or not all(map(math.isfinite, row)):
            raise UsageError(
                f"{name} is {values!r}; give one number for each of {channels} channels"
            )
        numbers.append(row)
    if min(numbers[1]) <= 0:
        raise UsageError(f"std is {std!r}; standard deviations are positive")
    return numbers[0], numbers[1]


def shape_of_images(images: Arrays | Batches | None) -> ImageShape:
    """Return (channels, height, width) of images; raise UsageError if only the user can tell."""
    if isinstance(images, Dataset):
        images = images[0][0][None] if isinstance(images[0][0], Tensor | np.ndarray) else None
    elif isinstance(images, DataLoader):
        images, _ = _two(next(iter(images), (None, None)))
    shape = tuple(getattr(images, "shape", ()))
    if len(shape) != 4:
        raise UsageError("the shape of the images is unknown; give input_shape, as (3, 32, 32)")
    return tuple(map(int, shape[1:]))


def check_both(images: Arrays | Batches | None, labels: Arrays | None) -> None:
    """Raise UsageError if images are without labels, or labels without images."""
    is_array = isinstance(images, Tensor | np.ndarray)
    if is_array if labels is None else images is None:
        raise UsageError("images and labels go together; give both or neither")
    if labels is not None and not is_array and not isinstance(images, list | tuple):
        raise UsageError("a DataLoader or a data set holds its labels; leave out labels")


def _pairs(images: Batches) -> Iterable:
    """Return the batches of a DataLoader, a data set or another iterable."""
    if isinstance(images, DataLoader):
        if images.drop_last:
            raise UsageError("the DataLoader drops its last batch; build it with drop_last=False")
        return images
    if isinstance(images, Dataset):
        return DataLoader(images, batch_size=250)
    if not isinstance(images, Iterable):
        raise UsageError(
            f"images are a {type(images).__name__}; give a tensor, a NumPy array or a DataLoader"
        )
    return images


def _two(pair: object) -> tuple[Arrays, Arrays]:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise UsageError("a batch is not a pair of images and labels; yield (images, labels)")
    return pair[0], pair[1]


def _checked(
    images: Arrays, labels: Arrays, input_shape: tuple[int, int, int], classes: int
) -> tuple[Tensor, Tensor]:
    """Return images and labels as tensors of the right shapes; raise UsageError if they are not."""
    images, labels = (
        _tensor(array, name) for array, name in ((images, "images"), (labels, "labels"))
    )
    shape = tuple(images.shape)
    is_grey = input_shape[0] == 1 and shape[1:] == input_shape[1:]
    if is_grey or len(shape) == 2:
        wanted = (len(images), *input_shape)
        images = images.reshape(wanted) if images.numel() == math.prod(wanted) else images
    if tuple(images.shape[1:]) != input_shape or images.dim() != 4:
        channels, *size = input_shape
        remedy = "name their shape as input_shape"
        if shape[1:] == (*size, channels):
            remedy = "channels come first: transpose to (m, channels, height, width)"
        raise UsageError(
            f"images have shape {shape}, but the network takes (m, {channels}, {size[0]}, "
            f"{size[1]}); {remedy}"
        )
    if not bool(images.isfinite().all()):
        raise UsageError("images have values that are NaN or infinite; remove those images")
    return images, _checked_labels(labels, len(images), classes)


def _check_normalised(images: Tensor, normalisation: Normalisation | None) -> None:
    """Raise UsageError unless it is known how the network takes the images."""
    if images.is_floating_point():
        if normalisation is not None:
            raise UsageError("images of floats are not normalised; leave out mean and std")
    elif images.dtype != torch.uint8:
        raise UsageError(f"images are {_dtype(images)}; give floats as the network takes them")
    elif normalisation is None:
        raise UsageError(
            f"images are {_dtype(images)}; give floats, scaled and normalised as in training, or "
            "mean and std of the images in [0, 1] (0 and 1 if they were only scaled)"
        )


def _checked_labels(labels: Tensor, count: int, classes: int) -> Tensor:
    """Return labels (m,), int64; raise UsageError unless each image has one of the classes."""
    if labels.dim() == 2 and labels.shape[1] == classes > 1:
        is_one = labels == 1
        if not bool((is_one.sum(1) == 1).all() and (labels[~is_one] == 0).all()):
            raise UsageError("labels of two dimensions are not one-hot; give one whole number each")
        labels = is_one.int().argmax(1)
    if labels.shape not in ((count,), (count, 1)):
        raise UsageError(
            f"labels have shape {tuple(labels.shape)}, but there are {count} images; give one "
            "label for each"
        )
    labels = labels.reshape(-1)
    if labels.is_complex() or not bool((labels == labels.long()).all()):
        raise UsageError(f"labels are {_dtype(labels)}; give whole numbers from 0")
    labels = labels.long()
    outside = labels[(labels < 0) | (labels >= max(2, classes))]
    if len(outside):
        label, last = int(outside[0]), max(2, classes) - 1
        raise UsageError(
            f"label {label} is not from 0 to {last}, as the network has {classes} outputs; number "
            "the classes from 0"
        )
    return labels


def _tensor(array: Arrays, name: str) -> Tensor:
    """Return an array as a tensor on the CPU without its graph; raise UsageError if it is none."""
    try:
        if isinstance(array, Tensor):
            return array.detach().cpu()
        return torch.from_numpy(np.array(array))  # a copy, as views may have negative strides
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{name} are no array of numbers ({reason})") from error


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
