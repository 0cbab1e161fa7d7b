"""Check the arrays of a NumPy archive and turn them into images and labels."""

import numpy as np
import torch
from torch import Tensor

from gentool.common.errors import GentoolError

NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")


def images_of(images: np.ndarray, name: str) -> Tensor:
    """Return images as (N, C, H, W); raise GentoolError for another shape or type."""
    if images.ndim not in (2, 3, 4) or 0 in images.shape:
        raise GentoolError(
            f"{name} has shape {images.shape}; it needs (N, H, W, C), (N, H, W) or (N, F)"
        )
    if images.ndim == 4 and images.shape[3] > 4 and images.shape[1] <= 4:
        raise GentoolError(f"{name} has shape {images.shape}; channels come last, transpose it")
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise GentoolError(f"{name} is of type {images.dtype}; images are uint8 or floats")
    if images.dtype != np.uint8:
        images = images.astype(np.float32)
        if not np.isfinite(images).all():
            raise GentoolError(f"{name} has values that are NaN, infinite or too large for float32")
    if images.ndim == 2:
        images = images[:, None, None, :]
    elif images.ndim == 3:
        images = images[:, None]
    else:
        images = images.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(images))


def labels_of(labels: np.ndarray, images: int, name: str) -> Tensor:
    """Return labels as (N,); raise GentoolError unless each image has a whole number from 0."""
    if labels.shape not in ((images,), (images, 1)):
        raise GentoolError(
            f"{name} has shape {labels.shape}; one label is needed for each of {images} images"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise GentoolError(
            f"{name} is of type {labels.dtype} or negative; labels are whole numbers from 0"
        )
    if labels.max() >= 100_000:
        raise GentoolError(f"{name} has label {labels.max()}; labels are whole numbers from 0")
    return torch.from_numpy(labels.reshape(-1).astype(np.int64))
