"""Move within a box until a share of the images is wrong: an attack on the nearest of them.

To make k images wrong, a step lowers the margins of those k that are nearest to a wrong answer at
the candidate's own point, and of no others: whatever raises the mean loss spends the box on images
that stay right, or are wrong already. How near an image is, is known to first order: its margin
over its reach, the l1 norm of the margin's gradient at w, weighted by the box.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gentool.sharpness.box import Box
from gentool.sharpness.objective import (
    Objective,
    margins_of,
    towards_probability,
    training_loss,
)
from gentool.sharpness.search.starts import SOFT_TEMPERATURE

STEPS = (2.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625, 0.0625, 0.03, 0.03)
"""Lengths of the steps in turn, as fractions of the radius of the box."""
ALONE = 3  # nearest images that have a start of their own
POOL = 3  # candidates that go on to the next size
BEYOND = 0.05  # of the median margin: how far beyond zero a margin is pushed
MOST_CLASSES = 10
MOST_LOOKED_AT = 1024  # images with a gradient of their own, unless more have to be wrong


@dataclass(frozen=True)
class NearestImages:
    """Hold how far each image is from a wrong answer, to first order.

    `margins` at w; `reaches` is the fall of each margin in the box |νᵢ| ≤ 1, `in_proportion` that
    in the box |νᵢ| ≤ |wᵢ|. All have shape (n,).
    """

    margins: Tensor
    reaches: Tensor
    in_proportion: Tensor

    @classmethod
    def of(cls, objective: Objective, wrong: int) -> "NearestImages":
        """Compute them, an image at a time: all gradients together would not fit.

        Of a large set only images with small margins are looked at, twice as many as have to be
        `wrong`; the others are given the median reaches.
        """
        w = objective.network.weights
        margins = objective.margins(w[None])[0].double()
        count = min(len(margins), max(MOST_LOOKED_AT, 2 * wrong))
        near = margins.argsort(stable=True)[:count]
        rows = []
        for i in near.split(1):
            sizes = objective.part(i).gradients(w[None], minus_margin)[1][0].abs()
            rows.append(torch.stack([sizes.sum(), (sizes * w.abs()).sum()]).double())
        known = torch.stack(rows)
        reaches = known.median(dim=0).values.repeat(len(margins), 1)
        reaches[near] = known
        return cls(margins, *reaches.unbind(dim=1))

    def reaches_in(self, within: Box) -> Tensor:
        """Return the first-order fall of each margin in a box, (n,)."""
        fall = self.reaches * within.offset + self.in_proportion * within.relative
        return within.alpha * fall.clamp_min(1e-300)


def minus_margin(logits: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
    """Return minus the margin of each image, times a scale."""
    return -scale * margins_of(logits, labels)


def attack(
    objective: Objective,
    within: Box,
    wrong: int,
    nearest: NearestImages,
    pool: Tensor | None,
    towards_classes: bool,
) -> tuple[Tensor | None, Tensor]:
    """Return a point (P,) of the box with so many images wrong, or None; and the best candidates.

    `nearest` are the distances of this objective's images, and give starts; `pool` are candidates
    of another size, (k, P), as fractions of the radius. So are those returned. There are starts
    towards classes, too, if `towards_classes`.
    """
    reaches = nearest.reaches_in(within)
    found: list[tuple[Tensor, Tensor]] = []
    for moves in _starts(objective, wrong, nearest.margins / reaches, pool, towards_classes):
        for chunk in moves.split(objective.candidates_per_chunk):
            point, *reached = _descend(objective, within, wrong, reaches, chunk)
            found.append(reached)
            if point is not None:
                return point, _best(found)
    return None, _best(found)


def _best(found: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the candidates with the smallest k-th margins, POOL of them."""
    moves, margins = (torch.cat(parts) for parts in zip(*found, strict=True))
    return moves[margins.argsort(stable=True)[:POOL]]


def _descend(
    objective: Objective, within: Box, wrong: int, reaches: Tensor, moves: Tensor
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Lower the k smallest margins, over their reaches, of candidates (c, P).

    Return a point with k images wrong, or None, the best moves, and their k-th ratios, (c,).
    """
    w, radius = objective.network.weights, (within.high - within.low) / 2
    best, moves = moves, moves.clone()
    lowest = torch.full((len(moves),), torch.inf, dtype=torch.float64, device=moves.device)
    for length in (*STEPS, None):
        points = within.project(w + radius * moves)
        ratios = objective.margins(points).double().nan_to_num(torch.inf) / reaches
        kth, order = ratios.sort(dim=1, stable=True)
        kth = kth[:, wrong - 1]
        best = torch.where((kth < lowest)[:, None], moves, best)
        lowest = torch.minimum(kth, lowest)
        if bool((kth < 0).any()):
            return points[kth.argmin()], best, lowest
        if length is None:
            break
        beyond = -BEYOND * ratios.median(dim=1).values.abs()
        for c in range(len(moves)):
            chosen = order[c, :wrong]
            chosen = chosen[ratios[c, chosen] > beyond[c]]
            left = ratios[c, chosen] - beyond[c]  # the farther, the more weight
            part = objective.part(chosen, left / reaches[chosen])
            gradient = part.gradients(points[c : c + 1], minus_margin)[1][0]
            moves[c] = (moves[c] + length * gradient.sign()).clamp(-1, 1)
    return None, best, lowest


def _starts(
    objective: Objective, wrong: int, ratios: Tensor, pool: Tensor | None, towards_classes: bool
) -> Iterator[Tensor]:
    """Yield moves to start from, (k, P), as fractions of the radius, the most likely first.

    `ratios` are the margins at w over their reaches, (n,).
    """
    w = objective.network.weights
    if pool is not None:
        yield pool
    yield torch.zeros_like(w)[None]
    order = ratios.argsort(stable=True)
    for chosen in (order[:wrong], *order[:ALONE].split(1)):
        yield objective.part(chosen).gradients(w[None], minus_margin)[1].sign()
    soft = torch.tensor([SOFT_TEMPERATURE], dtype=w.dtype, device=w.device)
    yield objective.gradients(w[None], training_loss, soft)[1].sign()
    if towards_classes:
        classes = min(objective.network.classes, MOST_CLASSES)
        directions = torch.eye(objective.network.classes, dtype=w.dtype, device=w.device)[:classes]
        for few in directions.split(objective.candidates_per_chunk):
            points = w.expand(len(few), -1)
            yield objective.gradients(points, towards_probability, few)[1].sign()
