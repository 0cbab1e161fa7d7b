"""The default search: many starts, screened on a part of the data, the best finished on the whole.

The step is vertex iteration, ν ← r·sign(∇L(w + ν)): the maximum of a smooth rise over a box lies
near a corner that follows the gradient's signs. Restarts decide the quality, not the step rule, so
many candidates are screened on few images and bred there; the best go on over the whole set, are
bred again where a pass over it is cheap, and the very best is polished.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gentool.sharpness.breeding import ENOUGH, Effort, breed, climb, step
from gentool.sharpness.flips import MOST_PARAMETERS, flip
from gentool.sharpness.objective import Objective
from gentool.sharpness.polish import polish
from gentool.sharpness.problem import Problem, Start
from gentool.sharpness.starts import corner_of_gradient, default_restarts, effort, is_cheap, starts

SCREENED = 512  # images that the first screening takes, at least; 1/16 of the set where more
SCREEN_STEPS = 3
FINALISTS = 3
DEFAULT_STEPS = 12
POLISH_STEPS = 10
POOL = 12  # corners that are bred


@dataclass
class Candidates:
    """Corners with the best loss that each has reached; names as in the table of starts."""

    names: list[str]
    signs: Tensor  # (k, P), bool
    losses: Tensor  # (k,)

    def joined(self, others: "Candidates") -> "Candidates":
        return Candidates(
            [*self.names, *others.names],
            torch.cat([self.signs, others.signs]),
            torch.cat([self.losses, others.losses]),
        )

    def best(self, count: int) -> "Candidates":
        order = self.losses.argsort(descending=True, stable=True)[:count]
        return Candidates(
            [self.names[i] for i in order.tolist()], self.signs[order], self.losses[order]
        )


def multi_start(problem: Problem, restarts: int | None = None, steps: int = DEFAULT_STEPS) -> None:
    """Search the box; the best point is left in `problem`, with the table of starts.

    `restarts` is the number of starts, `steps` of vertex iterations over the whole set for each of
    those that get so far; a third of it the generations without a gain that end the breeding.
    """
    whole, cheap = len(problem.objective), is_cheap(problem.objective)
    restarts = restarts or default_restarts(problem.objective)
    problem.expected_units = _expected(restarts, steps, min(1.0, max(SCREENED / whole, 1 / 16)))
    patience = max(1, steps // 3)
    small = problem.sample(max(SCREENED, whole // 16))
    names, signs = starts(problem, small, restarts)
    nothing = torch.full((len(names),), -torch.inf, dtype=torch.float64, device=signs.device)
    screened = _screen(problem, small, Candidates(names, signs, nothing))
    if not cheap:
        screened = _bred(problem, small, screened, Effort(POOL, patience))
    if len(small) < whole // 4:
        larger = problem.sample(whole // 4)
        screened = _screen(problem, larger, screened.best(max(2 * FINALISTS, restarts // 3)))
    finished = _finish(problem, _with_plain(problem, screened.best(FINALISTS)), steps)
    if cheap:
        more = effort(problem.objective)
        pool = _with_random(problem, finished, more * restarts * 3 // 5)
        finished = _bred(problem, problem.objective, pool, Effort(more * POOL, more * patience))
    polish(problem, problem.best_point, min(steps, POLISH_STEPS))
    if len(problem.box.center) <= MOST_PARAMETERS:
        flip(problem, finished.signs)


def _expected(restarts: int, steps: int, part: float) -> float:
    """About the cost of the search, in passes over the whole set, if no candidate arrives early."""
    screening = restarts * (SCREEN_STEPS + 1) * part + (restarts / 3) * SCREEN_STEPS * 0.25
    return 3 * (screening + (FINALISTS + 1) * steps / 2 + POLISH_STEPS)


def _screen(problem: Problem, part: Objective, candidates: Candidates) -> Candidates:
    """Some vertex iterations of every candidate over a part of the data; each one's best corner."""
    ends = [_climb(problem, part, signs) for signs in candidates.signs.split(part.candidates)]
    losses, signs = (torch.cat(found) for found in zip(*ends, strict=True))
    before = float(part.losses(problem.middle[None]))
    for name, loss in zip(candidates.names, losses.tolist(), strict=True):
        _enter(problem, name, loss - before, len(part))
    return Candidates(candidates.names, signs, losses)


