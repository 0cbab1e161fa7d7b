"""Hold a data set in memory: images and labels for training and for testing."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

USUAL = 16  # the largest absolute value that normalised images have


@dataclass(frozen=True)
class DataSet:
    """Hold images and labels for training and for testing.

    `fingerprint` is a SHA-256, the same on every machine, of the files of a folder or of the arrays
    of other data sets. `names` are the names of the classes, None if they are numbers. There may be
    no test images. `notes` say in sentences what is unusual about the data.
    """

    train_images: Tensor  # (N, C, H, W), uint8 or float32
    train_labels: Tensor  # (N,), int64
    test_images: Tensor
    test_labels: Tensor
    classes: int
    fingerprint: str
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

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
    *,
    classes: int | None = None,
    notes: tuple[str, ...] = (),
) -> DataSet:
    """Return the data set of some arrays.

    The largest label determines the number of classes unless that is given.
    """
    digest = hashlib.sha256()
    for array in (train_images, train_labels, test_images, test_labels):
        digest.update(f"{tuple(array.shape)} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array.numpy()))
    if classes is None:
        classes = int(torch.cat([train_labels, test_labels]).max()) + 1
    return DataSet(
        *(train_images, train_labels, test_images, test_labels),
        classes=max(2, classes),
        fingerprint=digest.hexdigest(),
        names=names,
        notes=notes,
    )


def unusual_values(data: DataSet) -> list[str]:
    """Return warnings of images whose values are not those that networks are trained on.

    These are floats beyond 16 in absolute value, which look like grey values that were never
    scaled, and images that are all equal.
    """
    warnings = []
    images, parts = data.train_images, (data.train_images, data.test_images)
    largest = 0.0
    if images.dtype != torch.uint8:
        largest = max(float(part.abs().max()) for part in parts if len(part))
    if largest > USUAL:
        warnings.append(
            f"the images are floats up to {largest:g} in absolute value, and floats are taken as "
            "they are; if they are grey values from 0 to 255, save them as uint8"
        )
    are_equal = torch.equal(images[0], images[-1]) and bool((images == images[:1]).all())
    if are_equal and (len(images) > 1 or bool((images == images.flatten()[0]).all())):
        warnings.append("the training images are all equal, so that nothing can be learned")
    return warnings
