"""The size of the box that costs a tenth of the accuracy is that of closed forms and programs."""

from itertools import combinations

import numpy as np
import pytest
import torch
from helpers.sharpness_helpers import examples, mlp_case
from scipy.optimize import linprog
from torch import nn

from gentool.sharpness.accuracy_box import (
    TOLERANCE,
    BoxSize,
    sharpness_alpha,
    sharpness_alpha_magnitude,
)
from gentool.sharpness.evaluate import evaluate_point
from gentool.sharpness.functional import functional_network
from gentool.sharpness.worst_case import SearchOptions, WorstCaseSearch

FLOOR = 0.001


def linear_case(images, classes=3, inputs=4, seed=0, scale=1.0):
    """Return a linear network and images that it classifies correctly."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes))
    for parameter in model.parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    batch = torch.randn(images, 1, 1, inputs, generator=generator)
    return model, examples(batch, model(batch).argmax(dim=1))


def search_of(case, **options):
    model, data = case
    network = functional_network(model, tuple(data.images.shape[1:]))
    return WorstCaseSearch(network, data, SearchOptions(batching="vmap", **options))


def least_size(case, *, in_proportion):
    """Return the least size with which one image of a linear network can be wrong, exactly."""
    model, data = case
    W, b = model[1].weight.detach().double(), model[1].bias.detach().double()
    sizes = []
    for x, y in zip(data.images.flatten(1).double(), data.labels.tolist(), strict=True):
        logits = W @ x + b
        for j in range(len(W)):
            if j == y:
                continue
            margin, reach = float(logits[y] - logits[j]), 2 * float(x.abs().sum() + 1)
            if in_proportion:
                both = (W[y].abs() + W[j].abs()) @ x.abs() + b[y].abs() + b[j].abs()
                sizes.append((margin - FLOOR * reach) / float(both))
            else:
                sizes.append(margin / reach)
    return min(sizes)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("in_proportion", [False, True])
def test_one_of_ten_images_has_a_closed_form(seed, in_proportion):
    """A linear margin falls by r|x| summed over both rows: the size is the least of the ratios."""
    case = linear_case(10, seed=seed)
    measure = sharpness_alpha_magnitude if in_proportion else sharpness_alpha
    exact, found = least_size(case, in_proportion=in_proportion), measure(search_of(case))
    assert exact * (1 - 1e-6) <= found.value <= exact * (1 + TOLERANCE + 1e-6)
    assert found.low < exact * (1 + 1e-6)
    assert found.error == pytest.approx(0.1)


@pytest.mark.parametrize("seed", range(3))
def test_two_of_twenty_images_have_a_linear_program(seed):
    """Two classes: the least α that puts both images of some pair on the wrong side.

    The value is proven from above; the search comes within 6 % of the least.
    """
    model, data = linear_case(20, classes=2, seed=seed)
    W, b = model[1].weight.detach().double(), model[1].bias.detach().double()
    X = torch.cat([data.images.flatten(1).double(), torch.ones(20, 1).double()], dim=1)
    sign = 1 - 2 * data.labels.double()
    margins = sign * (X @ (torch.cat([W, b[:, None]], dim=1)[0] - torch.cat([W, b[:, None]], 1)[1]))
    inputs = X.shape[1]
    sizes = []
    for pair in combinations(range(20), 2):
        # variables: the change of both rows, at most α each in magnitude, and α
        rows = [[*(sign[i] * X[i]), *(-sign[i] * X[i]), 0.0] for i in pair]
        limits = [-float(margins[i]) for i in pair]
        faces = [
            [*(s * np.eye(2 * inputs)[k]), -1.0] for k in range(2 * inputs) for s in (1.0, -1.0)
        ]
        result = linprog(
            [0.0] * 2 * inputs + [1.0],
            A_ub=np.array([*rows, *faces], dtype=float),
            b_ub=[*limits, *([0.0] * 4 * inputs)],
            bounds=[(None, None)] * (2 * inputs + 1),
        )
        sizes.append(result.fun)
    found = sharpness_alpha(search_of((model, data)))
    exact = min(sizes)
    assert exact * (1 - 1e-6) <= found.value <= exact * 1.06


def test_all_seeds_of_a_small_network_have_one_size():
    """The order of the images, which the seed draws, hardly matters to the attack."""
    sizes = [sharpness_alpha(search_of(mlp_case(), seed=seed)).value for seed in range(3)]
    assert max(sizes) <= min(sizes) * 1.1


def test_the_size_shrinks_with_the_scale_of_a_linear_network():
    """Weights times c: a box of c times the size; in proportion, nearly the same size."""
    small, large = linear_case(10), linear_case(10, scale=100.0)
    ratio = sharpness_alpha(search_of(large)).value / sharpness_alpha(search_of(small)).value
    assert ratio == pytest.approx(100, rel=2.1 * TOLERANCE)


def test_more_images_than_the_coarse_search_takes_give_the_same_bound(monkeypatch):
    """With 20 coarse images of 80, the size is a proven one, and not much larger."""
    whole = sharpness_alpha(search_of(mlp_case()))
    monkeypatch.setattr("gentool.sharpness.accuracy_box.COARSE_IMAGES", 20)
    part = sharpness_alpha(search_of(mlp_case()))
    assert part.value < 1.5 * whole.value
    assert 0 < part.low < part.value <= part.low * (1 + TOLERANCE + 1e-9)


def test_a_network_at_chance_has_no_size():
    """No accuracy can fall by a tenth where more than nine tenths are wrong already."""
    model, data = linear_case(20)
    wrong = examples(data.images, (data.labels + 1) % 3)
    assert evaluate_point(*_at(model, wrong)).error == 1
    assert sharpness_alpha(search_of((model, wrong))) is None


def test_no_time_gives_no_size():
    assert sharpness_alpha(search_of(mlp_case(), seconds=0.0)) is None
    assert isinstance(sharpness_alpha(search_of(mlp_case(), seconds=60.0)), BoxSize)


def test_a_floor_that_is_enough_alone_gives_no_magnitude_aware_size():
    """Weights of 1e-4 and ε = 1e-3: any α′ is enough, so that there is no least one."""
    assert sharpness_alpha_magnitude(search_of(linear_case(10, scale=1e-4))) is None


def _at(model, data):
    network = functional_network(model, tuple(data.images.shape[1:]))
    return network, data, network.weights
