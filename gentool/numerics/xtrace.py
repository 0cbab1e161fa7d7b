"""Estimate the trace of a symmetric map that is given as a function of vectors: XTrace.

Epperly, Tropp and Webber, XTrace: Making the Most of Every Sample in Stochastic Trace Estimation,
SIAM J. Matrix Anal. Appl. 45(1), 2024. Half of the products find the directions in which the map is
large, and the trace there is exact; each random vector in turn is left out of these directions and
estimates the rest. Written by hand: no library that is kept up has it for maps on a GPU, and its
memory is here one vector for each two products, where the published code holds four.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]
PART = 2**16  # numbers that are summed in the precision of the vectors
BLOCK_BYTES = 2**28  # of the vectors that a map takes together
NOISE = 1e-5  # relative size below which what is left of a product is rounding, in float32


@dataclass(frozen=True)
class TraceEstimate:
    """Hold the estimate, its standard error (0: exact up to rounding), and the products it took."""

    value: float
    stderr: float
    products: int


def xtrace(
    product: Product,
    like: Tensor,
    generator: torch.Generator,
    products: int,
    rel_error: float | None = None,
    most_products: int = 1024,
) -> TraceEstimate:
    """Estimate the trace of a symmetric map on vectors of the shape (n,) and type of `like`.

    A map with a method `many`, from a list of vectors to the list of theirs, is given several.

    With k = products / 2 standard normal vectors ω₁ … ω_k, Y = A Ω, and Pᵢ the projector onto the
    span of all columns of Y but the i-th:

        tᵢ = tr(Pᵢ A Pᵢ) + (n − rank Pᵢ) / ‖(I − Pᵢ) ωᵢ‖² · ωᵢᵀ (I − Pᵢ) A (I − Pᵢ) ωᵢ

    Each tᵢ is unbiased; the estimate is their mean, its standard error √(Σ (tᵢ − t̄)² / (k (k−1))).
    With `rel_error` the number of products is doubled until the standard error is that fraction of
    the value, or `most_products` are taken. Where as many products as dimensions are allowed, the
    trace is the sum of the diagonal, exact.
    """
    n = like.numel()
    if products >= n:
        return TraceEstimate(_sum_of_diagonal(product, like), 0.0, n)
    sketch = _Sketch(product, like, generator)
    while True:
        sketch.extend(products // 2)
        value, stderr = sketch.estimate()
        is_exact_enough = rel_error is None or stderr <= rel_error * abs(value)
        if is_exact_enough or 2 * products > most_products or products >= n:
            return TraceEstimate(value, stderr, sketch.products)
        products = min(2 * products, n)


def _sum_of_diagonal(product: Product, like: Tensor) -> float:
    """Return the sum of eᵢᵀ A eᵢ over all coordinates."""
    total = 0.0
    for i in range(like.numel()):
        unit = torch.zeros_like(like)
        unit[i] = 1
        total += float(product(unit)[i])
    return total


class _Sketch:
    """Hold an orthonormal basis Q of the products so far, with Y = Q R, W = Qᵀ Ω and H = Qᵀ A Q.

    Matrices of the size of the basis are float64. Ω is kept where it is small, for W follows from
    each vector when the basis grows; else it is drawn again from its seeds.
    """

    def __init__(self, product: Product, like: Tensor, generator: torch.Generator) -> None:
        self.product, self.like, self.generator = product, like, generator
        self.seeds: list[int] = []
        self.columns: list[Tensor] = []  # of R, as long as the basis was then
        self.basis: list[Tensor] = []  # views of rows of the matrices
        self.matrices: list[Tensor] = []  # (rows, n): several dots are one product
        self.images: list[Tensor] = []  # row j: Q[:j+1]ᵀ A q_j
        self.squares: list[float] = []  # ‖ωᵢ‖²
        self.kept: dict[int, Tensor] = {}  # vectors of Ω by their number
        self.products = 0

    def extend(self, vectors: int) -> None:
        """Go on until the sketch is of so many random vectors."""
        self._make_room(vectors - len(self.seeds))
        block = max(1, BLOCK_BYTES // (self.like.numel() * self.like.element_size()))
        while len(self.seeds) < vectors:
            omegas = []
            for _ in range(min(block, vectors - len(self.seeds))):
                self.seeds.append(int(torch.randint(2**62, (), generator=self.generator)))
                omegas.append(self._vector(len(self.seeds) - 1))
                self.squares.append(_norm(omegas[-1]) ** 2)
            for y in self._of(omegas):
                self._add(y)
        while len(self.images) < len(self.basis):
            first = len(self.images)
            for image in self._of(self.basis[first : first + block]):
                self.images.append(self._coordinates(image)[: len(self.images) + 1])

    def estimate(self) -> tuple[float, float]:
        """Return the mean of the estimates tᵢ, and its standard error."""
        k, r, n = len(self.seeds), len(self.basis), self.like.numel()
        R = torch.zeros(r, k, dtype=torch.float64)
        H = torch.zeros(r, r, dtype=torch.float64)
        W = torch.zeros(r, k, dtype=torch.float64)
        for i, column in enumerate(self.columns):
            R[: len(column), i] = column
            W[:, i] = self._coordinates(self._vector(i))
        for j, row in enumerate(self.images):
            H[j, : len(row)] = H[: len(row), j] = row
        estimates = []
        for i in range(k):
            U = _range_of(torch.cat([R[:, :i], R[:, i + 1 :]], dim=1))  # Pᵢ = Q U Uᵀ Qᵀ
            w, y = W[:, i], R[:, i]
            inside = U.T @ w
            of_projected = U @ inside
            rest = w @ y - 2 * of_projected @ y + of_projected @ H @ of_projected
            length = max(self.squares[i] - float(inside.square().sum()), 1e-300)
            estimates.append(float((U.T @ H @ U).trace()) + (n - U.shape[1]) / length * float(rest))
        mean = math.fsum(estimates) / k
        squares = math.fsum((t - mean) ** 2 for t in estimates)
        return mean, math.sqrt(squares / (k * (k - 1))) if k > 1 else math.inf

    def _of(self, vectors: Sequence[Tensor]) -> Sequence[Tensor]:
        self.products += len(vectors)
        if hasattr(self.product, "many"):
            return self.product.many(vectors)
        return [self.product(vector) for vector in vectors]

    def _vector(self, i: int) -> Tensor:
        """Return ωᵢ, drawn on the CPU so that a device does not change it."""
        if i in self.kept:
            return self.kept[i]
        generator = torch.Generator().manual_seed(self.seeds[i])
        vector = torch.randn(self.like.numel(), generator=generator).to(self.like)
        if (i + 1) * vector.numel() * vector.element_size() <= BLOCK_BYTES:
            self.kept[i] = vector
        return vector

    def _add(self, y: Tensor) -> None:
        """Add A ωᵢ: its coordinates in the basis, and what is new of it as a vector of the basis.

        Gram-Schmidt twice, so that the basis is orthonormal to rounding.
        """
        norm, left = _norm(y), y.clone()
        column = torch.zeros(len(self.basis), dtype=torch.float64)
        for _ in range(2):
            parts = self._coordinates(left)
            used = parts.split([len(matrix) for matrix in self._used()])
            for matrix, coefficients in zip(self._used(), used, strict=True):
                left -= coefficients.to(left) @ matrix
            column += parts
        rest = _norm(left)
        if rest > NOISE * norm:
            room = self.matrices[-1][len(self.basis) - sum(map(len, self.matrices[:-1]))]
            self.basis.append(torch.div(left, rest, out=room))
            column = torch.cat([column, column.new_tensor([rest])])
        self.columns.append(column)

    def _make_room(self, vectors: int) -> None:
        """Make room for so many further vectors of the basis: what is left of the last, or more."""
        room = sum(map(len, self.matrices)) - len(self.basis)
        if room and vectors > room:  # the vectors of the basis fill the matrices from the first
            self.matrices[-1] = self.matrices[-1][: len(self.matrices[-1]) - room]
        if vectors > room:
            self.matrices.append(self.like.new_empty(vectors, self.like.numel()))

    def _used(self) -> list[Tensor]:
        """Return the matrices of the basis without rows that are still empty."""
        left, used = len(self.basis), []
        for matrix in self.matrices:
            used.append(matrix[:left])
            left = max(0, left - len(matrix))
        return used

    def _coordinates(self, vector: Tensor) -> Tensor:
        """Return Qᵀ v, summed in float64 over parts of the vector, on the CPU."""
        total = torch.zeros(len(self.basis), dtype=torch.float64)
        for first in range(0, vector.numel(), PART):
            part = slice(first, first + PART)
            dots = [matrix[:, part] @ vector[part] for matrix in self._used()]
            total += torch.cat(dots).double().cpu() if dots else 0.0
        return total


def _norm(vector: Tensor) -> float:
    """Return the Euclidean norm of a vector, summed in float64."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


def _range_of(matrix: Tensor) -> Tensor:
    """Return an orthonormal basis of the columns of a small matrix, without those of rounding."""
    if 0 in matrix.shape:
        return matrix.new_zeros(len(matrix), 0)
    U, singular, _ = torch.linalg.svd(matrix, full_matrices=False)
    return U[:, singular > NOISE * singular[0]]
