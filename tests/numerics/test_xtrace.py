"""XTrace agrees with traces of dense matrices: exact for low rank, unbiased, with its error."""

import math

import pytest
import torch

from gentool.numerics.xtrace import xtrace


def matrix(eigenvalues, seed=0):
    """Return a symmetric matrix with these eigenvalues and random eigenvectors."""
    n = len(eigenvalues)
    generator = torch.Generator().manual_seed(seed)
    Q, _ = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64, generator=generator))
    return Q @ torch.diag(torch.as_tensor(eigenvalues, dtype=torch.float64)) @ Q.T


def estimate(A, products, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return xtrace(lambda v: A @ v, A[0], generator, products, **options)


def by_definition(A, omegas):
    """Return the mean of the leave-one-out estimates with dense projectors, and its error."""
    Y, n, k = A @ omegas, len(A), omegas.shape[1]
    values = []
    for i in range(k):
        Q, _ = torch.linalg.qr(Y[:, [j for j in range(k) if j != i]])
        rest = omegas[:, i] - Q @ (Q.T @ omegas[:, i])
        factor = (n - k + 1) / rest.square().sum()
        values.append(float((Q.T @ A @ Q).trace() + factor * rest @ A @ rest))
    values = torch.tensor(values, dtype=torch.float64)
    return float(values.mean()), float(values.std()) / math.sqrt(k)


def test_it_is_the_published_formula():
    """With dense projectors of its own, on the same random vectors."""
    A = matrix([1 / (1 + i) for i in range(60)])
    generator = torch.Generator().manual_seed(4)
    seeds = [int(torch.randint(2**62, (), generator=generator)) for _ in range(8)]
    drawn = [torch.randn(60, generator=torch.Generator().manual_seed(s)) for s in seeds]
    value, stderr = by_definition(A, torch.stack(drawn, dim=1).double())
    result = estimate(A, 16, seed=4)
    assert result.value == pytest.approx(value, rel=1e-9)
    assert result.stderr == pytest.approx(stderr, rel=1e-5)
    assert result.products == 16


def test_a_matrix_of_low_rank_has_its_exact_trace():
    """Rank 5 and 8 random vectors: each set without one of them spans the whole range."""
    A = matrix([5.0, 3.0, 2.0, -1.0, 0.5] + [0.0] * 45)
    result = estimate(A, 16)
    assert result.value == pytest.approx(9.5, rel=1e-9)
    assert result.stderr < 1e-8
    assert result.products <= 13  # the basis has no sixth direction


def test_a_zero_matrix_has_trace_zero():
    result = estimate(torch.zeros(40, 40, dtype=torch.float64), 16)
    assert (result.value, result.stderr) == (0.0, 0.0)


def test_few_dimensions_are_summed_exactly():
    A = matrix([1.0, 2.0, -0.5])
    assert estimate(A, 32).value == pytest.approx(2.5)
    assert estimate(A, 32).stderr == 0


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_it_is_unbiased_and_its_error_is_that_between_seeds(power):
    """300 seeds; the error is an estimate of dependent values, right to a factor of 1.5."""
    A = matrix([(1 + i) ** -power * (-1 if i % 7 == 6 else 1) for i in range(50)])
    truth = float(A.trace())
    results = [estimate(A, 12, seed=seed) for seed in range(300)]
    values = torch.tensor([result.value for result in results], dtype=torch.float64)
    error_of_mean = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - truth) < 4 * error_of_mean
    reported = math.sqrt(sum(result.stderr**2 for result in results) / len(results))
    assert reported == pytest.approx(float(values.std()), rel=0.5)


def test_it_is_closer_than_hutchinson_where_few_eigenvalues_are_large():
    A = matrix([100.0, 50.0, 20.0] + [1 / (1 + i) for i in range(97)])
    truth = float(A.trace())
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(2, (200, 16, 100), generator=generator).double() * 2 - 1
    plain = torch.einsum("skn,nm,skm->sk", signs, A, signs).mean(dim=1) - truth
    errors = torch.tensor([estimate(A, 16, seed=s).value - truth for s in range(200)])
    assert 20 * float(errors.square().mean()) < float(plain.square().mean())


def test_rel_error_takes_more_products_until_the_error_is_as_small():
    A = matrix([(1 + i) ** -0.5 for i in range(300)])
    rough, fine = estimate(A, 8), estimate(A, 8, rel_error=0.02)
    assert rough.stderr > 0.02 * rough.value
    assert fine.stderr <= 0.02 * fine.value
    assert fine.products > rough.products
    assert abs(fine.value - float(A.trace())) < 5 * fine.stderr


def test_rounding_of_float32_is_no_direction():
    """The range of a float32 map of rank 3 is 3 vectors and rounding."""
    A = matrix([5.0, 3.0, 2.0] + [0.0] * 97).float()
    result = estimate(A, 16)
    assert result.value == pytest.approx(10.0, rel=1e-4)
