"""Refine corners by small steps.

If the signs of a gradient alternate from step to step, the maximum is inside a face, and vertex
iteration steps over it. In networks without batch norm the rise inside can be 5 % above that at
the corner, and which corner leads to the highest is seen after some steps only: several are refined
for a short time, and the best of them until it gains nothing.
"""

import torch
from torch import Tensor

from gentool.sharpness.search.climb import MIN_GAIN
from gentool.sharpness.search.state import SearchState

FIRST_STEP = 0.5  # step of every coordinate, in units of its own radius
GROWTH, SHRINKING = 1.2, 0.5  # where the sign is the same, and where it has changed
ROUND_STEPS = 10  # between two looks at whether the refinement still gains
ROUNDS = 10


def refine(state: SearchState, corners: Tensor, steps: int | None = None) -> None:
    """Refine corners, bool (k, P), for a round each, then the best of them.

    That one goes on until a round gains too little; with `steps`, to so many steps in all.
    """
    leader = None
    most = ROUNDS * ROUND_STEPS if steps is None else steps
    for chunk in corners.split(state.candidates_per_chunk):
        refined = Rprop(state, state.box.corner(chunk))
        refined.run(min(ROUND_STEPS, most))
        if leader is None or refined.losses.max() > leader.losses.max():
            leader = refined.best()
    for done in range(ROUND_STEPS, most, ROUND_STEPS):
        before = float(leader.losses)
        leader.run(min(ROUND_STEPS, most - done))
        if steps is None and not float(leader.losses) - before > MIN_GAIN * state.rise:
            break
    state.losses(leader.points)


class Rprop:
    """Step along the gradient's signs, half as far in each coordinate whose sign has changed.

    Coordinates whose maximum is between the faces find it by bisection, the others stay at their
    face: Rprop (Riedmiller and Braun, ICNN 1993), projected onto the box. `points`, (k, P), are
    where the candidates are, `losses`, (k,), the highest that each has seen.
    """

    def __init__(self, state: SearchState, points: Tensor) -> None:
        self.state, self.points = state, points
        self.reach = (state.box.high - state.box.low) / 2
        self.sizes = FIRST_STEP * self.reach.expand_as(points)
        self.signs = torch.zeros_like(points)
        self.losses = torch.full(
            (len(points),), -torch.inf, dtype=torch.float64, device=points.device
        )

    def run(self, steps: int) -> None:
        """Take some steps; the points after the last of them are not evaluated yet."""
        for _ in range(steps):
            losses, gradients = self.state.gradients(self.points)
            self.losses = torch.maximum(self.losses, losses)
            signs = gradients.nan_to_num_(0).sign()  # of an overflow: it stays where it is
            kept = signs * self.signs
            factors = torch.where(kept < 0, SHRINKING, torch.where(kept > 0, GROWTH, 1.0))
            self.sizes = (self.sizes * factors.to(self.sizes)).minimum(self.reach)
            self.points = self.state.box.project(self.points + self.sizes * signs)
            self.signs = signs

    def best(self) -> "Rprop":
        """Return the candidate with the highest loss, to go on from where it is."""
        i = int(self.losses.argmax())
        other = Rprop(self.state, self.points[i : i + 1].clone())
        other.sizes, other.signs = self.sizes[i : i + 1].clone(), self.signs[i : i + 1].clone()
        other.losses = self.losses[i : i + 1].clone()
        return other
