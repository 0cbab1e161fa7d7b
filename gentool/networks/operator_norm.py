"""Compute lower and upper bounds of the spectral norm of a convolution.

The lower bound is the factor by which the map stretches one vector. The upper bound is the norm of
the circular convolution on enough points, of which the zero-padded one is a part: a Fourier
transform turns it into one small matrix for each frequency (Sedghi et al., The Singular Values of
Convolutional Layers, ICLR 2019).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gentool.networks.convolution import Operator
from gentool.numerics.lanczos import top_eigenvector

TOLERANCE = 1e-6  # relative error of the lower bound
UPPER_STEP = 1e-3  # relative growth of the square of an upper bound until it is proved
SLACK = 1e-4  # relative, far beyond the single-precision rounding of that proof
POWER_STEPS = 20
ENTRIES_AT_ONCE = 2**23  # complex numbers in the symbols of a chunk


@dataclass(frozen=True)
class Bounds:
    """Hold the bounds of a number that lies from `lower` to `upper`."""

    lower: float
    upper: float


@dataclass(frozen=True)
class Wave:
    """Hold the top singular vector of the circular map: one frequency, in one group of outputs."""

    frequency: Tensor  # (2,), in turns per input, downwards and to the right
    group: int
    amplitudes: Tensor  # (out / groups,), complex


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
    upper, wave = _upper_bound(scaled)
    lower = _lower_bound(scaled, _start_from(wave, scaled))
    return Bounds(largest * lower, largest * max(lower, upper))


def _lower_bound(operator: Operator, start: Tensor) -> float:
    """Return the largest ‖A v‖ / ‖v‖ that Lanczos iteration on AᵀA finds.

    It starts from an output of shape (1, out, h, w) and runs in single precision. The ratio is
    computed in double precision and is a lower bound for any v.
    """
    single = replace(operator, weight=operator.weight.float())
    v = top_eigenvector(
        lambda x: single.transpose(single(x)), single.transpose(start.float()), TOLERANCE
    ).double()
    return float(operator(v).norm() / v.norm())


def _upper_bound(operator: Operator) -> tuple[float, Wave]:
    """Return an upper bound, and the wave that the circular map stretches most.

    On N ≥ max(size + padding, reach) points around a circle no tap that leaves the image on one
    side enters it on the other. The zero-padded map is then the circular one between some of its
    inputs and some of its outputs, and has no larger norm. The circular one is a matrix S for each
    frequency; ‖S‖² < s if and only if s I − S Sᴴ has a Cholesky factor.
    """
    square, top, wave = 0.0, 0.0, None
    for frequencies, group, symbols in _symbols(operator):
        grams = symbols @ symbols.mH
        amplitudes, quotients = _power_iteration(grams)
        k = int(quotients.argmax())
        if wave is None or float(quotients[k]) > top:
            top, wave = float(quotients[k]), Wave(frequencies[k], group, amplitudes[k])
        square = _proved_square(max(square, float(quotients[k]) * (1 + UPPER_STEP)), grams)
    return math.sqrt(square) * (1 + SLACK), wave


def _symbols(operator: Operator) -> Iterator[tuple[Tensor, int, Tensor]]:
    """Yield frequencies, (f, 2), their group, and symbols, (f, out, aliases · in), in chunks.

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
    for group, weight in enumerate(operator.weight.float().chunk(operator.groups)):
        kernel = weight.flatten(2).permute(2, 0, 1).flatten(1).to(torch.complex64)
        for chunk in frequencies.split(at_once):
            turns = (chunk[:, None] + aliases) @ taps.T  # (f, aliases, taps)
            waves = torch.polar(torch.ones_like(turns), 2 * math.pi * turns).flatten(0, 1)
            symbols = (waves @ kernel).reshape(len(chunk), len(aliases), out, inputs)
            yield chunk, group, symbols.transpose(1, 2).flatten(2) / math.sqrt(len(aliases))


def _points(operator: Operator, axis: int) -> int:
    """Return the number of points around the circle, a multiple of the stride."""
    stride = operator.stride[axis]
    fewest = max(operator.in_shape[1 + axis] + operator.padding[axis], operator.reach(axis))
    return stride * math.ceil(fewest / stride)


def _power_iteration(grams: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate each Hermitian matrix's top eigenvector, (f, n), and its Rayleigh quotient, (f,)."""
    longest = grams.diagonal(dim1=1, dim2=2).real.argmax(dim=1)
    vectors = torch.take_along_dim(grams, longest[:, None, None], dim=2)
    for _ in range(POWER_STEPS):
        vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-30)
        images = grams @ vectors
        quotients = (vectors.mH @ images).real.flatten()
        vectors = images
    return vectors.squeeze(2), quotients


def _proved_square(square: float, grams: Tensor) -> float:
    """Return `square`, raised until square · I minus each of the matrices is positive definite."""
    identity = torch.eye(grams.shape[-1], dtype=grams.dtype, device=grams.device)
    while True:
        is_too_large = torch.linalg.cholesky_ex(square * identity - grams).info > 0
        if not bool(is_too_large.any()):
            return square
        grams = grams[is_too_large]
        square = square * (1 + UPPER_STEP) or torch.finfo(torch.float32).tiny


def _start_from(wave: Wave, operator: Operator) -> Tensor:
    """Return a wave as an output, (1, out, h, w), fading to the edges as the map's vectors do.

    Some noise is added, so that the iteration can also reach vectors that are orthogonal to it.
    """
    out, height, width = operator.out_shape
    device = operator.weight.device
    rows, columns = (torch.arange(n, device=device, dtype=torch.float32) for n in (height, width))
    down, right = wave.frequency * torch.tensor(operator.stride, device=device)
    turns = rows[:, None] * down + columns * right
    fading = torch.outer(
        torch.sin(math.pi * (rows + 1) / (height + 1)),
        torch.sin(math.pi * (columns + 1) / (width + 1)),
    )
    crests = torch.polar(fading, 2 * math.pi * turns)
    part = (wave.amplitudes[:, None, None] * crests).real
    noise = torch.randn(1, *operator.out_shape, generator=torch.Generator().manual_seed(0))
    start = 0.1 * noise.to(device) / noise.norm()
    size = out // operator.groups
    start[0, wave.group * size : (wave.group + 1) * size] += part / part.norm().clamp_min(1e-30)
    return start
