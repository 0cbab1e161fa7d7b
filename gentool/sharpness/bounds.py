"""What the maximum is compared with: a first-order prediction, bounds from above, enumeration.

The search bounds ζ from below. The first-order prediction bounds nothing, but says how far the rise
is from linear. Interval propagation bounds ζ from above, loosely, for MLPs. For a linear model with
few parameters all corners can be tried: its loss is convex in w, so its maximum is at one of them.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gentool.errors import GentoolError
from gentool.sharpness.box import radius
from gentool.sharpness.objective import CPU_MEMORY
from gentool.sharpness.problem import Problem
from gentool.sharpness.subject import Subject
from gentool.sharpness.table import defines
from gentool.training_set import Examples

MOST_EXACT = 24  # of which all corners are tried
ROUNDING = 1e-9  # relative; what is added to the interval bound for float64's own errors


@defines("sharpness_first_order")
def first_order(gradient: Tensor, weights: Tensor, alpha: float) -> float:
    """Rise of the linearised loss over the box; no bound, but near the rise for small α.

        Σ rᵢ |gᵢ|,  rᵢ = α(|wᵢ|+1),  g = ∇L(f_w)

    Keskar et al., On Large-Batch Training for Deep Learning, ICLR 2017.
    """
    return float((radius(weights, alpha) * gradient.double().abs()).sum())


def is_mlp(subject: Subject) -> bool:
    """Whether the network is a chain of flattening, linear layers and ReLU."""
    layers = [m for m in subject.module.modules() if not list(m.children())]
    return all(isinstance(layer, (nn.Flatten, nn.Linear, nn.ReLU)) for layer in layers)


@torch.inference_mode()
@defines("sharpness_interval_bound")
def interval_bound(subject: Subject, examples: Examples, alpha: float, loss: float) -> float | None:
    """Upper bound of the rise by interval propagation, for MLPs; loose.

        mean over x of max log(1 + Σ_{j≠y} exp(f_j − f_y)) over intervals, − L(f_w)

    None where the network is no MLP. With each unit in m ± d and each weight in W ± R, a layer's
    outputs are in W m + b ± (|W| d + R (|m| + d) + r). Every image may take its own worst weights,
    and every unit too, so that the bound is sound and loose. The paper has an interval for the
    input alone, this one for the weights.

    Gowal et al., On the Effectiveness of Interval Bound Propagation, 2018.
    """
    if not is_mlp(subject):
        return None
    *hidden, last = [m for m in subject.module.modules() if isinstance(m, (nn.Linear, nn.ReLU))]
    size = max(1, CPU_MEMORY // (64 * subject.activations))
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
    """Middle and spread of a layer's outputs, its weights anywhere in the box."""
    R = radius(layer.weight, alpha)
    wide = linear(spread, layer.weight.abs()) + linear(middle.abs() + spread, R)
    if layer.bias is None:
        return linear(middle, layer.weight), wide
    return linear(middle, layer.weight, layer.bias), wide + radius(layer.bias, alpha)


def _worst_losses(
    layer: nn.Linear, middle: Tensor, spread: Tensor, labels: Tensor, alpha: float
) -> Tensor:
    """A bound of each image's cross-entropy, from bounds of f_j − f_y for every class j."""
    W, R = layer.weight, radius(layer.weight, alpha)
    bias = layer.bias if layer.bias is not None else W.new_zeros(len(W))
    r = radius(layer.bias, alpha) if layer.bias is not None else bias
    losses = torch.zeros(len(labels), dtype=torch.float64, device=labels.device)
    for y in labels.unique().tolist():
        rows = labels == y
        m, d = middle[rows], spread[rows]
        ahead = linear(m, W - W[y], bias - bias[y]) + linear(d, (W - W[y]).abs())
        ahead += linear(m.abs() + d, R + R[y]) + r + r[y]
        ahead[:, y] = 0
        losses[rows] = ahead.logsumexp(dim=1)
    return losses


def check_enumerable(subject: Subject) -> None:
    """Raise GentoolError for a network whose corners cannot, or need not, be enumerated."""
    count = len(subject.weights)
    if not is_mlp(subject) or sum(isinstance(m, nn.Linear) for m in subject.module.modules()) != 1:
        raise GentoolError("--exact is for linear models: a network's maximum need not be a corner")
    if count > MOST_EXACT:
        raise GentoolError(
            f"--exact would try 2^{count} corners, for {count} parameters; "
            f"2^{MOST_EXACT} is the most"
        )


@defines("sharpness_exact")
def enumerate_corners(problem: Problem) -> None:
    """The maximum itself, of a linear model of {MOST_EXACT} parameters at most, by enumeration.

        max over νᵢ ∈ {−rᵢ, rᵢ} of L(f_{w+ν}) − L(f_w)

    Every corner is tried; the best point is left in the problem.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    size = len(problem.box.center)
    bits = torch.arange(size, device=problem.box.low.device)
    step = max(1, problem.objective.candidates)
    for start in range(0, 2**size, step):
        numbers = torch.arange(start, min(start + step, 2**size), device=bits.device)
        problem.losses(problem.box.corner((numbers[:, None] >> bits & 1).bool()))
