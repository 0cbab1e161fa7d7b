"""Compute path norms: exact sums over the paths of the unrolled network, by one forward pass.

A path runs from an input unit, or from a bias, to an output unit; its weight is the product of the
weights on it. Propagating an input of ones through the network with |w|^p for w sums the p-th
powers of all path weights. The trap avoided: layers without weights change that sum too. An average
pooling is a layer of weights 1/k², which enter as (1/k²)^p. A max pooling can pass any one of its
inputs, so each of them is on a path, and its output is the sum over the window. A plain forward
pass would keep only the largest path sum; that variant is reported too, as `_maxpool`.
"""

import math
from collections.abc import Callable
from math import log

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from gentool.measures.measured import HOMOGENEOUS, LIPSCHITZ, Log, Measured, Undefined, needs
from gentool.measures.registry import MEASURES
from gentool.networks.canonical import Layer
from gentool.networks.tracing import ACTIVATIONS

Factor = Callable[[Layer], float]
"""The constant by which a bound multiplies each weight of a layer (after the power p)."""


@MEASURES.register_path
def l1_path(net: Measured) -> Log:
    """l1-path norm capacity, over all paths.

        γ⁻² (Σ_paths ∏ |w|)²

    The sum is over all paths of the unrolled network from an input or a bias to an output, each
    input of a max pooling a path; γ is the margin. The factors 2 of the bound are left out. The
    paper plots l1_path_maxpool: the largest path sum alone goes through a max pooling.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(2 * log_path_sum(net, 1) - 2 * net.log_gamma)


@MEASURES.register_path
@needs(HOMOGENEOUS, LIPSCHITZ)
def l1_path_bound(net: Measured) -> Log:
    """l1-path norm capacity of the paper's bound.

        γ⁻² (Σ_paths ∏ 2|w|)²

    As l1_path, each weight and bias on a path twice as large.
    Needs activations that are positively homogeneous and 1-Lipschitz.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(2 * log_path_sum(net, 1, _two) - 2 * net.log_gamma)


@MEASURES.register_path
def l2_path(net: Measured) -> Log:
    """l2-path norm capacity, over all paths.

        γ⁻² Σ_paths ∏ w²

    The sum is over all paths of the unrolled network from an input or a bias to an output, each
    input of a max pooling a path; γ is the margin. The factors 4 hᵢ of the bound are left out. The
    paper plots l2_path_maxpool: the largest path sum alone goes through a max pooling.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(log_path_sum(net, 2) - 2 * net.log_gamma)


@MEASURES.register_path
@needs(HOMOGENEOUS, LIPSCHITZ)
def l2_path_bound(net: Measured) -> Log:
    """l2-path norm capacity of the paper's bound, hᵢ the channels of a convolution.

        γ⁻² Σ_paths ∏ 4 hᵢ w²

    As l2_path, with hᵢ the outputs of layer i, of a convolution its channels.
    Needs activations that are positively homogeneous and 1-Lipschitz.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(log_path_sum(net, 2, _four_channels) - 2 * net.log_gamma)


