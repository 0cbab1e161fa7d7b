"""Search the largest rise of the loss within a Euclidean ball around the parameters.

In a ball the step of vertex iteration is ν ← ρ g / ‖g‖, the maximum of the linearised loss. Where
it gains nothing the step is shortened: the point then moves along the gradient and back onto the
sphere. As in a box, the starts decide the quality: one towards each class, by its logit and by its
log-probability, besides the gradient of the loss and of the softened loss at w.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from gentool.sharpness.objective import (
    Criterion,
    Objective,
    towards_class,
    towards_probability,
    training_loss,
)
from gentool.sharpness.search.climb import MIN_GAIN
from gentool.sharpness.search.starts import SOFT_TEMPERATURE

BALL_STEPS = 40
SHORTENINGS = 6  # halvings of a step in turn, after which a candidate has arrived
MOST_CLASSES = 10
RANDOM_STARTS = 2


def ball_search(
    objective: Objective, rho: float, loss_before: float, generator: torch.Generator
) -> Tensor:
    """Return the best ν, (P,), with ‖ν‖ ≤ ρ; zero if no point is above w."""
    w = objective.network.weights
    best, best_loss = torch.zeros_like(w), loss_before
    for directions in _starts(objective, generator):
        for chunk in directions.split(objective.candidates_per_chunk):
            losses, moves = _climb(objective, rho, loss_before, chunk)
            i = int(losses.argmax())
            if losses[i] > best_loss:
                best, best_loss = moves[i].clone(), float(losses[i])
    return best


def _starts(objective: Objective, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield directions to start in, of shape (k, P)."""
    w = objective.network.weights
    temperatures = torch.tensor([1.0, SOFT_TEMPERATURE], dtype=w.dtype, device=w.device)
    yield _gradients(objective, training_loss, temperatures)
    classes = objective.network.classes
    chosen = torch.randperm(classes, generator=generator)[:MOST_CLASSES].to(w.device)
    directions = torch.eye(classes, dtype=w.dtype, device=w.device)[chosen]
    yield _gradients(objective, towards_class, directions)
    yield _gradients(objective, towards_probability, directions)
    drawn = torch.randn(RANDOM_STARTS, len(w), generator=generator, dtype=w.dtype)
    yield drawn.to(w.device)


def _gradients(objective: Objective, criterion: Criterion, parameters: Tensor) -> Tensor:
    """Return the gradients at w of a criterion with each of some parameters, (k, P)."""
    w = objective.network.weights
    return objective.gradients(w.expand(len(parameters), -1), criterion, parameters)[1]


def _climb(
    objective: Objective, rho: float, loss_before: float, directions: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the best losses, (k,), and moves ν, (k, P), of candidates that climb until arrived."""
    w = objective.network.weights
    moves = trial = _on_sphere(directions, rho)
    best = torch.full((len(moves),), -torch.inf, dtype=torch.float64, device=w.device)
    steps = torch.full((len(moves), 1), torch.inf, dtype=w.dtype, device=w.device)
    shortened = torch.zeros(len(moves), dtype=torch.int64, device=w.device)
    uphill = torch.zeros_like(moves)
    for _ in range(BALL_STEPS):
        losses, gradients = objective.gradients(w + trial)
        gains = torch.where(losses.isfinite(), losses, -torch.inf) - best
        higher = gains > 0
        moves = torch.where(higher[:, None], trial, moves)
        uphill = torch.where(higher[:, None], _on_sphere(gradients, rho), uphill)
        gained = gains > MIN_GAIN * (losses - loss_before).abs()
        best = torch.where(higher, losses, best)
        shortened = torch.where(gained, 0, shortened + 1)
        steps = torch.where(gained[:, None], steps, 0.5 * steps.clamp(max=4.0))
        if bool((shortened > SHORTENINGS).all()):
            break
        far = steps.isinf()
        trial = torch.where(far, uphill, _on_sphere(moves + steps.nan_to_num(0) * uphill, rho))
    return best, moves


def _on_sphere(vectors: Tensor, rho: float) -> Tensor:
    """Return vectors of shape (k, P) scaled to the norm ρ; a zero vector stays zero."""
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors * (rho / norms.clamp_min(torch.finfo(vectors.dtype).tiny))
