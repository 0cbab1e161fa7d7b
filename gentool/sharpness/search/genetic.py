"""Combine good corners into better ones by a genetic search.

The rise over the corners of a box has many local maxima, and good ones have signs in common. A
child keeps the signs on which two parents agree and draws the others from either (uniform
crossover; Syswerda, ICGA 1989), or flips some signs of one parent; every child climbs before it is
compared (a memetic algorithm; Moscato, 1989).
"""

import torch
from torch import Tensor

from gentool.sharpness.search.bits import pack, unpack
from gentool.sharpness.search.climb import climb_until_arrived, has_gained
from gentool.sharpness.search.state import SearchState

CHILDREN_PER_GENERATION = 6  # every second one of a single parent
FLIP_FRACTIONS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4)  # of the signs of a single parent
CHILD_STEPS = 8  # vertex iterations at most of a child
GENERATIONS = 30


def genetic_search(
    state: SearchState,
    signs: Tensor,
    losses: Tensor,
    count: int,
    patience: int,
    generations: int = GENERATIONS,
) -> tuple[Tensor, Tensor]:
    """Return the best `count` corners, as kept, and their losses, after so many generations.

    The search ends earlier after `patience` generations without a gain, or with one corner left.
    """
    signs, losses = _best_distinct(signs, losses, count)
    in_vain = 0
    for _ in range(generations):
        if in_vain == patience or len(signs) < 2:
            break
        highest = losses[0]
        children = torch.stack(
            [pack(_child(state, signs, i)) for i in range(CHILDREN_PER_GENERATION)]
        )
        child_losses, corners = climb_until_arrived(state, children, CHILD_STEPS)
        signs, losses = _best_distinct(
            torch.cat([signs, corners]), torch.cat([losses, child_losses]), count
        )
        gained = has_gained(losses[0], losses[0] - highest, state.loss_before)
        in_vain = 0 if gained else in_vain + 1
    return signs, losses


def _child(state: SearchState, pool: Tensor, i: int) -> Tensor:
    """Return child number i: a mutated parent of the better half, or a mixture of two parents."""
    generator, size = state.generator, len(state.box.center)
    if i % 2:
        parent = int(torch.randint(max(1, len(pool) // 2), (1,), generator=generator))
        choice = int(torch.randint(len(FLIP_FRACTIONS), (1,), generator=generator))
        return unpack(pool[parent], size) ^ _random_mask(state, size, FLIP_FRACTIONS[choice])
    first, second = torch.randperm(len(pool), generator=generator)[:2].tolist()
    if i % 4 == 0:
        first, second = 0, second or first
    mixed = torch.where(
        _random_mask(state, size, 0.5), unpack(pool[first], size), unpack(pool[second], size)
    )
    return mixed ^ _random_mask(state, size, FLIP_FRACTIONS[0])


def _random_mask(state: SearchState, size: int, fraction: float) -> Tensor:
    drawn = torch.rand(size, generator=state.generator) < fraction
    return drawn.to(state.box.center.device)


def _best_distinct(signs: Tensor, losses: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` corners of highest loss; equal losses are taken for the same corner."""
    order = losses.argsort(descending=True, stable=True)
    signs, losses = signs[order], losses[order]
    differs = torch.ones_like(losses, dtype=torch.bool)
    differs[1:] = losses[1:] < losses[:-1]
    keep = differs.nonzero().flatten()[:count]
    return signs[keep], losses[keep]
