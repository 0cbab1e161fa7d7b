"""Refinement by Rprop: it finds maxima inside the box, and goes on with the best of its starts."""

import pytest
import torch

from gentool.sharpness.box import box
from gentool.sharpness.search.rprop import refine

TOPS = torch.tensor([[0.3, -0.25, 2.0, -5.0], [-0.6, 0.5, -3.0, 4.0]], dtype=torch.float64)


class Hills:
    """Stand for a search state whose loss is the highest of hills of height 10 and known tops.

    Each is 10 − ‖D(x − top)‖²; the second is much flatter along two coordinates.
    """

    slopes = torch.tensor([[1.0, 1.0, 0.1, 0.1], [1.0, 1.0, 0.01, 0.01]], dtype=torch.float64)
    candidates_per_chunk = 1
    rise = 1.0

    def __init__(self, *hills):
        self.tops, self.scales = TOPS[list(hills)], self.slopes[list(hills)]
        self.box = box(torch.zeros(4, dtype=torch.float64), 1.0, torch.float64)
        self.best, self.point, self.passes = -torch.inf, None, 0

    def hills(self, points):
        return 10 - (self.scales * (points[:, None] - self.tops)).square().sum(dim=2)

    def losses(self, points):
        losses = self.hills(points).amax(dim=1)
        if losses.max() > self.best:
            self.best, self.point = float(losses.max()), points[losses.argmax()].clone()
        return losses

    def gradients(self, points):
        self.passes += 3 * len(points)
        variable = points.clone().requires_grad_()
        [gradients] = torch.autograd.grad(self.hills(variable).amax(dim=1).sum(), variable)
        return self.losses(points), gradients


def corner_near(top):
    return (top > 0)[None]


@pytest.mark.parametrize("hill", [0, 1])
def test_a_maximum_inside_a_face_is_found(hill):
    """Coordinates whose top is inside of the box get there, the others stay at their faces."""
    state = Hills(hill)
    refine(state, corner_near(TOPS[hill]))
    assert torch.allclose(state.point, TOPS[hill].clamp(-1, 1), atol=0.02)


def test_the_best_after_some_steps_goes_on_alone():
    """Both corners get a round of ten steps; the second hill is higher in the box."""
    state = Hills(0, 1)
    corners = torch.cat([corner_near(top) for top in TOPS])
    refine(state, corners)
    assert torch.allclose(state.point, TOPS[1].clamp(-1, 1), atol=0.02)
    assert 60 < state.passes <= 60 + 3 * 90


def test_so_many_steps_are_the_most_of_the_best():
    state = Hills(0, 1)
    refine(state, corner_near(TOPS[0]), steps=4)
    assert state.passes == 12


def test_a_point_of_infinite_loss_is_left_out():
    """Where the loss of a start overflows, the others are refined and none becomes NaN."""
    state = Hills(0, 1)
    finite = state.gradients

    def overflowing(points):
        losses, gradients = finite(points)
        if points[0, 0] > 0:
            return torch.full_like(losses, -torch.inf), torch.full_like(gradients, torch.nan)
        return losses, gradients

    state.gradients = overflowing
    refine(state, torch.cat([corner_near(top) for top in TOPS]))
    assert torch.allclose(state.point, TOPS[1].clamp(-1, 1), atol=0.02)
