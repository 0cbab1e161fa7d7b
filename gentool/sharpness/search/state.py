"""Hold the state of a search: the loss to raise, the box, the cost so far, the best point.

Every search computes losses and gradients over the whole set through its state, so that the best
point is never lost and the cost of all searches is counted in the same units.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from gentool.sharpness.box import Box
from gentool.sharpness.objective import GRADIENT_COST, Objective


class OutOfTimeError(Exception):
    """Raised when the time of a search is over; the best point so far stays in the state."""


@dataclass
class Start:
    """Hold one row of the table of starts: the origin of a candidate and its best rise.

    `images` is the number of images of that rise: of a start that was dropped early, a part only.
    """

    name: str
    rise: float
    images: int


@dataclass
class SearchState:
    """Hold a search that raises the loss of `objective` within `box`; `loss_before` is L(w).

    `alpha` and `method` name the search. `units` is the most that it may cost, in forward passes
    over the whole set; `deadline` the time at which it has to stop, as time.monotonic(). `show` is
    called with the state before every chunk of work.
    """

    objective: Objective
    box: Box
    loss_before: float
    generator: torch.Generator
    alpha: float = math.nan
    method: str = ""
    units: float = math.inf
    expected_units: float = 0.0  # estimated cost, for the progress bar
    part: tuple[int, int] = (0, 1)  # number, and of how many searches, for the progress bar
    deadline: float = math.inf
    show: Callable[["SearchState"], None] = lambda state: None
    best_loss: float = -math.inf
    best_point: Tensor | None = None
    best_on_sample: Tensor | None = None  # signs of the best corner on a part of the set, as kept
    overflowed: bool = False
    starts: list[Start] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.objective = replace(self.objective, watch=self.watch)  # the cost is one count

    @property
    def candidates_per_chunk(self) -> int:
        """Return how many points are evaluated together."""
        return self.objective.candidates_per_chunk

    @property
    def rise(self) -> float:
        """Return the best rise over the whole set, 0 if no point was above w."""
        return max(0.0, self.best_loss - self.loss_before)

    @property
    def has_evaluated(self) -> bool:
        """Return whether any point was evaluated, on the whole set or on a part of it."""
        return self.best_point is not None or self.best_on_sample is not None

    @property
    def units_spent(self) -> float:
        return self.objective.spent.units(len(self.objective))

    @property
    def fraction_done(self) -> float:
        """Return about how much of the work is done: of the units allowed, or of those expected."""
        allowed = self.units if math.isfinite(self.units) else self.expected_units
        of_this = min(1.0, self.units_spent / allowed) if allowed else 0.0
        number, of_all = self.part
        return (number + of_this) / of_all

    def affords(self, units: float) -> bool:
        """Return whether the search may cost so many units more."""
        return self.units_spent + units <= self.units + 1e-9

    @property
    def affords_gradient(self) -> bool:
        return self.affords(GRADIENT_COST)

    def watch(self) -> None:
        """Show progress; raise OutOfTimeError if the time is over. Called before every chunk."""
        self.show(self)
        if time.monotonic() > self.deadline:
            raise OutOfTimeError

    def losses(self, points: Tensor) -> Tensor:
        """Return losses over the whole set at points (k, P); remember the best point."""
        return self._remember_best(points, self.objective.losses(points))

    def gradients(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return losses and gradients over the whole set at points; remember the best point."""
        losses, gradients = self.objective.gradients(points)
        return self._remember_best(points, losses), gradients

    def mark_overflow(self, losses: Tensor) -> Tensor:
        """Return losses with −∞ for those that overflowed, so that they are never the best."""
        finite = losses.isfinite()
        self.overflowed |= not bool(finite.all())
        return torch.where(finite, losses, -torch.inf)

    def random_signs(self, count: int) -> Tensor:
        """Return random corners, bool of shape (count, P)."""
        shape = (count, len(self.box.center))
        signs = torch.randint(2, shape, generator=self.generator, dtype=torch.bool)
        return signs.to(self.box.center.device)

    @cached_property
    def hardest_first(self) -> Tensor:
        """Return the indices of the images by their loss at w, the highest first, shape (m,)."""
        losses = self.objective.image_losses(self.center)
        return losses.argsort(descending=True, stable=True)

    @property
    def center(self) -> Tensor:
        """Return w in the precision of the search."""
        return self.box.middle

    def sample(self, images: int) -> Objective:
        """Return an estimate of the loss from so many images, half of them the hardest at w.

        A small perturbation raises the loss of the hardest images and of few others, so a plain
        sample would miss most of the rise. The other half is drawn at random and weighted up for
        all the rest, which keeps the estimate unbiased.
        """
        whole = len(self.objective)
        if images >= whole:
            return self.objective
        hard, others = self.hardest_first.tensor_split([images // 2])
        order = torch.randperm(len(others), generator=self.generator)[: images - len(hard)]
        drawn = others[order.to(others.device)]
        weights = torch.ones(images, dtype=torch.float64, device=others.device)
        weights[len(hard) :] = len(others) / len(drawn)
        return self.objective.part(torch.cat([hard, drawn]), weights)

    def _remember_best(self, points: Tensor, losses: Tensor) -> Tensor:
        losses = self.mark_overflow(losses)
        i = int(losses.argmax())
        if losses[i] > self.best_loss:
            if self.best_point is None:
                self.best_point = points[i].detach().clone()
            else:  # in its place: another copy of a large network may not fit
                self.best_point.copy_(points[i].detach())
            self.best_loss = float(losses[i])
        return losses
