"""Axes: their range holds all that is drawn, and they have ticks however few decades they span."""

import pytest
from helpers.figure_records import by_size, kept_at

from gentool.figures import FIGURES, draw
from gentool.figures.registry import FigureOptions


def drawn(records, figure="1"):
    """Return the drawn axes of the first panel."""
    return draw(FIGURES[figure].prepare(records, FigureOptions())).axes[0]


def test_bars_over_seeds_are_inside_the_axis():
    records = by_size((10, 20), seed=0) + by_size((10, 20), seed=1)
    for record, log in zip(records[:2], (1.0, 30.0), strict=True):
        record["log10"]["l2"] = log
    low, high = drawn(records).get_ylim()
    assert low < 1 < 30 < high


@pytest.mark.parametrize(
    ("logs", "ticks"),
    [
        ((10.3, 10.55), ["$2\\cdot10^{10}$", "$3\\cdot10^{10}$"]),
        ((-0.3, 0.3), ["0.5", "1", "2"]),
        ((9.2, 10.8), ["$2\\cdot10^{9}$", "$5\\cdot10^{9}$", "$10^{10}$", "$2\\cdot10^{10}$",
                       "$5\\cdot10^{10}$"]),
        ((10.0, 14.0), ["$10^{10}$", "$10^{11}$", "$10^{12}$", "$10^{13}$", "$10^{14}$"]),
        ((10.40, 10.41), ["$10^{10.4}$", "$10^{10.405}$", "$10^{10.41}$"]),
    ],
)  # fmt: skip
def test_an_axis_of_few_decades_has_two_ticks_at_least(logs, ticks):
    records = by_size((10, 20))
    for record in records:
        record["log10"]["l2"] = logs[record["recipe"]["subset"] == 20]
    axes = drawn(records)
    axes.figure.canvas.draw()
    low, high = axes.get_ylim()
    all_ticks = axes.yaxis.get_major_ticks()
    shown = [t.label1.get_text() for t in all_ticks if low <= t.get_loc() <= high]
    assert shown == ticks


def test_a_legend_has_columns_as_full_as_can_be():
    """Of four entries of which three fit side by side, two stand in each of two columns."""
    records = [
        record
        for labels in ("true", "random")
        for subset in (40, 60)
        for record in kept_at({0.1: 0.08, 0.01: 0.008}, labels=labels, subset=subset)
    ]
    [legend] = drawn(records, "growth").figure.legends
    assert legend._ncols == 2
