"""Flip single signs and pairs until none raises the loss, for few parameters.

A sign step moves all coordinates at once and can miss the best corner by the few whose gradient is
near zero. With few parameters every neighbour of a corner can simply be tried; a convex loss, as a
linear model's, has its maximum at a corner.
"""

import torch
from torch import Tensor

from gentool.sharpness.search.state import SearchState

MOST_PARAMETERS = 32
RANDOM_CORNERS = 24


def climb_by_flips(state: SearchState, corners: Tensor) -> None:
    """Climb by flips from corners, bool (k, P), and from random ones."""
    for signs in torch.cat([corners, state.random_signs(RANDOM_CORNERS)]):
        _climb_from(state, signs)


def _climb_from(state: SearchState, signs: Tensor) -> None:
    """Take the best single flip while one raises the loss, else the best pair, until none does."""
    loss = state.losses(state.box.corner(signs)[None])[0]
    single = torch.eye(len(signs), dtype=torch.bool, device=signs.device)
    first, second = torch.triu_indices(len(signs), len(signs), 1)
    pairs = single[first] ^ single[second]
    while True:
        for moves in (single, pairs):
            neighbours = signs ^ moves
            if not len(neighbours):
                continue
            losses = state.losses(state.box.corner(neighbours))
            if losses.max() > loss:
                loss, signs = losses.max(), neighbours[losses.argmax()]
                break
        else:
            return
