"""Small steps from the best corner found.

Where the signs of a gradient alternate from step to step, the maximum is on a face, which sign
steps pass over.
"""

import torch
from torch import Tensor

from gentool.sharpness.problem import Problem


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
