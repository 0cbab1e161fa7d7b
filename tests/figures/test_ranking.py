"""The figure of measures ranked by their scores."""

import math

import pytest
from helpers.claim_records import network

from gentool.claims.correlation import correlation
from gentool.common.errors import GentoolError
from gentool.figures import FIGURES, draw
from gentool.figures.registry import FigureOptions


def records():
    """Return 36 networks of 12 recipes: l2 follows the gap, spectral the number of units."""
    made = []
    for i, hidden in enumerate((8, 16, 32)):
        for j, lr in enumerate((0.01, 0.03, 0.1, 0.3)):
            for seed in (0, 1, 2):
                gap = (700 + 900 * i + 1300 * j + 37 * seed) / 10_000
                values = {"l2": 9 * gap, "spectral": math.log(hidden), "l1_path": -gap}
                setting = {"hidden": hidden, "lr": lr, "seed": seed}
                made.append(network(test_error=gap, **setting, **values))
    return made


def prepared(networks, **options):
    return FIGURES["ranking"].prepare(networks, FigureOptions(**options))


def test_measures_stand_in_the_order_of_tau_with_their_intervals():
    networks = records()
    panels = prepared(networks, seed=4).panels
    assert panels[0].x.tick_labels == ("l2", "spectral", "l1_path")
    row = correlation(networks, "spectral", 1000, 4)
    tau = panels[0].curves[1]
    assert (tau.y, (tau.low[0], tau.high[0])) == ((row.tau,), row.interval)
    psi, information, errors = (panel.curves for panel in panels[1:])
    assert psi[1].y == (row.granulated,)
    assert information[1].y == (row.conditional_information.value,)
    assert (errors[2].y, errors[3].y) == ((row.sign_error.mean,), (row.sign_error.worst,))


def test_the_caption_counts_networks_and_recipes():
    sheet = prepared(records())
    assert "36 networks of 12 recipes" in sheet.caption
    assert draw(sheet).axes


def test_networks_that_differ_in_nothing_have_tau_alone():
    """One recipe and five seeds: no settings vary, and five points are no interval."""
    networks = [network(test_error=i / 10, seed=i, l2=i * i) for i in range(5)]
    [panel] = prepared(networks).panels
    assert (panel.y.label, panel.curves[0].low) == ("Kendall's τ", None)


def test_one_network_is_no_ranking():
    with pytest.raises(GentoolError, match="tau needs 2"):
        prepared(records()[:1])
