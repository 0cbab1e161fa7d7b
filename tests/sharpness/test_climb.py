"""Vertex iteration: each step goes to the corner of the gradient, and the best corner is kept."""

import pytest
import torch
from helpers.sharpness_helpers import mlp_case
from torch.func import functional_call, grad
from torch.nn.functional import cross_entropy

from gentool.sharpness.box import box
from gentool.sharpness.functional import functional_network
from gentool.sharpness.prepared import PreparedNetwork
from gentool.sharpness.search.climb import Climb, corner_of_gradient


@pytest.fixture(scope="module")
def objective():
    model, data = mlp_case()
    prepared = PreparedNetwork(functional_network(model, (1, 1, 6)), data, "vmap")
    return prepared.objective(torch.float64)[0]


@pytest.fixture(scope="module")
def within(objective):
    return box(objective.network.weights, 0.5, torch.float64)


def corners(objective, count):
    generator = torch.Generator().manual_seed(0)
    shape = (count, len(objective.network.weights))
    return torch.randint(2, shape, generator=generator, dtype=torch.bool)


def test_a_step_goes_to_the_corner_of_the_gradient(objective, within):
    """The gradient at the corner from torch.func, of the plain mean cross-entropy."""
    network, data = objective.network, objective.examples

    def loss(point):
        logits = functional_call(network.module, network.named(point), (data.images.double(),))
        return cross_entropy(logits, data.labels)

    signs = corners(objective, 3)
    climb = Climb(objective, within, signs)
    climb.step()
    expected = torch.stack([grad(loss)(within.corner(row)) > 0 for row in signs])
    assert torch.equal(climb.signs, expected)


def test_each_candidate_keeps_the_best_corner_that_it_saw(objective, within):
    """Recomputed: the best loss is that of the corner, and the highest of all corners seen."""
    climb = Climb(objective, within, corners(objective, 4))
    seen = [climb.step()[0] for _ in range(6)]
    seen.append(objective.losses(within.corner(climb.signs)))
    climb.look()
    assert torch.equal(climb.losses, torch.stack(seen).amax(dim=0))
    again = objective.losses(within.corner(climb.corners))
    assert torch.allclose(again, climb.losses, rtol=1e-12)


def test_a_candidate_that_is_not_active_stays(objective, within):
    climb = Climb(objective, within, corners(objective, 3))
    climb.step()
    before = climb.losses.clone()
    climb.keep(torch.tensor([True, False, True]))
    climb.step()
    assert climb.active.tolist() == [0, 2]
    assert climb.losses[1] == before[1]


def test_where_the_gradient_is_zero_the_sign_stays():
    signs = corner_of_gradient(torch.tensor([2.0, 0.0, 0.0, -1.0]), torch.tensor([0, 1, 0, 1]) > 0)
    assert signs.tolist() == [True, True, False, False]
