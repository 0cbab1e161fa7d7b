"""Check the training set that is passed to `gentool.measure`, and yield it in batches.

The trap avoided: labels that do not belong to the images or to the network, which index the logits
of other classes without an error.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gentool.common.errors import UsageError

Arrays = Tensor | np.ndarray | Sequence
Batches = DataLoader | Dataset | Iterable[tuple[Arrays, Arrays]]


def batches(
    images: Arrays | Batches,
    labels: Arrays | None,
    input_shape: tuple[int, int, int],
    classes: int,
    size: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images (b, C, H, W), float64, with labels (b,), at most `size` at a time, on the CPU.

    `images` is an array with `labels` beside it, or a DataLoader, a data set or another iterable of
    pairs of both. `classes` is the number of logits. Raise UsageError, naming the remedy, for
    images of another shape or type and for labels of another number, type or range.
    """
    pairs: Iterable = _pairs(images) if labels is None else [(images, labels)]
    count = 0
    for pair in pairs:
        part, labels_of_part = _checked(*_two(pair), input_shape, classes)
        count += len(part)
        for start in range(0, len(part), size):
            rows = slice(start, start + size)
            yield part[rows].double(), labels_of_part[rows]
    if not count:
        raise UsageError("there are no images; leave out images and labels to measure the weights")


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
    if not images.is_floating_point():
        raise UsageError(
            f"images are {_dtype(images)}; give floats, scaled and normalised as in training"
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
