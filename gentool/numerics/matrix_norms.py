"""Compute norms of matrices, scaled where needed so that no square over- or underflows."""

import math

import torch
from torch import Tensor

from gentool.numerics.lanczos import top_eigenvector

EXACT_SIDE = 512  # of a matrix whose eigenvalues are all computed
ROUNDING = 1e-12  # relative, to which a Cholesky factor of a large matrix proves a value
FIRST_TOLERANCE = 1e-6  # of the iteration, which its value is far below
SMALLEST_BLOCK = 128  # rows of a product
SAFE = 1e140  # numbers from 1 / SAFE to SAFE are squared as they are


def row_norms(W: Tensor) -> Tensor:
    """Compute the Euclidean norm of each row, (rows,); NaN or infinite if an entry is."""
    norms = torch.linalg.vector_norm(W, dim=1)
    if is_safe(float(norms.amax())):
        return norms
    scale = _scale(W)
    return torch.linalg.vector_norm(W / scale, dim=1) * scale


def frobenius(W: Tensor) -> float:
    """Compute the Frobenius norm of a matrix; NaN or infinite if an entry is."""
    return norm_of_rows(row_norms(W))


def norm_of_rows(norms: Tensor) -> float:
    """Compute the Frobenius norm of a matrix from the norms of its rows."""
    scale = float(norms.amax()) or 1.0
    return float(torch.linalg.vector_norm(norms / scale)) * scale


def spectral(W: Tensor) -> float:
    """Compute the spectral norm of a matrix, the root of its smaller Gram matrix's top eigenvalue.

    Exact to rounding in float64, and much cheaper than a singular value decomposition if the
    matrix is wide. NaN if an entry is NaN or infinite.
    """
    matrix, scale = gram(W), 1.0
    if not is_safe(math.sqrt(max(0.0, float(matrix.diagonal().amax())))):
        scale = _scale(W)
        if not math.isfinite(scale):
            return math.nan
        matrix = gram(W / scale)
    return math.sqrt(max(0.0, _largest_eigenvalue(matrix))) * scale


def sum_of_row_norms(W: Tensor) -> float:
    """Compute the sum of the Euclidean norms of the rows: the (2,1) norm of the transpose."""
    return float(row_norms(W).sum())


def gram(W: Tensor) -> Tensor:
    """Compute the smaller one of W Wᵀ and Wᵀ W, one half of it: the other is its mirror image."""
    W = W if W.shape[0] <= W.shape[1] else W.T
    n = len(W)
    block = max(SMALLEST_BLOCK, n // 8)
    if block >= n:
        return W @ W.T
    product = W.new_empty(n, n)
    for first in range(0, n, block):
        rows = slice(first, first + block)
        product[rows, : rows.stop] = W[rows] @ W[: rows.stop].T
        product[:first, rows] = product[rows, :first].T
    return product


def proved_top(matrix: Tensor, slack: float) -> tuple[float, Tensor] | None:
    """Return the largest eigenvalue of a positive semidefinite matrix, and its unit vector.

    It is a Rayleigh quotient λ, proved to a relative slack: λ (1 + slack) I minus the matrix has a
    Cholesky factor. None if it has none.
    """
    generator = torch.Generator().manual_seed(0)
    top = top_eigenvector(lambda x: matrix @ x, matrix[0], generator, FIRST_TOLERANCE)
    v = top.vector / top.vector.norm()
    value = float(v @ (matrix @ v))
    rest = -matrix
    rest.diagonal().add_(value * (1 + slack))
    return (value, v) if int(torch.linalg.cholesky_ex(rest).info) == 0 else None


def is_safe(largest: float) -> bool:
    """Return whether numbers of which this is the largest can be squared as they are."""
    return 1 / SAFE < largest < SAFE


def _largest_eigenvalue(matrix: Tensor) -> float:
    """Return the largest eigenvalue of a positive semidefinite matrix, to rounding.

    Of a large one, Lanczos iteration and its proof take a third of the time of all eigenvalues.
    """
    proved = proved_top(matrix, ROUNDING) if len(matrix) > EXACT_SIDE else None
    return float(torch.linalg.eigvalsh(matrix)[-1]) if proved is None else proved[0]


def _scale(W: Tensor) -> float:
    """Return the largest absolute entry, 1 if all are zero."""
    return float(torch.linalg.vector_norm(W, math.inf)) or 1.0
