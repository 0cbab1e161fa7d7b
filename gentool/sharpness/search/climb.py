"""Move from corner to corner of the box by vertex iteration, ν ← r·sign(∇L(w + ν)).

The maximum of a smooth rise over a box lies near a corner that follows the gradient's signs.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gentool.sharpness.box import Box
from gentool.sharpness.objective import Objective
from gentool.sharpness.search.bits import corner_at, pack, unpack
from gentool.sharpness.search.state import SearchState

MIN_GAIN = 1e-4  # of the rise; a candidate that gains less has arrived, a generation was in vain


def corner_of_gradient(gradient: Tensor, otherwise: Tensor) -> Tensor:
    """Return the corner that a gradient points to; where it is zero, the signs of `otherwise`."""
    return torch.where(gradient == 0, otherwise, gradient > 0)


def vertex_step(
    objective: Objective | SearchState, box: Box, signs: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the losses at corners, and the corners that the gradients point to; signs as kept."""
    chunks = signs.split(objective.candidates_per_chunk)
    losses, following = zip(*(_step_of(objective, box, chunk) for chunk in chunks), strict=True)
    return torch.cat(losses), torch.cat(following)


def _step_of(objective: Objective | SearchState, box: Box, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return losses and following corners of one chunk; its gradients are gone before the next."""
    signs = unpack(kept, len(box.center))
    losses, gradients = objective.gradients(box.corner(signs))
    return losses, pack(corner_of_gradient(gradients, signs))


def has_gained(losses: Tensor, gains: Tensor, loss_before: float) -> Tensor:
    """Return whether each gain is more than MIN_GAIN of the rise of the loss, elementwise."""
    return gains > MIN_GAIN * (losses - loss_before).abs()


class Climb:
    """Move k corners of a box by vertex iteration, and keep the best loss and corner of each.

    The loss is over the whole set (`SearchState`) or over a part of it (`Objective`). `losses` and
    `corners` are the best of each candidate, `active` the indices of the candidates that still
    move, and `signs` the corners to evaluate next. Signs are kept as `bits` says.
    """

    def __init__(
        self,
        objective: Objective | SearchState,
        box: Box,
        signs: Tensor,  # of k corners
        losses: Tensor | None = None,  # (k,), to exceed; None: −∞
        mark_overflow: Callable[[Tensor], Tensor] = lambda losses: losses,
    ) -> None:
        self.objective, self.box, self.mark_overflow = objective, box, mark_overflow
        none = torch.full((len(signs),), -torch.inf, dtype=torch.float64, device=signs.device)
        self.losses = none if losses is None else losses.clone()
        self.corners, self.signs = signs.clone(), signs
        self.active = torch.arange(len(signs), device=signs.device)

    @classmethod
    def from_point(
        cls, objective: Objective | SearchState, box: Box, point: Tensor, otherwise: Tensor
    ) -> "Climb":
        """Start at the corner of the gradient at a point (P,), whose loss has to be exceeded."""
        losses, gradients = objective.gradients(point[None])
        return cls(objective, box, pack(corner_of_gradient(gradients, otherwise)), losses)

    def step(self) -> tuple[Tensor, Tensor]:
        """Evaluate and move the active candidates; return their losses and gains."""
        losses, following = vertex_step(self.objective, self.box, self.signs)
        losses, gains = self._keep_best(losses)
        self.signs = following
        return losses, gains

    def keep(self, goes_on: Tensor) -> None:
        """Keep only some of the active candidates moving."""
        self.active, self.signs = self.active[goes_on], self.signs[goes_on]

    def look(self, candidates: int | None = None) -> None:
        """Evaluate the last corners too, so many candidates at a time, without a step."""
        size = candidates or self.objective.candidates_per_chunk
        chunks = self.signs.split(size) if len(self.signs) else ()
        losses = [self.objective.losses(corner_at(self.box, chunk)) for chunk in chunks]
        if losses:
            self._keep_best(torch.cat(losses))

    def _keep_best(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        losses = self.mark_overflow(losses)
        gains = losses - self.losses[self.active]
        higher = gains > 0
        self.losses[self.active[higher]] = losses[higher]
        self.corners[self.active[higher]] = self.signs[higher]
        return losses, gains


def climb_until_arrived(
    state: SearchState, signs: Tensor, steps: int, patience: int = 1
) -> tuple[Tensor, Tensor]:
    """Return the best losses, (k,), and corners of candidates that move until they gain too little.

    Each moves at most `steps` times, and stops after `patience` steps in turn without a gain.
    """
    climb = Climb(state, state.box, signs)
    in_vain = torch.zeros(len(signs), dtype=torch.int64, device=signs.device)
    for _ in range(steps):
        losses, gains = climb.step()
        gained = has_gained(losses, gains, state.loss_before)
        in_vain = torch.where(gained, 0, in_vain + 1)
        goes_on = in_vain < patience
        climb.keep(goes_on)
        in_vain = in_vain[goes_on]
        if not len(climb.active):
            break
    return climb.losses, climb.corners
