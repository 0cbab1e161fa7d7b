"""Compute sums over the paths of the unrolled network, several in one forward pass, exactly.

A path runs from an input unit, or from a bias, to an output unit; its weight is the product of the
weights on it. Propagating an input of ones through the network with |w|^p for w sums the p-th
powers of all path weights. The trap avoided: layers without weights change that sum too. An average
pooling is a layer of weights 1/k², which enter as (1/k²)^p. A max pooling can pass any one of its
inputs, so each of them is on a path, and its output is the sum over the window. A plain forward
pass would keep only the largest path sum; that variant is reported too, as `_maxpool`.

Sums of the same p go through the network together, as the examples of a batch, so that each weight
is read and raised to the power once. A bound multiplies the weights of a layer by a constant; with
biases its sum is no multiple of the plain one, since a path begins at any layer.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, pad

from gentool.measures.measured import Function, Measured, Undefined
from gentool.networks.canonical import Layer
from gentool.networks.tracing import ACTIVATIONS

SAFE = 1e20  # weights up to here, and as far below 1, are raised to the power p as they are
Factor = Callable[[Layer], float]
"""The constant by which a bound multiplies each weight of a layer (after the power p)."""


def one(layer: Layer) -> float:
    """Return the factor of a sum that is no bound."""
    return 1.0


class _Variant(NamedTuple):
    """Hold what tells a sum from the others of one network."""

    p: int
    factor: Factor
    biases: bool
    largest_path: bool


@dataclass(frozen=True)
class PathSum:
    """Hold a sum over all paths: of the product of factor · |w|^p."""

    p: int
    factor: Factor = one

    def log(self, net: Measured) -> float:
        """Return the log of the sum; -inf if it is 0.

        It is exact up to rounding in float64: after each layer the sums are divided by the largest,
        and the logarithm of that divisor is kept, so that nothing overflows. The sums of the same p
        that other measures need are computed with it. Raise Undefined for NaN or infinite weights.
        """
        net.check_size()
        variant = self._variant(net)
        if variant not in net.shared:
            alike = [other for other in net.path_sums if other.p == self.p]
            variants = sorted({variant, *alike} - net.shared.keys(), key=lambda v: v.largest_path)
            net.shared.update(zip(variants, _log_path_sums(net, variants), strict=True))
        log_sum = net.shared[variant]
        if math.isnan(log_sum):
            raise Undefined(
                "some weights are NaN or infinite, so the sum over paths does not exist"
            )
        return log_sum

    def needed(self, function: Function) -> Function:
        """Declare that a measure needs this sum, to be computed with others; use as a decorator."""
        function.path_sum = self._variant
        return function

    def _variant(self, net: Measured) -> _Variant:
        return _Variant(self.p, self.factor, net.biases, net.largest_path)


def _log_path_sums(net: Measured, variants: Sequence[_Variant]) -> list[float]:
    """Return the log of each sum, NaN where it does not exist.

    The variants have one p, and those with the largest path come last.
    """
    device, n = net.network.device, len(variants)
    ones = torch.ones(n, *net.network.input_shape, dtype=torch.float64, device=device)
    sums = _scaled(ones, torch.zeros(n, dtype=torch.float64, device=device))
    with torch.inference_mode():
        for layer in net.network.layers:
            sums = _sums_after(layer, sums, variants)
        totals = sums.values.flatten(1).sum(dim=1)
        logs = torch.where(totals > 0, sums.log_scale + totals.log(), totals.log())
    return [log_sum if log_sum < math.inf else math.nan for log_sum in logs.tolist()]


class _Sums(NamedTuple):
    """Hold the path sums into the units of one layer: `values` times exp(`log_scale`).

    The largest of the values of each variant is 1; where all are 0, log_scale is minus infinity.
    """

    values: Tensor  # (variants, ...), not negative
    log_scale: Tensor  # (variants,)


def _scaled(values: Tensor, log_scale: Tensor) -> _Sums:
    """Return sums with the largest of each variant divided out, in place; NaN stays NaN."""
    largest = values.flatten(1).amax(dim=1)
    values /= _each(torch.where(largest == 0, 1.0, largest), values)
    return _Sums(values, log_scale + largest.log())


def _each(numbers: Tensor, values: Tensor) -> Tensor:
    """Return a number for each variant, in the shape in which it multiplies values."""
    return numbers.reshape(-1, *[1] * (values.dim() - 1))


def _sums_after(layer: Layer, sums: _Sums, variants: Sequence[_Variant]) -> _Sums:
    """Compute the path sums after a layer from the sums before it."""
    module, (values, log_scale) = layer.module, sums
    if layer.has_weight:
        return _after_weights(layer, sums, variants)
    if isinstance(module, nn.MaxPool2d):
        all_paths = sum(not variant.largest_path for variant in variants)
        parts = [_window_sums(module, values[:all_paths], layer.out_shape)] if all_paths else []
        parts += [module(values[all_paths:])] if all_paths < len(variants) else []
        return _scaled(torch.cat(parts), log_scale)
    if isinstance(module, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        shares = _averaging_weights(layer, values)
        return _scaled(module(values) * shares ** (variants[0].p - 1), log_scale)
    if type(module) in ACTIVATIONS:  # a path goes on through a unit, whatever its activation is
        return sums
    return _Sums(module(values), log_scale)  # flattening


def _after_weights(layer: Layer, sums: _Sums, variants: Sequence[_Variant]) -> _Sums:
    """Compute factor · (Σ |w|^p s + |b|^p), the weights and the biases of one scale each."""
    module, log_scale = layer.module, sums.log_scale
    weight, log_weight = _powers(module.weight, variants[0].p)
    bias, log_bias = _powers(module.bias, variants[0].p)
    of_paths = log_scale + log_weight
    of_biases = torch.tensor([log_bias if v.biases else -math.inf for v in variants]).to(log_scale)
    scale = torch.maximum(of_paths, of_biases)
    divisor = torch.where(scale.isneginf(), 0.0, scale)  # all are 0: nothing to divide by
    values = _mapped(module, weight, sums.values)
    values *= _each((of_paths - divisor).exp(), values)
    if bias is not None:
        bias = bias[:, None, None] if isinstance(module, nn.Conv2d) else bias
        values += bias * _each((of_biases - divisor).exp(), values)
    factors = torch.tensor([v.factor(layer) for v in variants], dtype=torch.float64).to(log_scale)
    return _scaled(values, scale + factors.log())


def _mapped(module: nn.Module, weight: Tensor, values: Tensor) -> Tensor:
    """Return what a weight layer makes of values with another weight, without its bias."""
    if isinstance(module, nn.Linear):
        return linear(values, weight)
    return conv2d(
        values, weight, None, module.stride, module.padding, module.dilation, module.groups
    )


def _powers(weight: Tensor | None, p: int) -> tuple[Tensor | None, float]:
    """Return |w|^p divided by a number whose log is also returned.

    It is 1 where powers neither over- nor underflow, else the largest power. The log is -inf
    without weights or if all are 0, NaN if a weight is NaN or infinite.
    """
    if weight is None:
        return None, -math.inf
    largest = float(torch.linalg.vector_norm(weight, math.inf))
    if largest == 0 or not math.isfinite(largest):
        return torch.zeros_like(weight), -math.inf if largest == 0 else math.nan
    if 1 / SAFE < largest < SAFE:
        return (weight.abs() if p == 1 else weight.square()), 0.0
    return (weight / largest).abs_().pow_(p), p * math.log(largest)


def _window_sums(module: nn.MaxPool2d, values: Tensor, out_shape: tuple[int, ...]) -> Tensor:
    """Sum over each window of a max pooling, shape (1, *out_shape); padding counts as 0."""
    k, s = _pair(module.kernel_size), _pair(module.stride)
    d, p = _pair(module.dilation), _pair(module.padding)
    sides: list[int] = []  # left, right, top, bottom, the order of `pad`: the last axis first
    for axis in (1, 0):
        size, out = values.shape[2 + axis], out_shape[1 + axis]
        # where the last window ends: beyond the map in ceil mode, possibly before its end else
        reach = (out - 1) * s[axis] + d[axis] * (k[axis] - 1) + 1
        sides += [p[axis], reach - size - p[axis]]
    channels = values.shape[1]
    ones = values.new_ones(channels, 1, *k)
    return conv2d(pad(values, sides), ones, stride=s, dilation=d, groups=channels)


def _averaging_weights(layer: Layer, values: Tensor) -> Tensor:
    """Return the weight 1/k² of the inputs of each output of an average pooling, (1, ...)."""
    module = layer.module
    if isinstance(module, nn.AvgPool2d):
        # the mean of a window of ones over its sum is 1 / divisor, however the layer counts padding
        ones = torch.ones_like(values[:, :1])
        window = nn.MaxPool2d(
            module.kernel_size, module.stride, module.padding, ceil_mode=module.ceil_mode
        )
        return module(ones) / _window_sums(window, ones, (1, *layer.out_shape[1:]))
    height, width = (
        torch.tensor([1 / _adaptive_window(i, out, size) for i in range(out)], dtype=values.dtype)
        for size, out in zip(layer.in_shape[1:], layer.out_shape[1:], strict=True)
    )
    return (height[:, None] * width).to(values.device)


def _adaptive_window(i: int, out: int, size: int) -> int:
    """Count the inputs, of `size`, that the i-th of `out` outputs averages; windows may overlap."""
    return math.ceil((i + 1) * size / out) - math.floor(i * size / out)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)
