"""Small steps from the best corner found.

Where the signs of a gradient alternate from step to step, the maximum is on a face, which sign
steps pass over.
"""

import torch
from torch import Tensor

from gentool.sharpness.search.state import SearchState

FIRST_STEP = 0.5  # step of every coordinate, in units of its own radius
GROWTH, SHRINKING = 1.2, 0.5  # where the sign has stayed, and where it has turned


def rprop(state: SearchState, point: Tensor | None, steps: int) -> None:
    """Steps along the gradient's signs, halved for each coordinate whose sign has turned.

    So each coordinate that belongs between the faces finds its place by bisection, while those at
    their corner stay: Rprop (Riedmiller and Braun, ICNN 1993), projected onto the box.
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
