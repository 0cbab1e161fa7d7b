"""Compute the loss along lines through a trained network, w + t ν for t from -1 to 1."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gentool.data.examples import Examples
from gentool.sharpness.box import box
from gentool.sharpness.evaluate import evaluate_point
from gentool.sharpness.functional import FunctionalNetwork

STEPS = 12  # evaluations on each side of w
RANDOM, RANDOM_STEPS = 3, 4
Losses = dict[float, float]  # by t, in order


@dataclass(frozen=True)
class Landscape:
    """Hold losses over the whole set along the worst ν known, and to random corners of its box."""

    alpha: float
    worst: Losses
    random: list[Losses]

    @property
    def before(self) -> float:
        """Return the loss of the network itself."""
        return self.worst[0.0]

    @property
    def rise(self) -> float:
        """Return the rise of the loss at w + ν."""
        return self.worst[1.0] - self.before


def landscape(
    network: FunctionalNetwork,
    examples: Examples,
    point: Tensor,
    alpha: float,
    seed: int = 0,
    show: Callable[[float], None] = lambda done: None,
) -> Landscape:
    """Return the losses along the lines to `point`, shape (P,), and to random corners, in float64.

    `show` is called with the fraction done.
    """
    device = examples.labels.device
    here = network.to(device)
    w = here.weights
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(2, (RANDOM, len(w)), generator=generator, dtype=torch.bool)
    corners = box(w, alpha, torch.float64).corner(signs.to(device))
    total, done = 1 + 2 * STEPS + 2 * RANDOM_STEPS * RANDOM, 0

    def loss(at: Tensor) -> float:
        nonlocal done
        value = evaluate_point(here, examples, at).loss
        done += 1
        show(done / total)
        return value

    before = loss(w)

    def along(end: Tensor, steps: int) -> Losses:
        places = [i / steps for i in range(-steps, steps + 1)]
        return {t: loss(torch.lerp(w, end, t)) if t else before for t in places}

    worst = along(point.to(w), STEPS)
    return Landscape(alpha, worst, [along(corner, RANDOM_STEPS) for corner in corners])
