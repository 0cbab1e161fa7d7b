"""Register the searches by name, the default and those of the literature, at comparable cost.

Each goes on until its units are spent: a search that converges early starts again from another
point, so that all have the same budget.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy
import torch
from torch import Tensor

from gentool.common.registry import FunctionRegistry
from gentool.sharpness.objective import GRADIENT_COST
from gentool.sharpness.search.bits import corner_at, pack
from gentool.sharpness.search.climb import MIN_GAIN, Climb
from gentool.sharpness.search.multi_start import multi_start
from gentool.sharpness.search.protocols import KESKAR_ITERATIONS
from gentool.sharpness.search.state import SearchState, Start

METHODS = FunctionRegistry("search")

RUN_STEPS, FEWEST_STEPS = 50, 20  # of one run of pga and apgd
SUBSPACE = 100  # dimensions of Keskar et al.'s random subspace
ROWS = 2**19  # of its basis that are held at a time: 210 MB
HISTORY = 2**32  # bytes for the solver's history, ten steps unless they take more than this


@METHODS.register
def default(state: SearchState) -> None:
    """Many starts screened on a part of the data, the best finished by vertex iteration."""
    multi_start(state)


@METHODS.register
def random(state: SearchState) -> None:
    """Random corners of the box, the highest of them."""
    while state.affords(1):
        count = min(state.objective.candidates_per_chunk, int(state.units - state.units_spent))
        state.losses(state.box.corner(state.random_signs(max(1, count))))


@METHODS.register
def pga(state: SearchState) -> None:
    """Projected gradient ascent: steps of a quarter of each radius along the signs.

    From w, and again from a random point after each RUN_STEPS steps.
    Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018.
    """
    step = 0.25 * _half_widths(state)
    for point, steps in _runs(state):
        for _ in range(steps):
            _, gradient = state.gradients(point[None])
            point = state.box.project(point + step * gradient[0].sign())
        _look_at(state, point)


@METHODS.register
def apgd(state: SearchState) -> None:
    """Auto-PGD: momentum, and a step halved at checkpoints where progress has slowed.

    From w, and again from a random point after each RUN_STEPS steps.
    Croce and Hein, Reliable Evaluation of Adversarial Robustness, ICML 2020; rho 0.75, first step
    twice the radius.
    """
    for point, steps in _runs(state):
        _apgd_run(state, point, steps)


def _runs(state: SearchState) -> Iterator[tuple[Tensor, int]]:
    """Yield where runs start, w and then random points of the box, and how many steps they take.

    Each takes RUN_STEPS steps and a last look, or as many as the units allow. A rest of fewer than
    FEWEST_STEPS is too short for a run of its own, and belongs to the last one.
    """
    point = state.center
    while state.affords_gradient:
        steps = int((state.units - state.units_spent - 1) // GRADIENT_COST)
        if steps >= RUN_STEPS + FEWEST_STEPS:
            steps = RUN_STEPS
        yield point, max(1, steps)
        drawn = torch.rand(len(point), generator=state.generator).to(point)
        point = state.box.project(state.center + (2 * drawn - 1) * _half_widths(state))


def _apgd_run(state: SearchState, point: Tensor, steps: int) -> None:
    """Run Auto-PGD from a point for so many steps."""
    reach, size = _half_widths(state), 2.0
    previous = anchor = point
    best, gradient_there = -torch.inf, None
    interval, since, gains = max(1, int(0.22 * steps)), 0, 0
    moved_at_check, best_at_check = size, best
    before = -torch.inf
    for _ in range(steps):
        losses, gradients = state.gradients(point[None])
        gradient, loss = gradients[0], float(losses[0])
        gains += loss > before
        before = loss
        if loss > best:
            best, anchor, gradient_there = loss, point, gradient
        since += 1
        if since == interval:
            stuck = moved_at_check == size and best_at_check == best
            moved_at_check, best_at_check = size, best
            if gains < 0.75 * interval or stuck:
                size, point, previous, gradient = size / 2, anchor, anchor, gradient_there
            since, gains = 0, 0
            interval = max(1, int(interval - 0.03 * steps), int(0.06 * steps))
        step = state.box.project(point + size * reach * gradient.sign())
        ahead = state.box.project(point + 0.75 * (step - point) + 0.25 * (point - previous))
        previous, point = point, ahead
    _look_at(state, point)


@METHODS.register
def vertex(state: SearchState) -> None:
    """Vertex iteration, ν ← r·sign(∇L(w + ν)), from w; again from a random corner on arrival."""
    if not state.affords_gradient:
        _look_at(state, state.center)
        return
    climb = Climb.from_point(state, state.box, state.center, state.random_signs(1))
    while state.affords_gradient:
        _, gains = climb.step()
        if gains[0] <= MIN_GAIN * state.rise:
            climb = Climb(state, state.box, pack(state.random_signs(1)))
    _look_at(state, corner_at(state.box, climb.signs[0]))


@METHODS.register
def lbfgsb(state: SearchState) -> None:
    """Keskar et al.'s ten iterations of L-BFGS-B over all coordinates, from random points near w.

    Keskar et al., On Large-Batch Training for Deep Learning, ICLR 2017. Started at w itself, and
    with the solver's usual tolerances, it can stop at once where the gradient vanishes. The solver
    takes 280 bytes a parameter, and 160 for a history of ten steps, fewer where it exceeds 4 GiB.
    """
    _restarted_lbfgsb(state, None)


@METHODS.register
def lbfgsb_subspace(state: SearchState) -> None:
    """The same in a random subspace of 100 dimensions, another one at every restart."""
    _restarted_lbfgsb(state, SUBSPACE)


class _UnitsSpentError(Exception):
    """Raised to leave the solver when the units are spent."""


def _restarted_lbfgsb(state: SearchState, dimensions: int | None) -> None:
    while state.affords_gradient:
        lbfgsb_run(state, dimensions)


def lbfgsb_run(state: SearchState, dimensions: int | None) -> None:
    """Run ten iterations of L-BFGS-B from a random point a tenth of the way to the faces.

    The unknowns are scaled so that the box is about as wide as the solver's first step, which has
    length one at most, and the loss so that this step is taken in full: with the plain loss, the
    tiny gradient at zero training error makes a tiny step.
    """
    from scipy.optimize import minimize

    reach = _half_widths(state).double()
    seed = int(torch.randint(2**31, (1,), generator=state.generator))
    unknowns = dimensions or len(reach)
    subspace = Subspace(seed, len(reach), dimensions, reach.device) if dimensions else None
    width = unknowns**-0.5
    scale: list[float] = []

    def negative_loss(v: numpy.ndarray) -> tuple[float, numpy.ndarray]:
        if not state.affords_gradient:
            raise _UnitsSpentError
        vector = torch.from_numpy(v / width).to(reach.device)
        inside = vector if subspace is None else subspace.point(vector)
        point = state.box.center + reach * inside.clamp(-1, 1)
        losses, gradients = state.gradients(state.box.project(point.to(state.box.dtype))[None])
        gradient = gradients[0].double() * reach / width
        if subspace is not None:
            gradient = subspace.coordinates(gradient * (inside.abs() < 1))
        scale.append(1 / max(float(gradient.norm()), 1e-300))
        return -scale[0] * float(losses[0]), -scale[0] * gradient.cpu().numpy()

    with suppress(_UnitsSpentError):
        minimize(
            negative_loss,
            0.1 * width * numpy.random.default_rng(seed).uniform(-1, 1, unknowns),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-width, width)] * unknowns,
            options={
                "maxiter": KESKAR_ITERATIONS,
                "maxcor": max(1, min(10, HISTORY // (16 * unknowns))),
                "ftol": 0.0,
                "gtol": 0.0,
            },
        )


@dataclass(frozen=True)
class Subspace:
    """Represent a random subspace by a basis of shape (P, dimensions), rows of norm 1, float32.

    A large basis would not fit into memory: it is drawn again, some rows at a time, at every use.
    Points of the subspace that are outside of the box are projected onto it.
    """

    seed: int
    size: int
    dimensions: int
    device: torch.device

    def point(self, vector: Tensor) -> Tensor:
        """Return the point (P,) with the coordinates `vector` (dimensions,), both float64."""
        return torch.cat([rows @ vector.float() for rows in self._basis_blocks()]).double()

    def coordinates(self, gradient: Tensor) -> Tensor:
        """Return a gradient (P,) with respect to the coordinates (dimensions,), both float64."""
        parts = gradient.float().split(ROWS)
        return sum(
            rows.T @ part for rows, part in zip(self._basis_blocks(), parts, strict=True)
        ).double()

    def _basis_blocks(self) -> Iterable[Tensor]:
        return self._one_block if self.size <= ROWS else self._draw_blocks()

    @cached_property
    def _one_block(self) -> list[Tensor]:
        return list(self._draw_blocks())

    def _draw_blocks(self) -> Iterator[Tensor]:
        for i, start in enumerate(range(0, self.size, ROWS)):
            generator = torch.Generator(self.device).manual_seed(self.seed + i)
            shape = (min(ROWS, self.size - start), self.dimensions)
            rows = torch.randn(shape, generator=generator, device=self.device)
            yield rows.div_(rows.norm(dim=1, keepdim=True))


def _half_widths(state: SearchState) -> Tensor:
    return (state.box.high - state.box.low) / 2


def _look_at(state: SearchState, point: Tensor) -> None:
    """Evaluate the point of the last step, if the budget has one pass more."""
    if state.affords(1):
        state.losses(point[None])


def run_method(name: str, state: SearchState) -> None:
    """Run a search by name; add its one start to the table if the search added none."""
    METHODS[name](state)
    if not state.starts:
        state.starts.append(Start(name, state.rise, len(state.objective)))
