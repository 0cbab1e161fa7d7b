"""What is done with the best point found: shake it and climb again, then small steps.

Near a good corner there often is a better one that no single climb reaches; and where the signs of
a gradient alternate from step to step, the maximum is on a face, which sign steps pass over.
"""

import torch
from torch import Tensor

from gentool.sharpness.problem import Problem
from gentool.sharpness.starts import corner_of_gradient

FLIPPED = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5)  # fractions of the signs; a half is a random corner
ROUNDS = 3
CLIMB = 3


def shake(problem: Problem) -> None:
    """Flip some of the best corner's signs and climb again by vertex iteration, some rounds."""
    for _ in range(ROUNDS):
        if problem.best_point is None:
            return
        corner = problem.best_point > problem.middle
        for fraction in FLIPPED:
            chance = torch.rand(len(corner), generator=problem.generator)
            signs = corner ^ (chance < fraction).to(corner.device)
            for _ in range(CLIMB):
                _, gradients = problem.gradients(problem.box.corner(signs)[None])
                signs = corner_of_gradient(gradients[0], signs)
            problem.losses(problem.box.corner(signs)[None])


def polish(problem: Problem, point: Tensor | None, steps: int) -> None:
    """Momentum steps along the gradient's signs from a point, halved whenever one gains nothing.

    The rule of Auto-PGD (Croce and Hein, ICML 2020), with the step in units of each coordinate's
    own radius, checked at every step since there are few.
    """
    if point is None:
        return
    size, reach = 2.0, (problem.box.high - problem.box.low) / 2
    best, anchor, gradient_there = -torch.inf, point, None
    previous = point
    for _ in range(steps):
        losses, gradients = problem.gradients(point[None])
        if losses[0] > best:
            best, anchor, gradient_there = losses[0], point, gradients[0]
        else:
            size, point, previous = size / 2, anchor, anchor
        step = problem.box.project(point + size * reach * gradient_there.sign())
        ahead = problem.box.project(point + 0.75 * (step - point) + 0.25 * (point - previous))
        previous, point = point, ahead
    problem.losses(point[None])
