"""Kendall's tau-b against its definition, its bootstrap, and the ranking of measures by it."""

import math
from itertools import combinations

import numpy as np
import pytest
from helpers.claim_records import network
from scipy.stats import kendalltau

from gentool.claims.correlation import correlation, correlations
from gentool.claims.kendall import bootstrap, tau_b


def by_definition(x, y):
    """Compute tau-b pair by pair."""
    pairs = list(combinations(zip(x, y, strict=True), 2))
    score = sum(np.sign(a - c) * np.sign(b - d) for (a, b), (c, d) in pairs)
    untied = [sum(p[k] != q[k] for p, q in pairs) for k in (0, 1)]
    return score / math.sqrt(untied[0] * untied[1])


def test_tau_of_four_points_by_hand():
    """Of the six pairs of 1, 2, 3, 4 and 1, 3, 2, 4 five agree: (5 - 1) / 6."""
    x, y = np.array([1, 2, 3, 4]), np.array([1, 3, 2, 4])
    assert tau_b(x, y) == pytest.approx(4 / 6)


def test_tau_with_ties_by_hand():
    """1, 1, 2 and 1, 2, 3: two pairs agree, one is tied in x: 2 / sqrt(2 * 3)."""
    assert tau_b(np.array([1, 1, 2]), np.array([1, 2, 3])) == pytest.approx(2 / math.sqrt(6))


def test_tau_agrees_with_its_definition_and_with_scipy():
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, y = rng.integers(0, 6, (2, 12)).astype(float)
        assert tau_b(x, y) == pytest.approx(by_definition(x, y))
        assert tau_b(x, y) == pytest.approx(kendalltau(x, y).statistic)


def test_a_constant_has_no_tau():
    assert tau_b(np.ones(4), np.arange(4.0)) is None


def test_the_bootstrap_interval_is_that_of_resamples_scored_by_scipy():
    """Write out the same resamples, with their duplicates, and score each by SciPy."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 8))
    counts = np.random.default_rng(7).multinomial(8, np.full(8, 1 / 8), size=200)
    taus = [kendalltau(np.repeat(x, c), np.repeat(y, c)).statistic for c in counts]
    low, high, resamples = bootstrap(x, y, 200, seed=7)
    assert (low, high) == pytest.approx(tuple(np.percentile(taus, (2.5, 97.5))))
    assert resamples == 200


def test_four_points_have_no_interval():
    assert bootstrap(np.arange(4.0), np.arange(4.0), 100, seed=0) is None


def grid():
    """Return four networks: l2 follows the gap (0.1, 0.2, 0.8, 0.9), spectral the size alone."""
    gaps = {("true", 1): 0.2, ("true", 2): 0.1, ("random", 1): 0.9, ("random", 2): 0.8}
    return [
        network(labels=labels, subset=size, test_error=gap, l2=gap, spectral=size)
        for (labels, size), gap in gaps.items()
    ]


def test_the_measure_that_follows_the_gap_comes_first():
    first, second = correlations(grid(), None, 0, 0)
    assert (first.measure, first.tau, first.pairs) == ("l2", 1.0, 6)
    assert second.measure == "spectral"
    assert -1 < second.tau < 0


def test_the_granulated_tau_averages_over_settings():
    """spectral: tau -1 along the size, 0 along the labels, where it is constant."""
    spectral = correlation(grid(), "spectral", 0, 0)
    assert spectral.granulated == -0.5
    assert {name: (a.tau, a.groups, a.tied) for name, a in spectral.axes.items()} == {
        "labels": (0.0, 2, 2),
        "subset": (-1.0, 2, 0),
    }
    l2 = correlation(grid(), "l2", 0, 0)
    assert {name: axis.tau for name, axis in l2.axes.items()} == {"labels": 1.0, "subset": 1.0}


def test_values_too_large_for_a_float_are_ranked_by_their_log10():
    networks = grid()
    for record in networks:
        record["measures"]["l2"] = None
        record["log10"]["l2"] *= 1000
    assert correlation(networks, "l2", 0, 0).tau == 1.0


def test_a_measure_without_a_tau_has_a_reason_and_comes_last():
    networks = grid()
    for record in networks:
        record["measures"] |= {"parameters": 7.0}
        record["log10"] |= {"parameters": 0.8}
    last = correlations(networks, None, 0, 0)[-1]
    assert (last.measure, last.tau) == ("parameters", None)
    assert last.reason == "the measure is the same in all networks"


def test_networks_without_errors_are_not_ranked():
    networks = grid()
    networks[0]["outcome"] = None
    assert correlation(networks, "l2", 0, 0).networks == 3


def test_values_made_with_several_settings_are_not_ranked():
    """Sharpness at two α; the other measures keep their tau."""
    networks = grid()
    for i, record in enumerate(networks):
        record["measures"]["sharpness"], record["log10"]["sharpness"] = 1.0 + i, 0.1 * i
        record["sharpness"] = {"points": [{"alpha": 0.0005 if i else 0.005}]}
    row = correlation(networks, "sharpness", 10, 0)
    assert (row.tau, row.granulated, row.axes) == (None, None, {})
    assert row.reason == "sharpness has several values of alpha: 0.0005, 0.005"
    assert correlation(networks, "l2", 0, 0).tau == 1.0


def test_a_search_that_was_cut_short_is_left_out_and_counted():
    networks = grid()
    for i, record in enumerate(networks):
        record["measures"]["sharpness"], record["log10"]["sharpness"] = 1.0 + i, 0.1 * i
        record["sharpness"] = {"points": [{"stopped": "time" if i == 3 else None}]}
    row = correlation(networks, "sharpness", 0, 0)
    assert (row.networks, row.cut_short) == (3, 1)


def test_a_measure_is_ranked_by_any_key():
    """By the loss gap; the gap itself and a field of the recipe are measures too."""
    networks = grid()
    for record in networks:
        record["outcome"] |= {"test_loss": -record["outcome"]["test_error"], "train_loss": 0.0}
    assert correlation(networks, "l2", 0, 0, "loss_gap").tau == -1.0
    assert correlation(networks, "gap", 0, 0).tau == 1.0
    assert correlation(networks, "recipe.subset", 0, 0).granulated == -0.5
