"""Ranks, norms and exponents of layers against values by hand and by the published procedure."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gentool.measures import MEASURES, Measured, evaluate_measures
from gentool.measures.spectra import power_law_exponent
from gentool.networks.canonical import canonical


def values(module, shape, *names):
    net = Measured(canonical(module, shape))
    return evaluate_measures(net, MEASURES.select(names)), net.of_layers


def two_layers():
    """Singular values 3 and 4, and 3: as in test_norms.py."""
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 1, bias=False)
    )
    module[1].weight.data = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    module[3].weight.data = torch.tensor([[1.0, 2.0, 2.0]])
    return module


H = -(3 / 7 * math.log(3 / 7) + 4 / 7 * math.log(4 / 7))
BY_HAND = {
    "stable_rank": [25 / 16, 1.0],
    "effective_rank": [math.exp(H), 1.0],
    "nuclear_norm": [7.0, 3.0],
    "norm_2_1": [7.0, 3.0],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_measure_and_its_layers_have_the_values_computed_by_hand(name):
    measured, of_layers = values(two_layers(), (1, 1, 2), name)
    total = sum(BY_HAND[name])
    expected = total if "norm" in name else total / 2
    assert measured.measures[name] == pytest.approx(expected, rel=1e-12)
    assert of_layers[name] == pytest.approx(BY_HAND[name], rel=1e-12)


def published(data):
    """The fit as the powerlaw package and WeightWatcher publish it, one start of the tail a row."""
    x = sorted(data)
    rows = []
    for start in x[:-1]:
        tail = [v for v in x if v >= start]
        n = len(tail)
        alpha = 1 + n / sum(math.log(v / start) for v in tail)
        law = [1 - (v / start) ** (1 - alpha) for v in tail]
        rows.append((max(abs(law[i] - i / n) for i in range(n)), alpha))
    return min(rows, key=lambda row: row[0])[1]


@pytest.mark.parametrize("seed", range(3))
def test_the_exponent_of_a_tail_is_that_of_the_published_fit(seed):
    generator = np.random.default_rng(seed)
    data = np.concatenate([generator.pareto(1.5, 150) + 1, generator.uniform(0, 1.2, 80)])
    assert power_law_exponent(data) == pytest.approx(published(data), rel=1e-10)


def test_the_exponent_of_a_power_law_is_its_own():
    """Quantiles of density x^-3 above 1: the maximum likelihood is within 2 % at 2,000 of them."""
    u = (np.arange(2000) + 0.5) / 2000
    assert power_law_exponent((1 - u) ** (-1 / 2)) == pytest.approx(3, rel=0.02)


def test_the_eigenvalues_of_a_convolution_are_those_of_its_slices_together():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6, 2)).double()
    measured, of_layers = values(module, (4, 3, 3), "weightwatcher_alpha")
    W = module[0].weight.detach().numpy()
    squares = [s**2 for i in range(3) for j in range(3) for s in np.linalg.svd(W[:, :, i, j])[1]]
    assert measured.measures["weightwatcher_alpha"] == pytest.approx(published(squares), rel=1e-9)
    assert of_layers["weightwatcher_alpha"][1] is None


def test_no_layer_with_enough_eigenvalues_is_null_with_the_reason():
    measured, _ = values(two_layers(), (1, 1, 2), "weightwatcher_alpha")
    assert measured.measures == {"weightwatcher_alpha": None}
    assert "no layer has 10 eigenvalues" in measured.notes[0]
