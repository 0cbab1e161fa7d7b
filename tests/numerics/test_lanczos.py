"""The largest eigenvalue is found to its tolerance, whatever the gap to the next one."""

import math

import pytest
import torch

from gentool.numerics import lanczos
from gentool.numerics.lanczos import FAILURE, top_eigenvector

SIZE = 400


def start_of(seed):
    """Return the start that a generator of this seed gives, of norm 1."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(SIZE, generator=generator, dtype=torch.float64)
    return start / start.norm()


def with_eigenvectors(first, values):
    """Return a symmetric matrix with these eigenvalues; the first eigenvectors are given."""
    generator = torch.Generator().manual_seed(1)
    others = torch.randn(SIZE, SIZE - first.shape[1], generator=generator, dtype=torch.float64)
    vectors, _ = torch.linalg.qr(torch.cat([first, others], dim=1))
    return vectors * values @ vectors.T


def spectrum(gap):
    """Return eigenvalues of which the two largest, 1 and 1 − gap, stand close together."""
    rest = torch.linspace(0.9, 0.0, SIZE - 2, dtype=torch.float64)
    return torch.cat([torch.tensor([1.0, 1.0 - gap], dtype=torch.float64), rest])


def quotient(A, found):
    v = found.vector / found.vector.norm()
    return float(v @ A @ v)


def find(A, tolerance, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return top_eigenvector(lambda x: A @ x, A[0], generator, tolerance)


def unlucky(gap, seed, part):
    """Return a matrix whose top eigenvector has only `part` of the start, and the second half."""
    start = start_of(seed)
    others = torch.stack([start, start_of(seed + 1000), start_of(seed + 2000)], dim=1)
    basis, _ = torch.linalg.qr(others)  # ± the start is the first column
    cosine = math.sqrt(1 - part**2)
    tilt = -0.5 * part / cosine
    first = torch.tensor([part, cosine, 0.0], dtype=torch.float64)
    second = torch.tensor([0.5, tilt, math.sqrt(0.75 - tilt**2)], dtype=torch.float64)
    return with_eigenvectors(basis @ torch.stack([first, second], dim=1), spectrum(gap))


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8])
def test_the_top_of_a_close_pair_is_found_from_a_start_that_lies_in_the_second(gap):
    """The first has hardly more of the start than the proof allows for: a chance of 1 in 500."""
    least = FAILURE * math.sqrt(math.pi / (2 * SIZE))
    A = unlucky(gap, 0, 2 * least)
    found = find(A, 2e-6)
    assert found.error == 2e-6
    assert 1 - 2e-6 <= quotient(A, found) <= 1 + 1e-12


def test_a_small_residual_would_not_tell_that_the_second_was_found():
    """After 30 steps the best vector has a residual of 1e-6, and a value that is 1e-3 too small."""
    A = unlucky(1e-3, 0, 1e-6)
    basis, _ = torch.linalg.qr(krylov(A, start_of(0), 30))
    values, vectors = torch.linalg.eigh(basis.T @ A @ basis)
    v = basis @ vectors[:, -1]
    assert float(values[-1]) < 1 - 9e-4
    assert float((A @ v - values[-1] * v).norm()) < 1e-5


def krylov(A, start, steps):
    """Return a basis of the Krylov space, each vector made orthogonal to those before it."""
    basis = [start]
    for _ in range(steps - 1):
        image = A @ basis[-1]
        for _ in range(2):
            image = image - sum((q @ image) * q for q in basis)
        basis.append(image / image.norm())
    return torch.stack(basis, dim=1)


@pytest.mark.parametrize("gap", [1e-2, 1e-5])
def test_restarts_from_the_best_vector_keep_the_proof(gap, monkeypatch):
    """Where the memory holds 20 vectors only."""
    monkeypatch.setattr(lanczos, "MAX_BASIS_BYTES", 1)
    least = FAILURE * math.sqrt(math.pi / (2 * SIZE))
    A = unlucky(gap, 3, 2 * least)
    found = find(A, 2e-6, seed=3)
    assert found.steps > 20
    assert 1 - 2e-6 <= quotient(A, found) <= 1 + 1e-12


def test_a_search_that_ends_early_says_how_far_the_eigenvalue_can_be(monkeypatch):
    monkeypatch.setattr(lanczos, "MAX_STEPS", 12)
    A = with_eigenvectors(start_of(7)[:, None], spectrum(1e-3))
    found = find(A, 2e-6)
    assert found.steps == 12
    assert found.error > 2e-6
    value = quotient(A, found)
    assert value <= 1 <= value * (1 + found.error)


def test_a_map_of_rank_one_and_zero_are_done_at_once():
    ones = torch.ones(SIZE, SIZE, dtype=torch.float64)
    assert quotient(ones, find(ones, 1e-9)) == pytest.approx(SIZE, rel=1e-12)
    assert quotient(0 * ones, find(0 * ones, 1e-9)) == 0


def test_negative_eigenvalues_do_not_matter():
    """The largest is not the largest in magnitude, as of the Hessian of a network."""
    values = torch.linspace(-5, 1, SIZE, dtype=torch.float64)
    A = with_eigenvectors(start_of(7)[:, None], values)
    assert quotient(A, find(A, 1e-8)) == pytest.approx(1, rel=1e-8)


def test_single_precision_is_as_exact():
    """With reorthogonalisation where it is needed alone: 1,000 numbers, 200 close eigenvalues."""
    values = torch.cat([torch.linspace(1, 0.999, 200), torch.linspace(0.99, 0, 800)])
    found = top_eigenvector(
        lambda x: values * x, torch.empty(1000), torch.Generator().manual_seed(0), 2e-6
    )
    v = found.vector.double() / found.vector.double().norm()
    assert 1 - 2e-6 <= float(values.double() @ v.square()) <= 1
