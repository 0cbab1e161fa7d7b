"""Refine corners by small steps.

If the signs of a gradient alternate from step to step, the maximum is inside a face, and vertex
iteration steps over it. In networks without batch norm the rise inside can be 5 % above that at
the corner, and which corner leads to the highest is seen after some steps only: several are refined
for a short time, and the best of them until it gains nothing.
"""

import torch
from torch import Tensor

from gentool.sharpness.search.bits import corner_at
from gentool.sharpness.search.climb import MIN_GAIN
from gentool.sharpness.search.state import SearchState

FIRST_STEP = 0.5  # step of every coordinate, in units of its own radius
GROWTH, SHRINKING = 1.2, 0.5  # where the sign is the same, and where it has changed
ROUND_STEPS = 10  # between two looks at whether the refinement still gains
ROUNDS = 10


def refine(state: SearchState, corners: Tensor, steps: int | None = None) -> None:
    """Refine corners, their signs as kept, for a round each, then the best of them.

    That one goes on until a round gains too little; with `steps`, to so many steps in all.
    """
    leader, leading, highest = None, None, -torch.inf
    most = ROUNDS * ROUND_STEPS if steps is None else steps
    chunks = corners.split(state.candidates_per_chunk)
    for chunk in chunks:
        refined = _first_round(state, chunk, most)
        if leading is None or refined.losses.max() > highest:
            leading, highest = chunk, float(refined.losses.max())
            if not state.box.is_large or len(chunks) == 1:
                leader = refined.best()
        del refined
    if leader is None:  # a large one is refined again: two of them would not fit
        leader = _first_round(state, leading, most).best()
    for done in range(ROUND_STEPS, most, ROUND_STEPS):
        before = float(leader.losses)
        leader.run(min(ROUND_STEPS, most - done))
        if steps is None and not float(leader.losses) - before > MIN_GAIN * state.rise:
            break
    state.losses(leader.points)


def _first_round(state: SearchState, corners: Tensor, most: int) -> "Rprop":
    refined = Rprop(state, corner_at(state.box, corners))
    refined.run(min(ROUND_STEPS, most))
    return refined


class Rprop:
    """Step along the gradient's signs, half as far in each coordinate whose sign has changed.

    Coordinates whose maximum is between the faces find it by bisection, the others stay at their
    face: Rprop (Riedmiller and Braun, ICNN 1993), projected onto the box. `points`, (k, P), are
    where the candidates are, `losses`, (k,), the highest that each has seen.
    """

    def __init__(self, state: SearchState, points: Tensor) -> None:
        self.state, self.points = state, points
        self.sizes = torch.empty_like(points)
        for block, low, high in state.box.blocks():
            self.sizes[:, block] = FIRST_STEP * ((high - low) / 2)
        self.signs = torch.zeros_like(points, dtype=torch.int8)
        self.losses = torch.full(
            (len(points),), -torch.inf, dtype=torch.float64, device=points.device
        )

    def run(self, steps: int) -> None:
        """Take some steps; the points after the last of them are not evaluated yet."""
        for _ in range(steps):
            losses, gradients = self.state.gradients(self.points)
            self.losses = torch.maximum(self.losses, losses)
            for block, low, high in self.state.box.blocks():
                self._step(block, low, high, gradients[:, block])
            del gradients  # before the next: they are as large as the points

    def _step(self, block: slice, low: Tensor, high: Tensor, gradients: Tensor) -> None:
        """Move a block of coordinates along their gradients."""
        points, sizes, before = (part[:, block] for part in (self.points, self.sizes, self.signs))
        signs = gradients.nan_to_num_(0).sign()  # of an overflow: it stays where it is
        kept = signs * before
        factors = torch.where(kept < 0, SHRINKING, torch.where(kept > 0, GROWTH, 1.0))
        sizes.copy_((sizes * factors.to(sizes)).minimum((high - low) / 2))
        points.copy_((points + sizes * signs).clamp(low, high))
        before.copy_(signs)

    def best(self) -> "Rprop":
        """Return the candidate with the highest loss, to go on from where it is."""
        if len(self.points) == 1:
            return self
        i = int(self.losses.argmax())
        other = Rprop(self.state, self.points[i : i + 1].clone())
        other.sizes, other.signs = self.sizes[i : i + 1].clone(), self.signs[i : i + 1].clone()
        other.losses = self.losses[i : i + 1].clone()
        return other
