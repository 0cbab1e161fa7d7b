"""Better corners from good ones: children of two, or one shaken, that climb and compete.

The rise over the corners of a box has many local maxima, and good ones have signs in common: what
two parents agree on is kept, the rest is drawn from either (uniform crossover; Syswerda, ICGA
1989), and every child climbs before it is judged (a memetic algorithm; Moscato, 1989).
"""

import torch
from torch import Tensor

from gentool.sharpness.search.starts import corner_of_gradient
from gentool.sharpness.search.state import SearchState

CHILDREN = 6  # a generation; every second one of a single parent
FLIPPED = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4)  # of the signs of a single parent
CLIMB = 8  # vertex iterations at most of a child
ENOUGH = 1e-4  # a relative gain below which a candidate has arrived, a generation was in vain
GENERATIONS = 30


def breed(
    state: SearchState, signs: Tensor, losses: Tensor, count: int, patience: int
) -> tuple[Tensor, Tensor]:
    """The best `count` corners of a pool, bool (k, P), and their losses, after breeding.

    It ends after `patience` generations without a gain, or when all are alike.
    """
    signs, losses = _fittest(signs, losses, count)
    in_vain = 0
    for _ in range(GENERATIONS):
        if in_vain == patience or len(signs) < 2:
            break
        highest = losses[0]
        children = torch.stack([_child(state, signs, i) for i in range(CHILDREN)])
        found, corners = climb(state, children)
        signs, losses = _fittest(torch.cat([signs, corners]), torch.cat([losses, found]), count)
        has_gained = losses[0] - highest > ENOUGH * (losses[0] - state.loss_before).abs()
        in_vain = 0 if has_gained else in_vain + 1
    return signs, losses


def climb(state: SearchState, signs: Tensor, steps: int = CLIMB) -> tuple[Tensor, Tensor]:
    """Vertex iteration of corners, bool (k, P), until each has arrived: best losses, and where."""
    best = torch.full((len(signs),), -torch.inf, dtype=torch.float64, device=signs.device)
    corners, moving = signs.clone(), torch.arange(len(signs), device=signs.device)
    for _ in range(steps):
        losses, following = step(state, signs)
        gains = losses - best[moving]
        higher = moving[gains > 0]
        best[higher], corners[higher] = losses[gains > 0], signs[gains > 0]
        goes_on = gains > ENOUGH * (losses - state.loss_before).abs()
        moving, signs = moving[goes_on], following[goes_on]
        if not len(moving):
            break
    return best, corners


def step(state: SearchState, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Losses at corners over the whole set, and the corners that their gradients point to."""
    losses, following = [], []
    for chunk in signs.split(state.objective.candidates):
        loss, gradient = state.gradients(state.box.corner(chunk))
        losses.append(loss)
        following.append(corner_of_gradient(gradient, chunk))
    return torch.cat(losses), torch.cat(following)


def _child(state: SearchState, pool: Tensor, i: int) -> Tensor:
    """A shaken one of the better half, or a mixture of two; of the best and another each third."""
    generator, size = state.generator, pool.shape[1]
    if i % 2:
        parent = int(torch.randint(max(1, len(pool) // 2), (1,), generator=generator))
        fraction = FLIPPED[int(torch.randint(len(FLIPPED), (1,), generator=generator))]
        return pool[parent] ^ _chance(state, size, fraction)
    first, second = torch.randperm(len(pool), generator=generator)[:2].tolist()
    if i % 4 == 0:
        first, second = 0, second or first
    mixed = torch.where(_chance(state, size, 0.5), pool[first], pool[second])
    return mixed ^ _chance(state, size, FLIPPED[0])


def _chance(state: SearchState, size: int, fraction: float) -> Tensor:
    drawn = torch.rand(size, generator=state.generator) < fraction
    return drawn.to(state.box.low.device)


def _fittest(signs: Tensor, losses: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest of the pool, those of equal loss taken for the same corner."""
    order = losses.argsort(descending=True, stable=True)
    signs, losses = signs[order], losses[order]
    differs = torch.ones_like(losses, dtype=torch.bool)
    differs[1:] = losses[1:] < losses[:-1]
    keep = differs.nonzero().flatten()[:count]
    return signs[keep], losses[keep]
