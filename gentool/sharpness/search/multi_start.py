"""Search by default: screen many starts on a part of the data, finish the best on the whole set.

The step is vertex iteration (`climb`). The starts decide the quality, not the step rule, so most
candidates are dropped early, on few images, and the best go on over the whole set. If a pass over
it is cheap all go on, because the best on a part need not be the best on the whole, and a genetic
search combines them. The dearer a pass, the fewer go on, and the shorter the genetic search. The
best climb until they have arrived. Rprop refines several of them, and the best of those until it
gains nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gentool.sharpness.objective import GRADIENT_COST, Objective
from gentool.sharpness.search.bits import pack, unpack
from gentool.sharpness.search.climb import (
    Climb,
    climb_until_arrived,
    corner_of_gradient,
    has_gained,
)
from gentool.sharpness.search.flips import MOST_PARAMETERS, climb_by_flips
from gentool.sharpness.search.genetic import (
    CHILD_STEPS,
    CHILDREN_PER_GENERATION,
    GENERATIONS,
    genetic_search,
)
from gentool.sharpness.search.rprop import ROUND_STEPS, refine
from gentool.sharpness.search.starts import (
    default_restarts,
    genetic_effort,
    is_cheap,
    spare_passes,
    starts,
)
from gentool.sharpness.search.state import SearchState, Start

SCREENED = 512  # images that the first screening takes, at least; 1/16 of the set where more
SCREEN_STEPS = 3
FINALISTS = 3
USUAL_STEPS = 12  # vertex iterations of a candidate before the best ones alone go on
MOST_STEPS = 100  # of those that go on until they have arrived
RPROP_STEPS = 20  # of the usual 12 `steps`; twice as many if cheap
POOL_SIZE = 12  # corners that the genetic search keeps
MOST_REFINED = 8  # corners that Rprop refines
GENERATION_COST = GRADIENT_COST * CHILDREN_PER_GENERATION * CHILD_STEPS  # at most


@dataclass
class NamedCorners:
    """Hold corners with the best loss that each has reached; names as in the table of starts."""

    names: list[str]
    signs: Tensor  # of k corners, as `bits` keeps them
    losses: Tensor  # (k,)

    def best(self, count: int) -> "NamedCorners":
        order = self.losses.argsort(descending=True, stable=True)[:count]
        return NamedCorners(
            [self.names[i] for i in order.tolist()], self.signs[order], self.losses[order]
        )


def multi_start(state: SearchState, restarts: int | None = None, steps: int | None = None) -> None:
    """Search the box; leave the best point and the table of starts in `state`.

    `restarts` is the number of starts. `steps` is the most vertex iterations over the whole set for
    each finalist, None for until it has arrived; after a third as many generations (4 for None)
    without a gain the genetic search ends.
    """
    whole = len(state.objective)
    restarts = restarts or default_restarts(state.objective)
    state.expected_units = _expected_units(state, restarts, steps)
    small = state.sample(max(SCREENED, whole // 16))
    names, signs = starts(state, small, restarts)
    nothing = torch.full((len(names),), -torch.inf, dtype=torch.float64, device=signs.device)
    screened = _screen(state, small, NamedCorners(names, signs, nothing))
    if is_cheap(state.objective):
        finished = _genetic_phase(state, _with_gradient_corner(state, screened), restarts, steps)
    else:
        if len(small) < whole // 4:
            larger = state.sample(whole // 4)
            screened = _screen(state, larger, screened.best(max(2 * FINALISTS, restarts // 4)))
        finalists = _with_gradient_corner(state, screened.best(_finalists(state)))
        finished = _finish_on_whole_set(state, finalists, steps)
        finished = _combine(state, finished, screened if len(small) == whole else None)
    refined = finished.best(_refined(state))
    refine(state, refined.signs, _rprop_steps(state, steps) if steps else None)
    if len(state.box.center) <= MOST_PARAMETERS:
        climb_by_flips(state, unpack(finished.signs, len(state.box.center)))


def _finalists(state: SearchState) -> int:
    """Return how many candidates go on over the whole set: more, the cheaper a pass over it."""
    return FINALISTS + int(spare_passes(state.objective) / 60)


def _refined(state: SearchState) -> int:
    """Return how many corners Rprop refines, for half of the passes that can be afforded."""
    more = spare_passes(state.objective) / 2 / (GRADIENT_COST * ROUND_STEPS)
    return min(MOST_REFINED, 1 + int(more))


def _generations(state: SearchState) -> int:
    """Return how many generations the other half allows."""
    return min(GENERATIONS, int(spare_passes(state.objective) / 2 / GENERATION_COST))


def _expected_units(state: SearchState, restarts: int, steps: int | None) -> float:
    """Estimate the cost of the search in passes over the whole set, if no candidate stops early."""
    steps = steps or USUAL_STEPS
    part = min(1.0, max(SCREENED / len(state.objective), 1 / 16))
    screening = restarts * (SCREEN_STEPS + 1) * part
    if is_cheap(state.objective):
        going_on = genetic_effort(state.objective) * 5 * (restarts + 2 * steps)
    else:
        going_on = (restarts / 3) * SCREEN_STEPS * 0.25 + (_finalists(state) + 1) * steps / 2
        going_on += spare_passes(state.objective) / GRADIENT_COST
    return 3 * (screening + going_on + _rprop_steps(state, steps))


def _rprop_steps(state: SearchState, steps: int) -> int:
    most = RPROP_STEPS * (2 if is_cheap(state.objective) else 1)
    return most * steps // USUAL_STEPS


def _screen(state: SearchState, part: Objective, candidates: NamedCorners) -> NamedCorners:
    """Climb from every candidate over a part of the data; return the best corner of each."""
    signs, losses = candidates.signs, []
    for chunk in signs.split(part.candidates_per_chunk):
        climb = Climb(part, state.box, chunk, mark_overflow=state.mark_overflow)
        for _ in range(SCREEN_STEPS):
            climb.step()
            state.best_on_sample = climb.corners[climb.losses.argmax()].clone()
        climb.look()
        chunk[:] = climb.corners
        losses.append(climb.losses)
    losses = torch.cat(losses)
    before = float(part.losses(state.center[None]))
    for name, loss in zip(candidates.names, losses.tolist(), strict=True):
        _record_start(state, name, loss - before, len(part))
    return NamedCorners(candidates.names, signs, losses)


def _with_gradient_corner(state: SearchState, finalists: NamedCorners) -> NamedCorners:
    """Add the corner of the gradient at w to the finalists: for small α there is one basin."""
    _, gradients = state.gradients(state.center[None])
    otherwise = unpack(finalists.signs[:1], len(state.box.center))
    plain = pack(corner_of_gradient(gradients, otherwise))
    return NamedCorners(
        [*finalists.names, "gradient"],
        torch.cat([finalists.signs, plain]),
        torch.cat([finalists.losses, finalists.losses.new_full((1,), -torch.inf)]),
    )


def _genetic_phase(
    state: SearchState, candidates: NamedCorners, restarts: int, steps: int | None
) -> NamedCorners:
    """Climb from all candidates, and from random corners of small networks, and combine them."""
    more = genetic_effort(state.objective)
    random = state.random_signs((more - 1) * restarts * 2 // 5)
    names = candidates.names + [f"random {i}, all images" for i in range(1, len(random) + 1)]
    all_signs = torch.cat([candidates.signs, pack(random)])
    losses, signs = climb_until_arrived(state, all_signs, steps or USUAL_STEPS)
    if steps is None:
        losses, signs = _until_arrived(state, losses, signs)
    for name, loss in zip(names, losses.tolist(), strict=True):
        _record_start(state, name, loss - state.loss_before, len(state.objective))
    patience = max(1, (steps or USUAL_STEPS) // 3)
    signs, losses = genetic_search(state, signs, losses, more * POOL_SIZE, more * patience)
    if steps is None:
        losses, signs = _until_arrived(state, losses, signs)
    _record_start(state, "bred", float(losses.max()) - state.loss_before, len(state.objective))
    return NamedCorners([f"bred {i}" for i in range(1, len(losses) + 1)], signs, losses)


def _combine(
    state: SearchState, finished: NamedCorners, screened: NamedCorners | None
) -> NamedCorners:
    """Add what the generations that can be afforded find, if any.

    `screened` are further corners, if they were screened over the whole set.
    """
    generations = _generations(state)
    if not generations:
        return finished
    signs, losses = finished.signs, finished.losses
    if screened is not None:
        signs = torch.cat([signs, screened.signs])
        losses = torch.cat([losses, screened.losses])
    signs, losses = genetic_search(state, signs, losses, POOL_SIZE, generations, generations)
    _record_start(state, "bred", float(losses.max()) - state.loss_before, len(state.objective))
    return NamedCorners([f"bred {i}" for i in range(1, len(losses) + 1)], signs, losses)


def _until_arrived(state: SearchState, losses: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Let the FINALISTS best corners climb until they have arrived; return all losses and signs."""
    best = losses.argsort(descending=True, stable=True)[:FINALISTS]
    climbed, corners = climb_until_arrived(state, signs[best], MOST_STEPS, patience=2)
    higher = climbed > losses[best]
    losses[best] = torch.where(higher, climbed, losses[best])
    signs[best[higher]] = corners[higher]
    return losses, signs


