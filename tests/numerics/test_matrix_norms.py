"""Norms of matrices agree with singular values, at every size and scale."""

import math

import pytest
import torch

from gentool.numerics import matrix_norms


def with_singular_values(values, columns, seed=0):
    """Return a matrix with these singular values and random singular vectors, float64."""
    generator = torch.Generator().manual_seed(seed)
    n = len(values)
    U, _ = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64, generator=generator))
    V, _ = torch.linalg.qr(torch.randn(columns, n, dtype=torch.float64, generator=generator))
    return U @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ V.T


@pytest.mark.parametrize("gap", [1e-1, 1e-4, 1e-8, 0.0])
def test_the_spectral_norm_of_a_large_matrix_is_exact_whatever_the_gap(gap):
    """Beyond EXACT_SIDE it is found by iteration and proved, or all eigenvalues are computed."""
    n = matrix_norms.EXACT_SIDE + 8
    values = [3.0, 3.0 * (1 - gap), *torch.linspace(2.5, 0.1, n - 2).tolist()]
    W = with_singular_values(values, n + 5)
    assert matrix_norms.spectral(W) == pytest.approx(3.0, rel=2e-12)
    assert matrix_norms.spectral(W.T) == pytest.approx(3.0, rel=2e-12)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_norms_neither_overflow_nor_underflow(scale):
    W = scale * torch.tensor([[3.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    assert matrix_norms.frobenius(W) == pytest.approx(5 * scale, rel=1e-14)
    assert matrix_norms.spectral(W) == pytest.approx(4 * scale, rel=1e-14)
    assert matrix_norms.sum_of_row_norms(W) == pytest.approx(7 * scale, rel=1e-14)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_norms_of_weights_that_are_no_numbers_are_none(value):
    W = torch.tensor([[value, 1.0], [2.0, 3.0]], dtype=torch.float64)
    for norm in (matrix_norms.frobenius, matrix_norms.spectral, matrix_norms.sum_of_row_norms):
        assert not math.isfinite(norm(W))


def test_half_of_a_gram_matrix_is_the_mirror_image_of_the_other():
    W = torch.randn(300, 310, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for matrix in (W, W.T):
        assert torch.allclose(matrix_norms.gram(matrix), W @ W.T, rtol=1e-12, atol=1e-12)