@MEASURES.register_path
@needs(HOMOGENEOUS, LIPSCHITZ)
def l2_path_bound_operator(net: Measured) -> Log:
    """l2-path norm capacity of the paper's bound, hᵢ the units of the unrolled network.

        γ⁻² Σ_paths ∏ 4 hᵢ w²

    As l2_path, with hᵢ all output units of layer i, of a convolution channels · height · width.
    Needs activations that are positively homogeneous and 1-Lipschitz.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(log_path_sum(net, 2, _four_units) - 2 * net.log_gamma)


def _one(layer: Layer) -> float:
    return 1.0


def _two(layer: Layer) -> float:
    return 2.0


def _four_channels(layer: Layer) -> float:
    return 4.0 * layer.channels


def _four_units(layer: Layer) -> float:
    return 4.0 * layer.units


def log_path_sum(net: Measured, p: int, factor: Factor = _one) -> float:
    """Return the log of the sum over all paths of the product of factor · |w|^p; -inf if it is 0.

    It is exact up to rounding in float64: after each layer the sums are divided by the largest,
    and the logarithm of that divisor is kept, so that nothing overflows. Raise Undefined for NaN or
    infinite weights.
    """
    key = (p, factor, net.biases, net.largest_path)
    if key not in net.path_sums:
        net.path_sums[key] = _log_path_sum(net, p, factor)
    return net.path_sums[key]


def _log_path_sum(net: Measured, p: int, factor: Factor) -> float:
    net.check_size()
    ones = torch.ones(1, *net.network.input_shape, dtype=torch.float64, device=net.network.device)
    sums = _Scaled(ones)
    with torch.inference_mode():
        for layer in net.network.layers:
            sums = _sums_after(layer, sums, p, factor, net)
    total = float(sums.values.sum())
    if not math.isfinite(total):
        raise Undefined("some weights are NaN or infinite, so the sum over paths does not exist")
    return sums.log_scale + log(total) if total > 0 else -math.inf


class _Scaled:
    """Hold the path sums into the units of one layer as `values` times exp(`log_scale`).

    The largest of `values` is 1, unless all are 0.
    """

    def __init__(self, values: Tensor, log_scale: float = 0.0) -> None:
        largest = float(values.amax())
        self.values = values / largest if largest > 0 else values  # (1, ...), not negative
        self.log_scale = log_scale + (log(largest) if largest > 0 else 0.0)


def _sums_after(layer: Layer, sums: _Scaled, p: int, factor: Factor, net: Measured) -> _Scaled:
    """Compute the path sums after a layer from the sums before it."""
    module, values = layer.module, sums.values
    if layer.has_weight:
        return _after_weights(layer, sums, p, factor(layer), net.biases)
    if isinstance(module, nn.MaxPool2d) and not net.largest_path:
        return _Scaled(_window_sums(module, values, layer.out_shape), sums.log_scale)
    if isinstance(module, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        shares = _averaging_weights(layer, values)
        return _Scaled(module(values) * shares ** (p - 1), sums.log_scale)
    if type(module) in ACTIVATIONS:  # a path goes on through a unit, whatever its activation is
        return sums
    return _Scaled(module(values), sums.log_scale)  # flattening, largest path of a window


def _after_weights(layer: Layer, sums: _Scaled, p: int, factor: float, biases: bool) -> _Scaled:
    """Compute factor · (Σ |w|^p s + |b|^p), weights and biases each divided by their largest."""
    module = layer.module
    weight, log_weight = _powers(module.weight, p)
    bias, log_bias = _powers(module.bias if biases else None, p)
    scale = max(sums.log_scale + log_weight, log_bias)
    if not math.isfinite(scale):  # all weights are 0, or some are not finite
        return _Scaled(sums.values.new_full((1, *layer.out_shape), 0.0 if scale < 0 else math.nan))
    parameters = {"weight": weight}
    if module.bias is not None:
        parameters["bias"] = torch.zeros_like(module.bias)
    values = torch.func.functional_call(module, parameters, (sums.values,))
    values *= math.exp(sums.log_scale + log_weight - scale)
    if bias is not None:
        bias *= math.exp(log_bias - scale)
        values += bias[:, None, None] if isinstance(module, nn.Conv2d) else bias
    return _Scaled(values, scale + log(factor))


def _powers(weight: Tensor | None, p: int) -> tuple[Tensor | None, float]:
    """Return |w|^p divided by its maximum, and the log of the maximum.

    The log is -inf without weights or if all are 0, inf if a weight is NaN or infinite.
    """
    if weight is None:
        return None, -math.inf
    largest = float(weight.abs().amax())
    if largest == 0 or not math.isfinite(largest):
        return torch.zeros_like(weight), -math.inf if largest == 0 else math.inf
    return (weight / largest).abs_().pow_(p), p * log(largest)


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
