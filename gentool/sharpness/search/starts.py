"""Choose the corners to start from, likely to lie in different basins.

At zero training error the gradient at w itself is tiny and depends on the few hardest images alone.
The basin decides the quality of the search, and there is one or more a class: perturbations with
which the network predicts that class for most images.

In a deep network the gradient at w holds for a short distance only: its corner leads to a basin
that is far from the best of its class. There the start is reached in short steps, the first half
of them towards the class. They cost more and, as measured, gain nothing in an MLP of two layers.

A second start of each class raises its mean log-probability: the gradient of a logit is mostly of
images that have the class already, and its basin is another one.
"""

from collections.abc import Iterator
from itertools import count

import torch
from torch import Tensor

from gentool.sharpness.box import box
from gentool.sharpness.objective import (
    Criterion,
    Objective,
    towards_class,
    towards_probability,
    training_loss,
)
from gentool.sharpness.search.bits import pack, unpack
from gentool.sharpness.search.climb import corner_of_gradient, vertex_step
from gentool.sharpness.search.state import SearchState

SOFT_TEMPERATURE = 10.0  # temperature of the softened loss
MINIBATCH = 64
WIDER = (2.0, 4.0, 8.0)  # factors of the wider boxes from which some starts come
WIDER_STEPS = 3
CHEAP = 2**24  # numbers that all layers put out in a pass, for a genetic search to be affordable
SPARE_PASSES = 450  # if a pass over the whole set is just not cheap; fewer where it costs more
SMALL_WORK = 2**25  # images times parameters, below which the genetic search is longer
ASCENT_STEPS, FINE_STEPS = 8, 32  # of an ascent that is two radii long; deep and cheap networks
DEEP = 4  # layers with weights, from which on a network is deep


def is_cheap(objective: Objective) -> bool:
    """Return whether a pass over the whole set is so cheap that the search takes more passes."""
    return len(objective) * objective.network.activations <= CHEAP


def spare_passes(objective: Objective) -> float:
    """Return how many passes over the whole set can be afforded besides the usual ones."""
    return SPARE_PASSES * CHEAP / (len(objective) * objective.network.activations)