def _climb(problem: Problem, part: Objective, signs: Tensor) -> tuple[Tensor, Tensor]:
    """The best losses of some vertex iterations over a part, and the corners where they were."""
    best = torch.full((len(signs),), -torch.inf, dtype=torch.float64, device=signs.device)
    corners = signs
    for _ in range(SCREEN_STEPS):
        losses, gradients = part.gradients(problem.box.corner(signs))
        best, corners = _better(best, corners, problem.ranked(losses), signs)
        problem.promising = corners[best.argmax()]
        signs = corner_of_gradient(gradients, signs)
    losses = problem.ranked(part.losses(problem.box.corner(signs)))
    return _better(best, corners, losses, signs)


def _better(best: Tensor, corners: Tensor, losses: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    improved = losses > best
    return torch.where(improved, losses, best), torch.where(improved[:, None], signs, corners)


def _with_plain(problem: Problem, finalists: Candidates) -> Candidates:
    """The finalists and the corner of the gradient at w: where α is small there is one basin."""
    _, gradients = problem.gradients(problem.middle[None])
    plain = corner_of_gradient(gradients, finalists.signs[:1])
    return Candidates(
        [*finalists.names, "gradient"],
        torch.cat([finalists.signs, plain]),
        torch.cat([finalists.losses, finalists.losses.new_full((1,), -torch.inf)]),
    )


def _with_random(problem: Problem, candidates: Candidates, count: int) -> Candidates:
    """The candidates, and as many random corners that climbed over the whole set."""
    losses, signs = climb(problem, problem.objective, problem.random_signs(count))
    names = [f"random {i}, all images" for i in range(1, count + 1)]
    for name, loss in zip(names, losses.tolist(), strict=True):
        _enter(problem, name, loss - problem.loss_before, len(problem.objective))
    return candidates.joined(Candidates(names, signs, losses))


def _bred(problem: Problem, part: Objective, candidates: Candidates, effort: Effort) -> Candidates:
    """Candidates bred over a part of the data, or over all; one row of the table for all new."""
    signs, losses = breed(problem, part, candidates.signs, candidates.losses, effort)
    is_whole = part is problem.objective
    before = problem.loss_before if is_whole else float(part.losses(problem.middle[None]))
    _enter(problem, "bred", float(losses[0]) - before, len(part))
    return Candidates([f"bred {i}" for i in range(1, len(losses) + 1)], signs, losses)


def _finish(problem: Problem, finalists: Candidates, steps: int) -> Candidates:
    """Vertex iteration over the whole set, half of the candidates dropped when a third is done.

    A candidate has arrived when a step gains it nothing to speak of.
    """
    done: list[Candidates] = []
    losses = torch.full_like(finalists.losses, -torch.inf)
    names, signs, corners = list(finalists.names), finalists.signs, finalists.signs
    for number in range(steps):
        found, following = step(problem, problem.objective, signs)
        gains = found - losses
        moving = gains > ENOUGH * (found - problem.loss_before).abs()
        losses, corners = _better(losses, corners, found, signs)
        if number == steps // 3:
            keep = losses.argsort(descending=True, stable=True)[: max(1, len(losses) // 2)]
            moving &= torch.isin(torch.arange(len(losses), device=keep.device), keep)
        if number > 0 and not bool(moving.all()):
            arrived = (~moving).nonzero().flatten()
            done.append(Candidates([names[i] for i in arrived], corners[arrived], losses[arrived]))
            stay = moving.nonzero().flatten()
            names = [names[i] for i in stay]
            losses, corners, following = losses[stay], corners[stay], following[stay]
        signs = following
        if not names:
            break
    if names:
        found = torch.cat([problem.losses(problem.box.corner(one[None])) for one in signs])
        losses, corners = _better(losses, corners, found, signs)
        done.append(Candidates(names, corners, losses))
    for some in done:
        for name, loss in zip(some.names, some.losses.tolist(), strict=True):
            _enter(problem, name, loss - problem.loss_before, len(problem.objective))
    return Candidates(
        [name for some in done for name in some.names],
        torch.cat([some.signs for some in done]),
        torch.cat([some.losses for some in done]),
    )


def _enter(problem: Problem, name: str, rise: float, images: int) -> None:
    """Enter a start in the table, or what is now known of it."""
    for start in problem.starts:
        if start.name == name:
            if images > start.images or rise > start.rise:
                start.rise, start.images = rise, images
            return
    problem.starts.append(Start(name, rise, images))
