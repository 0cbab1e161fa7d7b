"""Compute norms of matrices, scaled by the largest entry so that no square over- or underflows."""

import math

import torch
from torch import Tensor


def frobenius(W: Tensor) -> float:
    """Compute the Frobenius norm of a tensor; NaN or infinite if an entry is."""
    scale = _scale(W)
    return float(torch.linalg.vector_norm(W / scale)) * scale


def spectral(W: Tensor) -> float:
    """Compute the spectral norm of a matrix, the root of its smaller Gram matrix's top eigenvalue.

    Exact to rounding in float64, and much cheaper than a singular value decomposition if the
    matrix is wide. NaN if an entry is NaN or infinite.
    """
    scale = _scale(W)
    if not math.isfinite(scale):
        return math.nan
    W = W / scale
    gram = W @ W.T if W.shape[0] <= W.shape[1] else W.T @ W
    return math.sqrt(max(0.0, float(torch.linalg.eigvalsh(gram)[-1]))) * scale


def sum_of_row_norms(W: Tensor) -> float:
    """Compute the sum of the Euclidean norms of the rows: the (2,1) norm of the transpose."""
    scale = _scale(W)
    return float(torch.linalg.vector_norm(W / scale, dim=1).sum()) * scale


def _scale(W: Tensor) -> float:
    """Return the largest absolute entry, 1 if all are zero."""
    return float(W.abs().amax()) or 1.0