def genetic_effort(objective: Objective) -> int:
    """Return the length of the genetic search, 1 to 4: small networks have rugged losses."""
    return max(1, min(4, SMALL_WORK // (len(objective) * objective.network.size)))


def default_restarts(objective: Objective) -> int:
    """Return the default number of starts: two a class (of ten at most) and ten others."""
    return 2 * min(objective.network.classes, 10) + 10


def starts(state: SearchState, part: Objective, restarts: int) -> tuple[list[str], Tensor]:
    """Return names and signs, as `bits` keeps them, of the corners to start from.

    The corner of the softened loss and that of an ascent come first, then those from wider boxes,
    those of the classes, by logit and then by log-probability, and those of minibatches; random
    corners fill up.
    """
    names: list[str] = []
    signs: list[Tensor] = []
    for name, corner in _endless_starts(state, part):
        if len(names) == restarts:
            break
        names.append(name)
        signs.append(pack(corner))
        if state.best_on_sample is None:  # a search that is stopped now has this one
            state.best_on_sample = signs[0].clone()
    return names, torch.stack(signs)


def _endless_starts(state: SearchState, part: Objective) -> Iterator[tuple[str, Tensor]]:
    """Yield starts without end, those that matter most first."""
    device = state.box.center.device
    anywhere = state.random_signs(1)[0]
    soft = torch.tensor([SOFT_TEMPERATURE], dtype=part.dtype, device=device)
    softened = _corners_at_w(state, part, anywhere, training_loss, soft)[0]
    yield "softened", softened
    yield "ascent", _ascent_corners(state, part, anywhere)[0]
    for factor in WIDER:
        yield f"wider {factor:g}", _corner_from_wider_box(state, part, softened, factor)
    classes = torch.randperm(part.network.classes, generator=state.generator)[:10]
    directions = torch.eye(part.network.classes, dtype=part.dtype, device=device)
    for few in classes.split(part.candidates_per_chunk):
        corners = _class_corners(state, part, anywhere, directions[few.to(device)])
        yield from zip([f"class {c}" for c in few.tolist()], corners, strict=True)
    for few in classes.split(part.candidates_per_chunk):
        towards = directions[few.to(device)]
        corners = _corners_at_w(state, part, anywhere, towards_probability, towards)
        yield from zip([f"log p of {c}" for c in few.tolist()], corners, strict=True)
    for i in range(1, 5):
        order = torch.randperm(len(part), generator=state.generator)[:MINIBATCH]
        corners = _corners_at_w(state, part.part(order.to(device)), anywhere)
        yield f"minibatch {i}", corners[0]
    for i in count(1):
        yield f"random {i}", state.random_signs(1)[0]


def _corners_at_w(
    state: SearchState,
    part: Objective,
    otherwise: Tensor,
    criterion: Criterion = training_loss,
    parameters: Tensor | None = None,
) -> Tensor:
    """Return the corners, bool (k, P), that gradients at w point to: one, or one a parameter."""
    points = state.center.expand(1 if parameters is None else len(parameters), -1)
    _, gradients = part.gradients(points, criterion, parameters)
    return corner_of_gradient(gradients, otherwise)


def is_deep(objective: Objective) -> bool:
    """Return whether a network has so many layers that starts are worth ascents in short steps."""
    return sum(len(shape) > 1 for shape in objective.network.shapes) >= DEEP


def _class_corners(
    state: SearchState, part: Objective, otherwise: Tensor, directions: Tensor
) -> Tensor:
    """Return a corner, bool (k, P), towards each of k classes, given as rows (k, classes)."""
    if is_deep(part):
        return _ascent_corners(state, part, otherwise, directions)
    return _corners_at_w(state, part, otherwise, towards_class, directions)


def _ascent_corners(
    state: SearchState, part: Objective, otherwise: Tensor, directions: Tensor | None = None
) -> Tensor:
    """Return the corners, bool (k, P), nearest to the ends of gradient ascents from w.

    The ascent raises the loss; with directions, shape (k, classes), its first half raises the
    logit of a class. A point stops where its loss overflows.
    """
    is_fine = is_deep(part) and is_cheap(state.objective)
    within, steps = state.box, FINE_STEPS if is_fine else ASCENT_STEPS
    count = 1 if directions is None else len(directions)
    points = state.center.expand(count, -1)
    for i in range(steps):
        if directions is not None and i < steps // 2:
            losses, gradients = part.gradients(points, towards_class, directions)
        else:
            losses, gradients = part.gradients(points)
        goes_on, points = losses.isfinite()[:, None], points.contiguous()
        for block, low, high in within.blocks():
            length = (high - low) / steps  # in all twice as far as the faces
            here = points[:, block]
            moved = (here + length * gradients[:, block].sign()).clamp(low, high)
            points[:, block] = torch.where(goes_on, moved, here)
        del gradients  # before the next: each is as large as the network
    signs = torch.empty(points.shape, dtype=torch.bool, device=points.device)
    for block, low, high in within.blocks():
        moved = points[:, block] - (low / 2 + high / 2)
        signs[:, block] = corner_of_gradient(moved, otherwise[block])
    return signs


def _corner_from_wider_box(
    state: SearchState, part: Objective, signs: Tensor, factor: float
) -> Tensor:
    """Return the corner at which vertex iteration ends in a box `factor` times as wide."""
    within = state.box
    wide = box(within.center, factor * within.alpha, part.dtype, within.offset, within.relative)
    for _ in range(WIDER_STEPS):
        losses, following = vertex_step(part, wide, pack(signs[None]))
        if not bool(losses.isfinite().all()):
            break
        signs = unpack(following[0], len(signs))
    return signs
