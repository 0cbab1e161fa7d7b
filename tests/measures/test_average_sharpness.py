"""Average-case adaptive sharpness against plain draws of noise on PyTorch's own module."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from gentool.data.examples import Examples, without_other_sets
from gentool.measures import MEASURES, Measured, evaluate_measures
from gentool.networks.canonical import canonical

NAMES = ["adaptive_sharpness_average", "adaptive_sharpness_average_normalized"]


def network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    x = torch.randn(20, 2, 2, 2, dtype=torch.float64)
    return module, x, module(x).argmax(1)


def loss(module, x, y, normalized):
    f = module(x).detach()
    if normalized:
        f = f / ((f - f.mean(1, keepdim=True)) ** 2).mean(1, keepdim=True).sqrt()
    return float(cross_entropy(f, y))


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_rise_is_that_of_many_plain_draws_within_both_errors(name):
    module, x, y = network()
    normalized = name.endswith("normalized")
    before, rises = loss(module, x, y, normalized), []
    for _ in range(2000):
        noisy = copy.deepcopy(module)
        with torch.no_grad():
            for p in noisy.parameters():
                p.add_(0.1 * p.abs() * torch.randn_like(p))
        rises.append(loss(noisy, x, y, normalized) - before)
    expected = torch.tensor(rises, dtype=torch.float64)
    ones = torch.ones(2, 1, 1, dtype=torch.float64)
    sets = without_other_sets(Examples(x, y, 0 * ones, ones))
    net = Measured(canonical(module, (2, 2, 2)), sets=sets)
    found = evaluate_measures(net, MEASURES.select([name])).measures
    error = math.hypot(found[f"{name}_stderr"], float(expected.std()) / math.sqrt(2000))
    assert abs(found[name] - float(expected.mean())) < 4 * error
    assert found[f"{name}_stderr"] > 0


def test_normalised_logits_make_the_scale_of_the_last_layer_irrelevant():
    """The logits times 3: the same rise, from the same draws."""
    module, x, y = network()
    ones = torch.ones(2, 1, 1, dtype=torch.float64)
    sets = without_other_sets(Examples(x, y, 0 * ones, ones))
    values = []
    for factor in (1, 3):
        scaled = copy.deepcopy(module)
        with torch.no_grad():
            for p in scaled[-1].parameters():
                p.mul_(factor)
        net = Measured(canonical(scaled, (2, 2, 2)), sets=sets)
        values.append(evaluate_measures(net, MEASURES.select(NAMES)).measures)
    assert values[0][NAMES[1]] == pytest.approx(values[1][NAMES[1]], rel=1e-9)
    assert values[0][NAMES[0]] != pytest.approx(values[1][NAMES[0]], rel=1e-2)
