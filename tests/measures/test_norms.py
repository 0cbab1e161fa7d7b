"""Norm measures: values by hand, and what holds for every measure in the registry."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gentool.measures import MEASURES, Measured, evaluate_measures
from gentool.networks.canonical import canonical

W1, W2 = np.array([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]), np.array([[1.0, 2.0, 2.0]])


def net(gamma=2.0, initial=False):
    """W1 has singular values 3 and 4, W2 has 3; every margin is gamma."""
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 1, bias=False)
    )
    model[1].weight.data, model[3].weight.data = torch.tensor(W1), torch.tensor(W2)
    before = canonical(model, (1, 1, 2))
    if initial:  # training multiplied W1 by 3/4 and left W2: differences of 1/4 and 0
        model[1].weight.data = torch.tensor(W1) * 0.75
        return Measured(canonical(model, (1, 1, 2)), initial=lambda: before)
    margins = torch.full((100,), gamma, dtype=torch.float64)
    return Measured(before, margins)


BY_HAND = {
    "margin": 2,
    "inverse_margin": 1 / 4,
    "l2": 25 * 9 / 4,
    "l2_unnormalized": 25 * 9,
    "l2_bound": 16 * 25 * 9 / 4,
    "spectral": 16 * 9 / 4,
    "spectral_bound": 3 * 16 * 1 * 9 / 4,
    "l2_operator": 25 * 9 / 4,
    "spectral_bound_operator": 3 * 16 * 1 * 9 / 4,
    "l1_path": (3 * 1 + 4 * 2) ** 2 / 4,
    "l2_path": (9 * 1 + 16 * 4) / 4,
    "parameters": 9,
    "sum_of_squares": 25 + 9,
    "frobenius_sum": 2 * math.sqrt(25 * 9 / 4),
    "spectral_sum_unnormalized": 2 * math.sqrt(16 * 9),
    "frobenius_over_spectral": 25 / 16 + 9 / 9,
    "pac_bayes_spectral": 16 * 9 / 4 * (25 / 16 + 1),
    "spectral_complexity": 16 * 9 / 4 * ((7 / 4) ** (2 / 3) + 1) ** 3,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_value_by_hand(name):
    found = evaluate_measures(net(), MEASURES.select([name]))
    assert found.measures[name] == pytest.approx(BY_HAND[name], rel=1e-12)
    assert found.log10[name] == pytest.approx(math.log10(BY_HAND[name]), abs=1e-12)


MOVED_BY_HAND = {
    "distance_frobenius": 25 / 16,
    "distance_spectral": 1,
    "pac_bayes_spectral_distance_unnormalized": 9 * 9 * (25 / 16 / 9),
    "spectral_complexity_distance_unnormalized": 9 * 9 * (7 / 4 / 3) ** 2,
}


@pytest.mark.parametrize("name", MOVED_BY_HAND)
def test_a_distance_from_the_initial_weights_by_hand(name):
    """W1 went from singular values 3 and 4 to three quarters of them, W2 stayed."""
    found = evaluate_measures(net(initial=True), MEASURES.select([name]))
    assert found.measures[name] == pytest.approx(MOVED_BY_HAND[name], rel=1e-12)


def test_without_the_initial_weights_distances_do_not_exist():
    found = evaluate_measures(net(), MEASURES.select(["distance_frobenius"]))
    assert found.measures == {"distance_frobenius": None}
    assert "the initial weights are not known" in found.notes[0]


@pytest.mark.parametrize("gamma", [0.0, -0.5])
def test_a_margin_that_is_not_positive_makes_the_normalised_measures_undefined(gamma):
    """Null with a note; the margin itself and the unnormalised ones are as they are."""
    found = evaluate_measures(
        net(gamma), MEASURES.select(["margin", "l2", "l1_path", "l2_unnormalized"])
    )
    assert found.measures == {
        "margin": gamma,
        "l2": None,
        "l1_path": None,
        "l2_unnormalized": pytest.approx(225),
    }
    assert all("is not positive" in note for note in found.notes)


def test_a_layer_of_zeros_is_not_divided_by():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2))
    model[1].weight.data.zero_()
    found = evaluate_measures(Measured(canonical(model, (1, 1, 2))), MEASURES)
    assert found.measures["l2_unnormalized"] == found.measures["spectral_unnormalized"] == 0
    assert found.measures["frobenius_over_spectral"] is None
    assert any("'1' are all zero" in note for note in found.notes)


def test_a_number_beyond_a_float_is_null_and_its_logarithm_is_there():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2))
    model.double()[1].weight.data = 1e200 * torch.eye(2, dtype=torch.float64)
    nn.init.ones_(model[3].weight)
    found = evaluate_measures(
        Measured(canonical(model, (1, 1, 2))), MEASURES.select(["l2_unnormalized"])
    )
    assert found.measures["l2_unnormalized"] is None
    assert found.log10["l2_unnormalized"] == pytest.approx(400 + math.log10(2 * 4))


@pytest.mark.parametrize("measure", list(MEASURES), ids=lambda measure: measure.name)
def test_every_measure_has_a_formula_a_source_and_a_finite_value(measure):
    """On a small network that has all that any of them needs."""
    assert measure.summary.endswith(".")
    assert any(sign in measure.formula for sign in "γΣ∏")
    assert any(year in measure.source for year in ("2017", "2018", "2020"))
    moved = net(initial=True)
    whole = Measured(moved.network, net().margins, initial=moved.initial)
    found = evaluate_measures(whole, [measure])
    assert math.isfinite(found.measures[measure.name])
    assert found.notes == []
