"""Compute what the maximum is compared with: a first-order prediction, and an upper bound.

The search bounds ζ from below. The first-order prediction bounds nothing, but says how far the rise
is from linear. Interval propagation bounds ζ from above, loosely, for MLPs. For small linear models
`search.enumeration` tries all corners.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gentool.data.examples import Examples
from gentool.numerics.memory import CPU_MEMORY
from gentool.sharpness.box import radius
from gentool.sharpness.definitions import defines
from gentool.sharpness.functional import FunctionalNetwork

BLOCK = 2**20  # parameters at a time
ROUNDING = 1e-9  # relative, added to the interval bound to cover rounding in float64


@defines("sharpness_first_order")
def first_order(gradient: Tensor, weights: Tensor, alpha: float) -> float:
    """Rise of the linearised loss over the box; no bound, but near the rise for small α.

        Σ rᵢ |gᵢ|,  rᵢ = α(|wᵢ|+1),  g = ∇L(f_w)

    Keskar et al., On Large-Batch Training for Deep Learning, ICLR 2017.
    """
    rises = torch.empty_like(weights)
    parts = zip(*(vector.split(BLOCK) for vector in (rises, weights, gradient)), strict=True)
    for into, w, g in parts:  # block by block: each product of a large network is large
        into.copy_(radius(w, alpha) * g.double().abs())
    return float(rises.sum())


@torch.inference_mode()
@defines("sharpness_interval_bound")
def interval_bound(
    network: FunctionalNetwork, examples: Examples, alpha: float, loss: float
) -> float | None:
    """Upper bound of the rise by interval propagation, for MLPs; loose.

        mean over x of max log(1 + Σ_{j≠y} exp(f_j − f_y)) over intervals, − L(f_w)

    None where the network is no MLP. With each unit in m ± d and each weight in W ± R, a layer's
    outputs are in W m + b ± (|W| d + R (|m| + d) + r). Every image may take its own worst weights,
    and every unit too, so that the bound is sound and loose. The paper has an interval for the
    input alone, this one for the weights.

    Gowal et al., On the Effectiveness of Interval Bound Propagation, 2018.
    """
    if not network.is_mlp:
        return None
    *hidden, last = [m for m in network.module.modules() if isinstance(m, (nn.Linear, nn.ReLU))]
    size = max(1, CPU_MEMORY // (64 * network.activations))
    total = 0.0
    for images, labels in examples.batches(size, torch.float64):
        middle = images.flatten(1)
        spread = torch.zeros_like(middle)
        for layer in hidden:
            if isinstance(layer, nn.ReLU):
                low, high = (middle - spread).relu(), (middle + spread).relu()
                middle, spread = (low + high) / 2, (high - low) / 2
            else:
                middle, spread = _linear(layer, middle, spread, alpha)
        total += float(_worst_losses(last, middle, spread, labels, alpha).sum())
    worst = total / len(examples)
    return worst - loss + ROUNDING * (worst + loss)


def _linear(
    layer: nn.Linear, middle: Tensor, spread: Tensor, alpha: float
) -> tuple[Tensor, Tensor]:
    """Return middle and spread of a layer's outputs, its weights anywhere in the box."""
    R = radius(layer.weight, alpha)
    wide = linear(spread, layer.weight.abs()) + linear(middle.abs() + spread, R)
    if layer.bias is None:
        return linear(middle, layer.weight), wide
    return linear(middle, layer.weight, layer.bias), wide + radius(layer.bias, alpha)


def _worst_losses(
    layer: nn.Linear, middle: Tensor, spread: Tensor, labels: Tensor, alpha: float
) -> Tensor:
    """Return a bound of each image's cross-entropy, from bounds of f_j − f_y for every class j."""
    W, R = layer.weight, radius(layer.weight, alpha)
    bias = layer.bias if layer.bias is not None else W.new_zeros(len(W))
    r = radius(layer.bias, alpha) if layer.bias is not None else bias
    if len(W) == 1:  # one output: the other logit is 0 in every network of the box
        W, R, bias, r = (torch.cat([torch.zeros_like(part), part]) for part in (W, R, bias, r))
    losses = torch.zeros(len(labels), dtype=torch.float64, device=labels.device)
    for y in labels.unique().tolist():
        rows = labels == y
        m, d = middle[rows], spread[rows]
        ahead = linear(m, W - W[y], bias - bias[y]) + linear(d, (W - W[y]).abs())
        ahead += linear(m.abs() + d, R + R[y]) + r + r[y]
        ahead[:, y] = 0
        losses[rows] = ahead.logsumexp(dim=1)
    return losses
