"""Norm measures: values by hand, and claims about every measure in the registry."""

import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from gentool.data.examples import Examples, without_other_sets
from gentool.measures import MEASURES, Measured, evaluate_measures, margins
from gentool.networks.canonical import canonical
from gentool.records.recipe import Outcome

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
def test_a_measure_has_the_value_computed_by_hand(name):
    values = evaluate_measures(net(), MEASURES.select([name]))
    assert values.measures[name] == pytest.approx(BY_HAND[name], rel=1e-12)
    assert values.log10[name] == pytest.approx(math.log10(BY_HAND[name]), abs=1e-12)


MOVED_BY_HAND = {
    "distance_frobenius": 25 / 16,
    "distance_spectral": 1,
    "pac_bayes_spectral_distance_unnormalized": 9 * 9 * (25 / 16 / 9),
    "spectral_complexity_distance_unnormalized": 9 * 9 * (7 / 4 / 3) ** 2,
}


@pytest.mark.parametrize("name", MOVED_BY_HAND)
def test_a_distance_from_the_initial_weights_has_the_value_computed_by_hand(name):
    """Training multiplied the singular values of W1, 3 and 4, by 3/4, and left W2."""
    values = evaluate_measures(net(initial=True), MEASURES.select([name]))
    assert values.measures[name] == pytest.approx(MOVED_BY_HAND[name], rel=1e-12)


def test_a_distance_is_null_without_the_initial_weights():
    values = evaluate_measures(net(), MEASURES.select(["distance_frobenius"]))
    assert values.measures == {"distance_frobenius": None}
    assert "the initial weights are not known" in values.notes[0]


@pytest.mark.parametrize("gamma", [0.0, -0.5])
def test_a_margin_that_is_not_positive_makes_the_normalised_measures_undefined(gamma):
    """Null with a note; the margin itself and the unnormalised measures have their values."""
    values = evaluate_measures(
        net(gamma), MEASURES.select(["margin", "l2", "l1_path", "l2_unnormalized"])
    )
    assert values.measures == {
        "margin": gamma,
        "l2": None,
        "l1_path": None,
        "l2_unnormalized": pytest.approx(225),
    }
    assert all("is not positive" in note for note in values.notes)


def test_a_stable_rank_is_undefined_for_a_layer_of_zeros():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2))
    model[1].weight.data.zero_()
    values = evaluate_measures(Measured(canonical(model, (1, 1, 2))), MEASURES)
    assert values.measures["l2_unnormalized"] == values.measures["spectral_unnormalized"] == 0
    assert values.measures["frobenius_over_spectral"] is None
    assert any("'1' are all zero" in note for note in values.notes)


def test_a_value_too_large_for_a_float_is_null_but_has_a_logarithm():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2))
    model.double()[1].weight.data = 1e200 * torch.eye(2, dtype=torch.float64)
    nn.init.ones_(model[3].weight)
    values = evaluate_measures(
        Measured(canonical(model, (1, 1, 2))), MEASURES.select(["l2_unnormalized"])
    )
    assert values.measures["l2_unnormalized"] is None
    assert values.log10["l2_unnormalized"] == pytest.approx(400 + math.log10(2 * 4))


@pytest.fixture(scope="module")
def whole():
    """A small network with all that a measure may need: margins, images, initial weights."""
    torch.manual_seed(0)
    models = [
        nn.Sequential(nn.Flatten(), nn.Linear(12, 14), nn.ReLU(), nn.Linear(14, 11)).double()
        for _ in range(2)
    ]
    network, before = (canonical(model, (3, 2, 2)) for model in models)
    trained = Outcome(
        *(2, True, False, 0.01, 0.0, None, None, None, None, 0.02, 0.0),
        history={"epoch": [1, 2], "loss": [0.5, 0.02], "error": [0.1, 0.0]},
        steps=20,
        steps_to_loss_0_1=12,
        steps_to_loss_0_01=20,
    )
    images = torch.randn(40, 3, 2, 2, dtype=torch.float64)
    labels = network(images).argmax(1)
    ones = torch.ones(3, 1, 1, dtype=torch.float64)
    return Measured(
        network,
        margins(network(images), labels),
        initial=lambda: before,
        sets=without_other_sets(Examples(images, labels, 0 * ones, ones)),
        outcome=trained,
        first_epoch=lambda: before,
    )


@pytest.mark.parametrize("measure", list(MEASURES), ids=lambda measure: measure.name)
def test_every_measure_has_a_formula_a_source_and_a_finite_value(measure, whole):
    """On a small network with margins, images, training record and other weights."""
    assert measure.summary.endswith(".")
    signs = ("γ", "Σ", "∏", "‖", "λ", "E ", "tr", "√", "#")
    assert any(sign in measure.formula for sign in signs)
    assert re.search("(19|20)[0-9]{2}", measure.source)
    values = evaluate_measures(whole, [measure])
    assert math.isfinite(values.measures[measure.name])
    assert values.notes == []


def network_with(activation):
    """Two linear layers of small whole numbers with an activation between them."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), activation, nn.Linear(2, 2)).double()
    for i, parameter in enumerate(model.parameters()):
        parameter.data = torch.arange(parameter.numel(), dtype=torch.float64).view_as(parameter) - i
    return canonical(model, (1, 1, 2))


@pytest.mark.parametrize(
    ("activation", "homogeneous", "lipschitz"),
    [
        (nn.LeakyReLU(0.2), True, True),
        (nn.LeakyReLU(2.0), True, False),
        (nn.Tanh(), False, True),
        (nn.ELU(2.0), False, False),
        (nn.GELU(), False, False),
        (nn.Sigmoid(), False, False),
    ],
)
def test_measures_that_need_properties_of_the_activations_are_none_without_them(
    activation, homogeneous, lipschitz
):
    """Bounds need both, equal rescaling homogeneity, spectral complexity a Lipschitz constant."""
    names = [
        "l2_bound_unnormalized",
        "frobenius_sum_unnormalized",
        "spectral_complexity_unnormalized",
    ]
    values = evaluate_measures(Measured(network_with(activation)), MEASURES.select(names))
    exist = [values.measures[name] is not None for name in names]
    assert exist == [homogeneous and lipschitz, homogeneous, lipschitz]
    assert len(values.notes) == exist.count(False)
    assert all("activations" in note for note in values.notes)


def test_measures_of_the_weights_alone_do_not_depend_on_the_activation():
    """Sums over paths and products of norms are those of the same weights with ReLU."""
    names = ["l2_unnormalized", "l1_path_unnormalized", "l2_path_unnormalized", "parameters"]
    relu, sigmoid = (
        evaluate_measures(Measured(network_with(kind)), MEASURES.select(names)).measures
        for kind in (nn.ReLU(), nn.Sigmoid())
    )
    assert relu == sigmoid
