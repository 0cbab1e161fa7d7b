"""Compute lower and upper bounds of the spectral norm of a convolution.

Small maps, as those of 2x2 pixels, are dense matrices, whose norm is known to rounding or proved to
TOLERANCE. Of larger ones the lower bound is the factor by which the map stretches one vector. The
upper bound is the norm of the circular convolution on enough points, of which the zero-padded one
is a part: a Fourier transform turns it into one small matrix for each frequency (Sedghi et al., The
Singular Values of Convolutional Layers, ICLR 2019).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gentool.networks.convolution import Operator
from gentool.numerics.lanczos import top_eigenvector
from gentool.numerics.matrix_norms import EXACT_SIDE, gram, proved_top

TOLERANCE = 1e-6  # relative error of the lower bound
DENSE_SIDE, DENSE_ENTRIES = 2048, 2**22  # of one whose norm a Cholesky factor proves
SMALL_MAP = 16  # pixels, as 4x4: up to there the circular bound is far above the norm
ROUNDING = 1e-10  # relative, far beyond that of a dense matrix's norm in double precision
UPPER_STEP = 1e-3  # relative growth of the square of an upper bound until it is proved
SLACK = 1e-4  # relative, far beyond the single-precision rounding of that proof
POWER_STEPS = 20
ENTRIES_AT_ONCE = 2**23  # complex numbers in the symbols of a chunk


@dataclass(frozen=True)
class Bounds:
    """Hold the bounds of a norm that lies from `lower` to `upper`.

    `error` is the relative error of `lower`: certain where `upper` is as close, else with
    probability 1 − FAILURE over a random start. `residual` is ‖AᵀA v − s² v‖ / s² of the vector v
    of norm 1 with ‖A v‖ = s = `lower`; 0 where the norm was not found by iteration.
    """

    lower: float
    upper: float
    error: float = 0.0
    residual: float = 0.0

    def __rmul__(self, scale: float) -> "Bounds":
        return replace(self, lower=scale * self.lower, upper=scale * self.upper)


def spectral_norm(operator: Operator) -> Bounds:
    """Return the spectral norm as a lower bound, to a relative TOLERANCE, and a proved upper bound.

    Both are NaN if a weight is NaN or infinite.
    """
    largest = float(operator.weight.abs().amax())
    if not math.isfinite(largest):
        return Bounds(math.nan, math.nan)
    if largest == 0:
        return Bounds(0.0, 0.0)
    scaled = replace(operator, weight=operator.weight / largest)
    return largest * (_dense_bounds(scaled) if _is_small(scaled) else _iterated_bounds(scaled))


def _is_small(operator: Operator) -> bool:
    """Return whether the dense matrix of one group is small enough to be written out."""
    shapes = operator.out_shape, operator.in_shape
    rows, columns = (math.prod(shape) // operator.groups for shape in shapes)
    pixels = math.prod(operator.out_shape[1:])
    side = DENSE_SIDE if pixels <= SMALL_MAP else EXACT_SIDE
    return min(rows, columns) <= side and rows * columns <= DENSE_ENTRIES


def _dense_bounds(operator: Operator) -> Bounds:
    """Return the largest norm of the dense matrices of the groups."""
    all_bounds = [_bounds_of_matrix(A) for A in operator.dense_groups()]
    top = max(all_bounds, key=lambda bounds: bounds.lower)
    return replace(top, upper=max(bounds.upper for bounds in all_bounds))


def _bounds_of_matrix(A: Tensor) -> Bounds:
    """Return bounds of the norm of a matrix in float64, certain but for rounding.

    A Cholesky factor of s² (1 + TOLERANCE)² I − A Aᵀ proves that the stretch s of the vector that
    Lanczos iteration found is the norm; without one, all eigenvalues are computed.
    """
    matrix = gram(A)
    proved = (1 + TOLERANCE) ** 2
    top = proved_top(matrix, proved - 1) if len(matrix) > EXACT_SIDE else None
    if top is not None:
        square, v = top
        residual = float((matrix @ v - square * v).norm()) / square
        return Bounds(math.sqrt(square), math.sqrt(square * proved), TOLERANCE, residual)
    norm = math.sqrt(max(0.0, float(torch.linalg.eigvalsh(matrix)[-1])))
    return Bounds(norm, norm * (1 + ROUNDING), ROUNDING)


def _iterated_bounds(operator: Operator) -> Bounds:
    """Return the largest ‖A v‖ / ‖v‖ that Lanczos iteration finds, and the circular bound.

    The iteration is on AᵀA, or on AAᵀ where there are fewer outputs than inputs, and runs in single
    precision. The ratio is computed in double precision and is a lower bound for any v.
    """
    there, back = operator, operator.transpose
    single = replace(operator, weight=operator.weight.float())
    there_single, back_single = single, single.transpose
    shape = operator.in_shape
    if math.prod(operator.out_shape) < math.prod(shape):
        shape, there, back = operator.out_shape, back, there
        there_single, back_single = back_single, there_single
    top = top_eigenvector(
        lambda x: back_single(there_single(x)),
        torch.empty(1, *shape, device=operator.weight.device),
        torch.Generator().manual_seed(0),
        TOLERANCE,
    )
    v = top.vector.double()
    v = v / v.norm()
    image = there(v)
    lower = float(image.norm())
    residual = float((back(image) - lower**2 * v).norm()) / lower**2
    return Bounds(lower, max(lower, _upper_bound(operator)), top.error, residual)


def _upper_bound(operator: Operator) -> float:
    """Return an upper bound of the norm, proved by Cholesky factors.

    On N ≥ max(size + padding, reach) points around a circle no tap that leaves the image on one
    side enters it on the other. The zero-padded map is then the circular one between some of its
    inputs and some of its outputs, and has no larger norm. The circular one is a matrix S for each
    frequency; ‖S‖² < s if and only if s I − S Sᴴ has a Cholesky factor.
    """
    square = 0.0
    for symbols in _symbols(operator):
        grams = symbols @ symbols.mH
        top = float(_power_iteration(grams).max())
        square = _proved_square(max(square, top * (1 + UPPER_STEP)), grams)
    return math.sqrt(square) * (1 + SLACK)


def _symbols(operator: Operator) -> Iterator[Tensor]:
    """Yield the symbols, (f, out, aliases · in), of the frequencies in each group, in chunks.

    With a stride some frequencies, the aliases, cannot be distinguished: they share one symbol. The
    symbol of a negative frequency is the conjugate of the positive one's: half of them are enough.
    """
    stride, device = operator.stride, operator.weight.device
    points = [_points(operator, axis) for axis in (0, 1)]
    frequencies = torch.cartesian_prod(
        torch.arange(points[0] // stride[0]) / points[0],
        torch.arange(points[1] // stride[1] // 2 + 1) / points[1],
    ).to(device)
    aliases = torch.cartesian_prod(*(torch.arange(s) / s for s in stride)).to(device)
    kernel_size = operator.weight.shape[2:]
    taps = torch.cartesian_prod(
        *(torch.arange(k) * d for k, d in zip(kernel_size, operator.dilation, strict=True))
    ).to(device, torch.float32)
    out, inputs = operator.weight.shape[0] // operator.groups, operator.weight.shape[1]
    at_once = max(1, ENTRIES_AT_ONCE // (out * max(out, inputs * len(aliases))))
    for weight in operator.weight.float().chunk(operator.groups):
        kernel = weight.flatten(2).permute(2, 0, 1).flatten(1).to(torch.complex64)
        for chunk in frequencies.split(at_once):
            turns = (chunk[:, None] + aliases) @ taps.T  # (f, aliases, taps)
            waves = torch.polar(torch.ones_like(turns), 2 * math.pi * turns).flatten(0, 1)
            symbols = (waves @ kernel).reshape(len(chunk), len(aliases), out, inputs)
            yield symbols.transpose(1, 2).flatten(2) / math.sqrt(len(aliases))


def _points(operator: Operator, axis: int) -> int:
    """Return the number of points around the circle, a multiple of the stride."""
    stride = operator.stride[axis]
    fewest = max(operator.in_shape[1 + axis] + operator.padding[axis], operator.reach(axis))
    return stride * math.ceil(fewest / stride)


def _power_iteration(grams: Tensor) -> Tensor:
    """Estimate each Hermitian matrix's top eigenvalue by a Rayleigh quotient, (f,)."""
    longest = grams.diagonal(dim1=1, dim2=2).real.argmax(dim=1)
    vectors = torch.take_along_dim(grams, longest[:, None, None], dim=2)
    for _ in range(POWER_STEPS):
        vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-30)
        images = grams @ vectors
        quotients = (vectors.mH @ images).real.flatten()
        vectors = images
    return quotients


def _proved_square(square: float, grams: Tensor) -> float:
    """Return `square`, raised until square · I minus each of the matrices is positive definite."""
    identity = torch.eye(grams.shape[-1], dtype=grams.dtype, device=grams.device)
    while True:
        is_too_large = torch.linalg.cholesky_ex(square * identity - grams).info > 0
        if not bool(is_too_large.any()):
            return square
        grams = grams[is_too_large]
        square = square * (1 + UPPER_STEP) or torch.finfo(torch.float32).tiny
