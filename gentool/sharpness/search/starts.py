"""Where the search begins: corners of the box that are likely to lie in different basins.

At zero training error the gradient at w itself is tiny and tells of the few hardest images alone.
What decides the quality of the search is the basin, and there is one or more a class:
perturbations that make the network say that class to most images.

In a deep network what the gradient at w says soon ceases to be true: its corner leads to a basin
that is far from the best of its class. There the way to the corner goes in short steps, the first
half of them towards the class. It costs more and, as measured, gains nothing in an MLP of two
layers.
"""

from collections.abc import Iterator
from itertools import count

import torch
from torch import Tensor

from gentool.sharpness.box import box
from gentool.sharpness.objective import Objective, towards_class, training_loss
from gentool.sharpness.search.climb import corner_of_gradient, vertex_step
from gentool.sharpness.search.state import SearchState

SOFT_TEMPERATURE = 10.0  # temperature of the softened loss
MINIBATCH = 64
WIDER = (2.0, 4.0, 8.0)  # how many times as wide the boxes are in which the continued starts begin
WIDER_STEPS = 3
CHEAP = 2**24  # numbers that all layers put out in a pass: breeding over the whole set
SMALL_SET = 2**25  # images times parameters below which breeding goes on for longer
ASCENT_STEPS, FINE_STEPS = 8, 32  # of an ascent that is two radii long; deep and cheap networks
DEEP = 4  # layers with weights from which a network is deep


def is_cheap(objective: Objective) -> bool:
    """Whether a pass over the whole set costs so little that the search takes more of them."""
    return len(objective) * objective.network.activations <= CHEAP


def genetic_effort(objective: Objective) -> int:
    """How many times as long to breed, 1 to 4: networks of few parameters are rugged, and cheap."""
    return max(1, min(4, SMALL_SET // (len(objective) * len(objective.network.weights))))


def default_restarts(objective: Objective) -> int:
    """How many starts there are unless told: one a class (ten at most), ten others."""
    return min(objective.network.classes, 10) + 10


def starts(state: SearchState, part: Objective, restarts: int) -> tuple[list[str], Tensor]:
    """Names and signs, bool of shape (restarts, P), of the corners to begin with.

    The softened one and the ascent come first, then those continued from wider boxes, those of the
    classes, and those of minibatches; random corners fill up.
    """
    names: list[str] = []
    signs = torch.empty(restarts, len(state.center), dtype=torch.bool, device=state.center.device)
    for name, corner in _endless_starts(state, part):
        if len(names) == restarts:
            break
        signs[len(names)] = corner
        names.append(name)
    return names, signs


def _endless_starts(state: SearchState, part: Objective) -> Iterator[tuple[str, Tensor]]:
    """Starts without end, cheapest to leave out last."""
    w = state.center
    anywhere = state.random_signs(1)[0]
    soft = torch.tensor([SOFT_TEMPERATURE], dtype=part.dtype, device=w.device)
    _, gradient = part.gradients(w[None], training_loss, soft)
    softened = corner_of_gradient(gradient[0], anywhere)
    yield "softened", softened
    yield "ascent", _ascent_corners(state, part, anywhere)[0]
    for factor in WIDER:
        yield f"wider {factor:g}", _corner_from_wider_box(state, part, softened, factor)
    classes = torch.randperm(part.network.classes, generator=state.generator)[:10]
    directions = torch.eye(part.network.classes, dtype=part.dtype, device=w.device)
    for few in classes.split(part.candidates_per_chunk):
        corners = _class_corners(state, part, anywhere, directions[few.to(w.device)])
        yield from zip([f"class {c}" for c in few.tolist()], corners, strict=True)
    for i in range(1, 5):
        order = torch.randperm(len(part), generator=state.generator)[:MINIBATCH]
        _, gradient = part.part(order.to(w.device)).gradients(w[None])
        yield f"minibatch {i}", corner_of_gradient(gradient[0], anywhere)
    for i in count(1):
        yield f"random {i}", state.random_signs(1)[0]


def is_deep(objective: Objective) -> bool:
    """Whether a network has so many layers that starts are worth ascents in short steps."""
    return sum(len(shape) > 1 for shape in objective.network.shapes) >= DEEP


def _class_corners(
    state: SearchState, part: Objective, otherwise: Tensor, directions: Tensor
) -> Tensor:
    """Corners, bool (k, P), that make the network say each of k classes, as rows (k, classes)."""
    if is_deep(part):
        return _ascent_corners(state, part, otherwise, directions)
    points = state.center.expand(len(directions), -1)
    _, gradients = part.gradients(points, towards_class, directions)
    return corner_of_gradient(gradients, otherwise)


def _ascent_corners(
    state: SearchState, part: Objective, otherwise: Tensor, directions: Tensor | None = None
) -> Tensor:
    """The corners, bool (k, P), on whose side some steps of gradient ascent from w end.

    Of the loss; with directions, shape (k, classes), the first half of each ascent is towards a
    class. It ends early where the loss overflows.
    """
    is_fine = is_deep(part) and is_cheap(state.objective)
    within, steps = state.box, FINE_STEPS if is_fine else ASCENT_STEPS
    length = (within.high - within.low) / steps  # in all twice as far as the faces
    count = 1 if directions is None else len(directions)
    points = state.center.expand(count, -1)
    for i in range(steps):
        if directions is not None and i < steps // 2:
            losses, gradients = part.gradients(points, towards_class, directions)
        else:
            losses, gradients = part.gradients(points)
        moved = within.project(points + length * gradients.sign())
        points = torch.where(losses.isfinite()[:, None], moved, points)
    return corner_of_gradient(points - state.center, otherwise)


def _corner_from_wider_box(
    state: SearchState, part: Objective, signs: Tensor, factor: float
) -> Tensor:
    """Where vertex iteration in a box `factor` times as wide ends: its basin, seen from afar."""
    within = state.box
    wide = box(within.center, factor * within.alpha, part.dtype, within.offset)
    for _ in range(WIDER_STEPS):
        losses, following = vertex_step(part, wide, signs[None])
        if not bool(losses.isfinite().all()):
            break
        signs = following[0]
    return signs
