"""A data set in memory: images and labels for training and for testing."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class DataSet:
    """Images and labels for training and for testing.

    `fingerprint` is a SHA-256 over what the data set was made from, the same on every machine.
    `names` are those of the classes, None where they are numbers.
    """

    train_images: Tensor  # (N, C, H, W), uint8 or float32
    train_labels: Tensor  # (N,), int64
    test_images: Tensor
    test_labels: Tensor
    classes: int
    fingerprint: str
    names: tuple[str, ...] | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return tuple(self.train_images.shape[1:])

    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel of the training images, scaled to [0, 1].

        0 and 1 for float images, which are taken as they are; 1 in place of a deviation of 0.
        """
        channels = self.train_images.shape[1]
        if self.train_images.dtype != torch.uint8:
            return (0.0,) * channels, (1.0,) * channels
        means, deviations = [], []
        for channel in range(channels):
            counts = torch.bincount(self.train_images[:, channel].flatten(), minlength=256).double()
            values = torch.arange(256, dtype=torch.float64) / 255
            mean = (counts @ values) / counts.sum()
            variance = (counts @ (values - mean) ** 2) / counts.sum()
            means.append(mean.item())
            deviations.append(variance.sqrt().item() or 1.0)
        return tuple(means), tuple(deviations)


def dataset_of(
    train_images: Tensor,
    train_labels: Tensor,
    test_images: Tensor,
    test_labels: Tensor,
    names: tuple[str, ...] | None = None,
) -> DataSet:
    """A data set of arrays, with as many classes as its largest label says."""
    digest = hashlib.sha256()
    for array in (train_images, train_labels, test_images, test_labels):
        digest.update(f"{tuple(array.shape)} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array.numpy()))
    classes = max(2, int(torch.cat([train_labels, test_labels]).max()) + 1)
    return DataSet(
        train_images, train_labels, test_images, test_labels, classes, digest.hexdigest(), names
    )
