"""Hold a data set in memory: images and labels for training and for testing."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class DataSet:
    """Hold images and labels for training and for testing.

    `fingerprint` is a SHA-256, the same on every machine, of the files of a folder or of the arrays
    of other data sets. `names` are the names of the classes, None if they are numbers.
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
        """Return mean and standard deviation of each channel of the training images in [0, 1].

        Float images are not normalised: 0 and 1. A deviation of 0 becomes 1.
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
    """Return the data set of some arrays; the largest label determines the number of classes."""
    digest = hashlib.sha256()
    for array in (train_images, train_labels, test_images, test_labels):
        digest.update(f"{tuple(array.shape)} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array.numpy()))
    classes = max(2, int(torch.cat([train_labels, test_labels]).max()) + 1)
    return DataSet(
        train_images, train_labels, test_images, test_labels, classes, digest.hexdigest(), names
    )