def _finish_on_whole_set(
    state: SearchState, finalists: NamedCorners, steps: int | None
) -> NamedCorners:
    """Climb over the whole set; after a third of the usual steps drop half of the candidates.

    A candidate has arrived when two steps in turn gain less than MIN_GAIN.
    """
    climb = Climb(state, state.box, finalists.signs)
    order = []  # of arrival
    had_gained = torch.ones(len(finalists.names), dtype=torch.bool, device=climb.signs.device)
    for number in range(steps or MOST_STEPS):
        losses, gains = climb.step()
        gained = has_gained(losses, gains, state.loss_before)
        goes_on = gained | had_gained[climb.active]
        had_gained[climb.active] = gained
        if number == (steps or USUAL_STEPS) // 3:
            goes_on &= _upper_half(climb.losses[climb.active])
        if number > 0:
            order.append(climb.active[~goes_on])
            climb.keep(goes_on)
        if not len(climb.active):
            break
    climb.look(candidates=1)  # a point takes 32 times the memory of its signs
    order = torch.cat([*order, climb.active])
    finished = NamedCorners(
        [finalists.names[i] for i in order.tolist()], climb.corners[order], climb.losses[order]
    )
    for name, loss in zip(finished.names, finished.losses.tolist(), strict=True):
        _record_start(state, name, loss - state.loss_before, len(state.objective))
    return finished


def _upper_half(losses: Tensor) -> Tensor:
    """Return whether each loss is in the upper half; of an odd number the middle one is not."""
    upper = losses.argsort(descending=True, stable=True)[: max(1, len(losses) // 2)]
    return torch.isin(torch.arange(len(losses), device=losses.device), upper)


def _record_start(state: SearchState, name: str, rise: float, images: int) -> None:
    """Add a start to the table, or update its rise."""
    for start in state.starts:
        if start.name == name:
            if images > start.images or rise > start.rise:
                start.rise, start.images = rise, images
            return
    state.starts.append(Start(name, rise, images))
