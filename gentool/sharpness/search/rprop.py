"""Refine the best corner by small steps.

If the signs of a gradient alternate from step to step, the maximum is inside a face, and vertex
iteration steps over it.
"""

import torch
from torch import Tensor

from gentool.sharpness.search.state import SearchState

FIRST_STEP = 0.5  # step of every coordinate, in units of its own radius
GROWTH, SHRINKING = 1.2, 0.5  # where the sign is the same, and where it has changed


def rprop(state: SearchState, point: Tensor | None, steps: int) -> None:
    """Step along the gradient's signs, half as far in each coordinate whose sign has changed.

    Coordinates whose maximum is between the faces find it by bisection, the others stay at their
    face: Rprop (Riedmiller and Braun, ICNN 1993), projected onto the box.
    """
    if point is None:
        return
    reach = (state.box.high - state.box.low) / 2
    size = FIRST_STEP * reach
    before = torch.zeros_like(point)
    for _ in range(steps):
        _, gradients = state.gradients(point[None])
        signs = gradients[0].sign()
        kept = signs * before
        size = torch.where(kept < 0, SHRINKING * size, torch.where(kept > 0, GROWTH * size, size))
        size = size.minimum(reach)
        point = state.box.project(point + size * signs)
        before = signs
    state.losses(point[None])
