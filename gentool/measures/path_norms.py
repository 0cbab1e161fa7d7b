"""Path norms: exact sums over the paths of the unrolled network, by one forward pass.

A path runs from an input unit, or from a bias, to an output unit; its weight is the product of the
weights on it. Propagating an input of ones through the network with |w|^p for w sums the p-th
powers of all of them. The trap: every layer that is not a weight layer has to be what it is in that
sum. An average pooling is a layer of weights 1/k², which enter as (1/k²)^p; a max pooling passes
any one of its inputs, so that each of them is a path and the sum of the window goes on. A plain
forward pass would keep the largest path sum alone; that reading is reported too, as `_maxpool`.
"""

import math
from collections.abc import Callable
from math import log

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from gentool.measures.measured import Log, Measured, Undefined
from gentool.measures.registry import MEASURES
from gentool.networks.canonical import Layer

Factor = Callable[[Layer], float]
"""The constant by which a bound multiplies each weight of a layer (after the power p)."""


@MEASURES.register_path
def l1_path(net: Measured) -> Log:
    """l1-path norm capacity, as the paper plots it.

        γ⁻² (Σ_paths ∏ |w|)²

    The sum is over all paths of the unrolled network from an input or a bias to an output, each
    input of a max pooling a path; γ is the margin. The factors 2 of the bound are left out.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(2 * log_path_sum(net, 1) - 2 * net.log_gamma)


@MEASURES.register_path
def l1_path_bound(net: Measured) -> Log:
    """l1-path norm capacity of the paper's bound.

        γ⁻² (Σ_paths ∏ 2|w|)²

    As l1_path, each weight and bias on a path twice as large.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(2 * log_path_sum(net, 1, _two) - 2 * net.log_gamma)


@MEASURES.register_path
def l2_path(net: Measured) -> Log:
    """l2-path norm capacity, as the paper plots it.

        γ⁻² Σ_paths ∏ w²

    The sum is over all paths of the unrolled network from an input or a bias to an output, each
    input of a max pooling a path; γ is the margin. The factors 4 hᵢ of the bound are left out.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(log_path_sum(net, 2) - 2 * net.log_gamma)


@MEASURES.register_path
def l2_path_bound(net: Measured) -> Log:
    """l2-path norm capacity of the paper's bound, hᵢ as in the kernel view.

        γ⁻² Σ_paths ∏ 4 hᵢ w²

    As l2_path, with hᵢ the outputs of layer i, of a convolution its channels.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(log_path_sum(net, 2, _four_channels) - 2 * net.log_gamma)


@MEASURES.register_path
def l2_path_bound_operator(net: Measured) -> Log:
    """l2-path norm capacity of the paper's bound, hᵢ the units of the unrolled network.

        γ⁻² Σ_paths ∏ 4 hᵢ w²

    As l2_path, with hᵢ all output units of layer i, of a convolution channels · height · width.
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
    """log of the sum over all paths of the product of factor · |w|^p; -inf where it is 0.

    Exact up to rounding in float64: after each layer the sums are divided by their largest, whose
    logarithm is kept, so that nothing overflows. Raises Undefined for NaN or infinite weights.
    """
    key = (p, factor, net.biases, net.largest_path)
    if key not in net.path_sums:
        net.path_sums[key] = _log_path_sum(net, p, factor)
    return net.path_sums[key]


def _log_path_sum(net: Measured, p: int, factor: Factor) -> float:
    ones = torch.ones(1, *net.network.input_shape, dtype=torch.float64, device=net.network.device)
    sums = _Scaled(ones)
    with torch.inference_mode():
        for layer in net.network.layers:
            sums = _through(layer, sums, p, factor, net)
    total = float(sums.values.sum())
    if not math.isfinite(total):
        raise Undefined("some weights are NaN or infinite, so the sum over paths does not exist")
    return sums.log_scale + log(total) if total > 0 else -math.inf


class _Scaled:
    """Path sums into the units of one layer: `values` times exp(`log_scale`), the largest 1."""

    def __init__(self, values: Tensor, log_scale: float = 0.0) -> None:
        largest = float(values.amax())
        self.values = values / largest if largest > 0 else values  # (1, ...), not negative
        self.log_scale = log_scale + (log(largest) if largest > 0 else 0.0)


def _through(layer: Layer, sums: _Scaled, p: int, factor: Factor, net: Measured) -> _Scaled:
    """The path sums after a layer, from those before it."""
    module, values = layer.module, sums.values
    if layer.has_weight:
        return _through_weights(layer, sums, p, factor(layer), net.biases)
    if isinstance(module, nn.MaxPool2d) and not net.largest_path:
        return _Scaled(_window_sums(module, values, layer.out_shape), sums.log_scale)
    if isinstance(module, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        return _Scaled(module(values) * _shares(layer, values) ** (p - 1), sums.log_scale)
    return _Scaled(module(values), sums.log_scale)  # ReLU, flattening, the largest of a window


def _through_weights(layer: Layer, sums: _Scaled, p: int, factor: float, biases: bool) -> _Scaled:
    """factor · (Σ |w|^p s + |b|^p), weights and biases each scaled by their own largest."""
    module = layer.module
    weight, log_weight = _powers(module.weight, p)
    bias, log_bias = _powers(module.bias if biases else None, p)
    scale = max(sums.log_scale + log_weight, log_bias)
    if not math.isfinite(scale):  # all are zero, or some are not finite
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
    """|w|^p over the largest of them, and its logarithm: infinite for NaN and infinite weights."""
    if weight is None:
        return None, -math.inf
    largest = float(weight.abs().amax())
    if largest == 0 or not math.isfinite(largest):
        return torch.zeros_like(weight), -math.inf if largest == 0 else math.inf
    return (weight / largest).abs_().pow_(p), p * log(largest)


def _window_sums(module: nn.MaxPool2d, values: Tensor, out_shape: tuple[int, ...]) -> Tensor:
    """The sum of each window of a max pooling, shape (1, *out_shape); padding adds nothing."""
    k, s = _pair(module.kernel_size), _pair(module.stride)
    d, p = _pair(module.dilation), _pair(module.padding)
    margins: list[int] = []  # left, right, top, bottom, as `pad` wants them: the last axis first
    for axis in (1, 0):
        size, out = values.shape[2 + axis], out_shape[1 + axis]
        # how far the last window reaches: beyond the map in ceil mode, short of it at a stride
        reach = (out - 1) * s[axis] + d[axis] * (k[axis] - 1) + 1
        margins += [p[axis], reach - size - p[axis]]
    channels = values.shape[1]
    ones = values.new_ones(channels, 1, *k)
    return conv2d(pad(values, margins), ones, stride=s, dilation=d, groups=channels)


def _shares(layer: Layer, values: Tensor) -> Tensor:
    """The weight 1/k² with which each output of an average pooling takes its inputs, (1, ...)."""
    module = layer.module
    if isinstance(module, nn.AvgPool2d):
        # the layer's own divisor, whatever it counts: mean over number of a window of ones
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
    """How many of `size` inputs the i-th of `out` outputs averages; windows may overlap."""
    return math.ceil((i + 1) * size / out) - math.floor(i * size / out)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)
