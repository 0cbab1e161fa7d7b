"""Find the largest eigenvalue of a symmetric map that is given as a function of vectors.

The stop rule needs no gap between eigenvalues. A residual, or a Ritz value that no longer moves,
proves that some eigenvalue is near, not that it is the largest: where the two largest are close and
the start has most of the second, both are small long before the first appears. Here the start is
random, and the iteration goes on until a larger eigenvalue is improbable.

Written by hand rather than with SciPy's `eigsh`, which has no such proof: measured side by side it
takes about as many products, and it runs on the GPU.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

FAILURE = 1e-3  # probability, over the start, that the largest eigenvalue is beyond the error
MAX_STEPS = 2000
MAX_BASIS_BYTES = 2**31  # of the basis; beyond, the iteration restarts from its best vector
FIRST_CHECK = 8  # steps before the first look at the stop rule


@dataclass(frozen=True)
class TopEigenvector:
    """Hold a vector whose Rayleigh quotient λ is the largest eigenvalue, to a relative `error`.

    The largest is at most λ + error |λ|, with probability 1 − FAILURE over the random start.
    `steps` is the number of products that the iteration took.
    """

    vector: Tensor
    error: float
    steps: int


@dataclass(frozen=True)
class _Tridiagonal:
    """Hold the recurrence A qⱼ = βⱼ₋₁ qⱼ₋₁ + αⱼ qⱼ + βⱼ qⱼ₊₁ of one run of the iteration."""

    alphas: Sequence[float]
    betas: Sequence[float]  # as many; the last one is the norm of what is left

    def polynomials(self, value: float) -> list[float]:
        """Return r₀ … r_k at a value, where qⱼ₊₁ = rⱼ(A) q₁."""
        values, before, beta_before = [1.0], 0.0, 0.0
        for alpha, beta in zip(self.alphas, self.betas, strict=True):
            following = (value - alpha) * values[-1] - beta_before * before
            before, beta_before = values[-1], beta
            values.append(following / beta if beta > 0 else math.inf)
        return values

    def top(self) -> tuple[float, Tensor]:
        """Return the largest Ritz value, and its vector in the basis, float64."""
        last = len(self.alphas) - 1
        if not last:  # of one number, which SciPy 1.11 refuses
            return self.alphas[0], torch.ones(1, dtype=torch.float64)
        values, vectors = eigh_tridiagonal(
            self.alphas, self.betas[:-1], select="i", select_range=(last, last)
        )
        return float(values[0]), torch.from_numpy(vectors[:, 0])


def top_eigenvector(
    apply: Callable[[Tensor], Tensor], like: Tensor, generator: torch.Generator, tolerance: float
) -> TopEigenvector:
    """Return a vector whose Rayleigh quotient is the largest eigenvalue, to relative `tolerance`.

    `apply` is symmetric, on tensors like `like`; `generator`, on the CPU, draws the start. This is
    Lanczos iteration with reorthogonalisation (Golub and Van Loan, Matrix Computations, 10.1
    and 10.3), and the probabilistic bound of van Dorsselaer, Hochstenbach and van der Vorst,
    Computing Probabilistic Bounds for Extreme Eigenvalues, SIMAX 2000. With the start q₁ and the
    polynomials rⱼ, rⱼ(A) q₁ = qⱼ₊₁ has norm 1; so |rₖ(λ₁)| |c| ≤ 1 for the part c = q₁ᵀx₁ of the
    start in the eigenvector of the largest eigenvalue λ₁. A random start of n numbers has
    |c| < δ √(π / 2n) with probability δ at most, and rₖ rises beyond the largest Ritz value θ:
    where rₖ(θ (1 + tolerance)) > √(2n / π) / δ, no eigenvalue is larger than that. Nothing is
    assumed of gaps. The vector itself converges twice as fast, so that its error is mostly far
    below `tolerance`.

    After MAX_STEPS products the vector is returned with the error that is proved by then.
    """
    size = like.numel()
    start = torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)
    longest = max(20, MAX_BASIS_BYTES // (like.element_size() * size))
    search = _Search(math.log(math.sqrt(2 * size / math.pi) / FAILURE), tolerance)
    steps = 0
    while True:
        start, run, is_proved = _iterate(
            apply, start, search, min(longest, MAX_STEPS - steps, size)
        )
        steps += len(run.alphas)
        if is_proved or len(run.alphas) == size:
            return TopEigenvector(start, tolerance, steps)
        if steps >= MAX_STEPS:
            return TopEigenvector(start, search.proved_error(run), steps)
        search.filters.append((run, run.top()[1].tolist()))


class _Search:
    """Judge how large an eigenvalue can still be, after a run and those before it.

    A restart from the vector Σ sⱼ qⱼ of an earlier run is one from Σ sⱼ rⱼ₋₁(A) q₁: the polynomials
    of the runs multiply, and each rises beyond the largest Ritz value.
    """

    def __init__(self, log_needed: float, tolerance: float) -> None:
        self.log_needed, self.tolerance = log_needed, tolerance
        self.filters: list[tuple[_Tridiagonal, list[float]]] = []

    def log_growth(self, run: _Tridiagonal, value: float) -> float:
        """Return log |r(value)|, minus infinity where it is not above the largest Ritz value."""
        factors = [run.polynomials(value)[-1]]
        for earlier, vector in self.filters:
            pairs = zip(vector, earlier.polynomials(value), strict=False)
            factors.append(abs(sum(s * r for s, r in pairs)))
        if not all(factor > 0 for factor in factors):
            return -math.inf
        return sum(map(math.log, factors))

    def growth_at_tolerance(self, run: _Tridiagonal) -> float:
        """Return log_growth just beyond the largest Ritz value, by the tolerance."""
        top = run.top()[0]
        return self.log_growth(run, top + self.tolerance * abs(top))

    def proved_error(self, run: _Tridiagonal) -> float:
        """Return a relative error that is proved, within a factor of 2 of the smallest."""
        top, error = run.top()[0], self.tolerance
        while self.log_growth(run, top + error * abs(top)) < self.log_needed:
            error *= 2
        return error


def _iterate(
    apply: Callable[[Tensor], Tensor], start: Tensor, search: _Search, steps: int
) -> tuple[Tensor, _Tridiagonal, bool]:
    """Return the best vector of the Krylov space, the run, and whether the tolerance is proved."""
    basis = start.new_empty(min(steps, 64), start.numel())
    basis[0] = start.flatten() / start.norm()
    run, check = _Tridiagonal([], []), FIRST_CHECK
    overlaps = _Overlaps(torch.finfo(start.dtype).eps, start.numel())
    for k in range(steps):
        image = apply(basis[k].reshape_as(start)).flatten()
        alpha = float(basis[k] @ image)
        image = image - alpha * basis[k]
        if k > 0:
            image -= run.betas[-1] * basis[k - 1]
        run.alphas.append(alpha)
        run.betas.append(float(image.norm()))
        earlier = basis[: k + 1]
        if overlaps.are_too_large(run):
            for _ in range(2):  # the first time leaves rounding errors where little is left
                image -= (earlier @ image) @ earlier
            run.betas[-1] = float(image.norm())
        if run.betas[-1] <= overlaps.unit * overlaps.scale:  # rounding alone is left
            run.betas[-1] = 0.0
        norm = run.betas[-1]
        is_proved = norm == 0
        if k + 1 in (check, steps) and not is_proved:
            growth = search.growth_at_tolerance(run)
            is_proved = growth >= search.log_needed
            check = k + 1 + _steps_until(growth, search.log_needed, k + 1)
        if is_proved or k + 1 == steps:
            break
        if k + 1 == len(basis):
            more = start.new_empty(min(len(basis), steps - len(basis)), start.numel())
            basis = torch.cat([basis, more])
        basis[k + 1] = image / norm
    _, vector = run.top()
    return (vector.to(earlier) @ earlier).reshape_as(start), run, is_proved


def _steps_until(growth: float, needed: float, steps: int) -> int:
    """Estimate how many steps are left; a check takes as long as a small product."""
    if growth <= 0:
        return max(1, steps // 8)
    return max(1, min(steps // 8, int(0.5 * steps * (needed - growth) / growth)))


class _Overlaps:
    """Estimate how far the basis is from orthogonal, without reading it.

    The overlaps of the newest vector with the earlier ones follow from the recurrence (Simon, The
    Lanczos Algorithm with Partial Reorthogonalization, Mathematics of Computation 1984). As long as
    they are below the root of the rounding unit, the tridiagonal matrix is as exact as with full
    reorthogonalisation, which takes longer than the products where the vectors are large.
    """

    def __init__(self, unit: float, size: int) -> None:
        self.unit, self.local, self.scale = unit, unit * math.sqrt(size), 0.0
        self.before, self.newest = np.zeros(0), np.ones(1)
        self.is_second = False

    def are_too_large(self, run: _Tridiagonal) -> bool:
        """Follow a step; return whether its vector is to be made orthogonal to all earlier ones.

        That is so for two vectors in turn, since each following one is made of two.
        """
        alphas, betas = np.array(run.alphas), np.array(run.betas)
        k, beta = len(alphas) - 1, betas[-1]
        self.scale = np.abs(alphas).max() + betas.max()
        if beta == 0:
            return False
        overlap = self.newest  # with vectors 0 … k; the last is 1
        following = (alphas[:k] - alphas[k]) * overlap[:k] + betas[:k] * overlap[1:]
        following[1:] += betas[: k - 1] * overlap[: k - 1] if k > 0 else 0.0
        if k > 0:
            following -= betas[k - 1] * self.before
        following = (following + np.copysign(self.unit * self.scale, following)) / beta
        following = np.append(following, self.local * self.scale / beta)
        is_large = self.is_second or bool(np.abs(following).max() > math.sqrt(self.unit))
        self.is_second = is_large and not self.is_second
        if is_large:
            following = np.full(k + 1, self.unit)
        self.before, self.newest = overlap, np.append(following, 1.0)
        return is_large
