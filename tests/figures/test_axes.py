"""Axes: their range holds all that is drawn, and each label says where its tick stands."""

import math
import re

import pytest
from helpers.figure_records import by_confusion, by_size, by_width, kept_at
from helpers.figure_text import check_bars

from gentool.figures import FIGURES, draw
from gentool.figures.registry import FigureOptions
from gentool.figures.sheet import Axis, Curve, Panel, Sheet


def drawn(records, figure="1"):
    """Return the drawn axes of the first panel."""
    return draw(FIGURES[figure].prepare(records, FigureOptions())).axes[0]


def panel(logs, scale="log10", **x):
    curve = Curve("a", tuple(range(1, len(logs) + 1)), tuple(logs), "black", "o")
    return draw(Sheet([Panel("", Axis("x", **x), Axis("y", scale), [curve])], "")).axes[0]


def number(label):
    """Return the number that a label says: 2.5K, 10^14, 2 x 10^14, as its log10."""
    text = re.sub(r"\\mathdefault|[${}]", "", label).replace("\N{MINUS SIGN}", "-")
    digits, _, power = text.replace("\\times", "*").partition("10^")
    if power:
        return int(power) + math.log10(float(digits.rstrip("*") or 1))
    thousands = {"K": 3, "M": 6}.get(text[-1], 0)
    return math.log10(float(text.rstrip("KM"))) + thousands


@pytest.mark.parametrize("figure", ["1", "2", "3", "4"])
def test_bars_over_seeds_are_inside_the_axes(figure):
    """One seed of three is far below the others, one far above."""
    networks = {"1": by_size, "2": by_size, "3": by_confusion, "4": by_width}[figure]
    records = [record for seed in range(3) for record in networks(seed=seed)]
    for record in records:
        factor = (1e-4, 1.0, 1e6)[record["recipe"]["seed"]]
        for name, value in record["measures"].items():
            record["measures"][name] = value * factor
            record["log10"][name] = math.log10(value * factor)
        record["outcome"]["test_error"] = (0.1, 0.2, 0.9)[record["recipe"]["seed"]]
    assert check_bars(draw(FIGURES[figure].prepare(records, FigureOptions()))) > 0


@pytest.mark.parametrize(
    "logs",
    [
        *((10.3, 10.55), (-0.3, 0.3), (9.2, 10.8), (10.0, 14.0), (10.40, 10.41), (28.0, 29.77)),
        *((0.8, 1.4), (0.0, 0.5), (0.0, 40.8), (-40.0, -3.0), (-5.5, -4.9), (3.0, 3.0)),
        *((400.0, 401.5), (-1000.0, -999.0), (350.0, 800.0), (-200.0, 1000.0), (0.0, 307.0)),
    ],
)
def test_each_label_of_a_logarithmic_axis_says_where_its_tick_stands(logs):
    """Within half decades, many, and beyond the range of floats; three labels at least."""
    axes = panel(logs)
    low, high = axes.get_ylim()
    texts = [label.get_text() for label in axes.get_yticklabels()]
    shown = {text: place for text, place in zip(texts, axes.get_yticks(), strict=True) if text}
    assert len(shown) >= 3
    assert len(set(shown)) == len([text for text in texts if text])
    assert all(low <= place <= high for place in shown.values())
    is_log = axes.get_yscale() == "log"
    offsets = {number(text) - (math.log10(at) if is_log else at) for text, at in shown.items()}
    shift = round(min(offsets))
    assert all(offset == pytest.approx(shift, abs=1e-6) for offset in offsets)
    points = axes.lines[0].get_ydata()
    for log, point in zip(logs, points, strict=True):
        assert (math.log10(point) if is_log else point) + shift == pytest.approx(log)


def test_numbers_of_few_digits_are_written_without_a_power_of_ten():
    texts = [label.get_text() for label in panel((0.0, 3.0)).get_yticklabels()]
    assert texts == [f"$\\mathdefault{{{value}}}$" for value in (1, 10, 100, 1000)]


@pytest.mark.parametrize(
    ("logs", "texts"),
    [
        ((60_000, 225_000), ["50K", "75K", "100K", "125K", "150K", "175K", "200K", "225K"]),
        ((1000.2, 1000.4), None),
        ((0.00997, 0.00997001), None),
        ((-3.0, 4.0), None),
        ((0.0, 0.0), None),
        ((3e15, 5e15), None),
    ],
)
def test_labels_of_a_linear_axis_differ_from_each_other(logs, texts):
    labels = [t.get_text() for t in panel(logs, "linear").get_yticklabels() if t.get_text()]
    assert len(set(labels)) == len(labels) >= 3
    if texts:
        assert set(labels) <= set(texts)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_ticks_of_few_settings_are_their_values(scale):
    axes = panel((1.0, 2.0, 3.0), scale=scale, at_values=True)
    assert list(axes.get_xticks()) == [1, 2, 3]
    assert axes.get_xlim()[0] < 1 < 3 < axes.get_xlim()[1]


def test_an_axis_with_one_value_has_a_range_around_it():
    low, high = drawn(by_size((10, 20), seed=0)[:2]).get_ylim()
    assert low < 10 < 20 < high


def test_a_legend_has_columns_as_full_as_can_be():
    """Of four entries of which three fit side by side, two stand in each of two columns."""
    records = [
        record
        for labels in ("true", "random")
        for subset in (40, 60)
        for record in kept_at({0.1: 0.08, 0.01: 0.008}, labels=labels, subset=subset)
    ]
    [legend] = drawn(records, "growth").figure.legends
    assert legend._ncols in (2, 4)
