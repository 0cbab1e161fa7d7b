"""Small steps from the best corner found.

Where the signs of a gradient alternate from step to step, the maximum is on a face, which sign
steps pass over.
"""

import torch
from torch import Tensor

from gentool.sharpness.problem import Problem

FIRST = 0.5  # step of every coordinate, in units of its own radius


def polish(problem: Problem, point: Tensor | None, steps: int) -> None:
    """Steps along the gradient's signs, halved for each coordinate whose sign has turned.

    So each coordinate that belongs on a face or between them finds its place by bisection, while
    those at their corner stay. After Rprop (Riedmiller and Braun, ICNN 1993), without its growth.
    """
    if point is None:
        return
    size = FIRST * (problem.box.high - problem.box.low) / 2
    before = torch.zeros_like(point)
    for _ in range(steps):
        _, gradients = problem.gradients(point[None])
        signs = gradients[0].sign()
        size = torch.where(signs * before < 0, size / 2, size)
        point = problem.box.project(point + size * signs)
        before = signs
    problem.losses(point[None])
