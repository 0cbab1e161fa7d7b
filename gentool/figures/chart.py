"""Prepare a chart of any measures against any key of the measure files. No torch.

Values that span decades are drawn through their log10, so that one too large for a float has its
place too.
"""

import math
import textwrap
from collections import defaultdict
from dataclasses import replace

from gentool.common.errors import GentoolError
from gentool.common.json import is_number
from gentool.figures import series, style
from gentool.figures.legend import label_order
from gentool.figures.number_formats import number
from gentool.figures.sheet import Axis, Curve, Layout, Panel, Sheet
from gentool.records.measure_file import Record, check_key, log10_of, lookup

X_KEYS = ("recipe.subset", "recipe.hidden", "recipe.confusion", "recipe.width", "recipe.depth")
Y_KEYS = ("l2", "l1_path", "l2_path", "spectral", "sharpness")
LEAST_RATIO = 4  # of the ends of a logarithmic x axis
NEAREST = 0.09  # of the x axis' length, between two ticks
LAYOUT = Layout(
    panel_width=4.2,
    panel_height=3.2,
    extra_width=0.4,
    extra_height=0.5,
    title_height=0.0,
    legend_row=0.0,
    legend_columns=6,
    title_size=12,
    legend_title_size=10,
    caption_size=7,
    message_size=10,
    marker_size=5,
    cap_size=2,
    is_above_frame=False,
)

Points = list[tuple[Record, float]]  # a record and its place on the x axis
Groups = dict[str, series.Values]  # by the label of their curve


def chart(
    records: list[Record], x: str | None = None, ys: list[str] | None = None, by: str | None = None
) -> Sheet:
    """Prepare panels of `ys` against `x`, one curve for each value of `by`; equal x are averaged.

    Keys that are None are chosen: as x the size that varies most, as by the labels if they vary,
    as ys the paper's measures. On a log axis the average is of logarithms (a geometric mean); the
    bars reach from the lowest to the highest value.

    Raise UsageError for a key that no record has, GentoolError if there is nothing to draw.
    """
    x, ys, by = _keys(records, x, ys, by)
    points, categories = _points(records, x)
    places = [place for _, place in points]
    x_is_log = not categories and min(places) > 0 and max(places) >= LEAST_RATIO * min(places)
    notes = [note for y in ys if (note := _missing(points, y))]
    y_is_log = {y: _is_log(points, y) for y in ys}
    groups = {y: _groups(points, y, by, is_log=y_is_log[y]) for y in ys}
    labels = sorted({label for y in ys for label in groups[y]}, key=label_order)
    if not labels:
        raise GentoolError("nothing to draw: " + "; ".join(notes))
    looks = dict(zip(labels, style.looks(labels), strict=True))
    panels = []
    for y in ys:
        present = [label for label in labels if label in groups[y]]
        curves = [series.averaged(groups[y][label], label, *looks[label]) for label in present]
        x_axis = _x_axis(x, categories, curves, is_log=x_is_log)
        panels.append(_panel(x_axis, _y_axis(y, is_log=y_is_log[y]), curves))
    has_bars = any(curve.has_bars for panel in panels for curve in panel.curves)
    return Sheet(
        panels,
        "mean over runs with the same x; bars from lowest to highest" * has_bars,
        columns=3 if len(panels) <= 3 else 2,
        legends="none" if by is None else "figure",
        legend_title=None if by is None else style.words(by),
        layout=LAYOUT,
        notes=notes,
    )


def _keys(
    records: list[Record], x: str | None, ys: list[str] | None, by: str | None
) -> tuple[str, list[str], str | None]:
    """Return x, ys and by, chosen where they are None; raise if no record has one of them."""
    x = x or max(X_KEYS, key=lambda key: len({lookup(record, key) for record in records}))
    if by is None and len({str(lookup(record, "recipe.labels")) for record in records}) > 1:
        by = "recipe.labels"
    ys = ys or [
        key for key in Y_KEYS if any(log10_of(record, key) is not None for record in records)
    ]
    if not ys:
        raise GentoolError(
            "none of these files holds one of the paper's measures; name a key with --y"
        )
    for key in (x, *ys, *([by] if by else [])):
        check_key(records, key)
    return x, ys, by


def _points(records: list[Record], x: str) -> tuple[Points, list[str]]:
    """Return the records that have an x, and the categories if these are not numbers.

    Categories have the places 0, 1, ... on the axis.
    """
    values = [(record, lookup(record, x)) for record in records if lookup(record, x) is not None]
    if not values:
        raise GentoolError(f"none of these files has a value of {x}")
    if all(is_number(value) for _, value in values):
        return [(record, float(value)) for record, value in values], []
    categories = sorted({str(value) for _, value in values}, key=label_order)
    return [(record, float(categories.index(str(value)))) for record, value in values], categories


def _missing(points: Points, y: str) -> str:
    """Return a note on the records that have no value of y; empty if all have one."""
    records = [record for record, _ in points]
    missing = sum(lookup(r, y) is None and log10_of(r, y) is None for r in records)
    if not missing:
        return ""
    reason = series.reason(records, y)
    return f"{missing} of {len(records)} files have no {y}" + (f" ({reason})" if reason else "")


def _is_log(points: Points, y: str) -> bool:
    """Return whether the values of y span decades, or some are too large for a float."""
    values = [lookup(record, y) for record, _ in points]
    logs = [log10_of(record, y) for record, _ in points]
    finite = [log for log in logs if log is not None]
    both = zip(values, logs, strict=True)
    if not finite or len(finite) < sum(v is not None or log is not None for v, log in both):
        return False
    is_wide = max(finite) - min(finite) >= series.DECADES_FOR_LOG
    return is_wide or values.count(None) > logs.count(None)


def _groups(points: Points, y: str, by: str | None, *, is_log: bool) -> Groups:
    """Return x and value (or its log10) of each record that has one, by the label of its curve."""
    groups: Groups = defaultdict(list)
    for record, place in points:
        value = log10_of(record, y) if is_log else lookup(record, y)
        if isinstance(value, (int, float)):
            label = "" if by is None else str(lookup(record, by))
            groups[label].append((place, float(value)))
    return groups


def _panel(x: Axis, y: Axis, curves: list[Curve]) -> Panel:
    """Return a panel; on a logarithmic x axis the x of its curves become exponents."""
    if x.scale == "log10":
        curves = [replace(curve, x=tuple(map(math.log10, curve.x))) for curve in curves]
    return Panel("", x, y, curves, messages=[] if curves else ["no values"])


def _y_axis(y: str, *, is_log: bool) -> Axis:
    label = textwrap.fill(style.words(y), 36)
    return Axis(label, "log10" if is_log else "linear", is_automatic=True)


def _x_axis(x: str, categories: list[str], curves: list[Curve], *, is_log: bool) -> Axis:
    """Return the x axis; a logarithmic one has its ticks at the values, in plain numbers."""
    label = style.words(x)
    if categories:
        ends = {"low": -0.5, "high": len(categories) - 0.5}
        ticks = tuple(range(len(categories)))
        return Axis(label, ticks=ticks, tick_labels=tuple(categories), **ends)
    if not is_log:
        return Axis(label, is_automatic=True)
    ticks = tuple(map(math.log10, _apart(sorted({x for curve in curves for x in curve.x}))))
    labels = tuple(number(10**exponent) for exponent in ticks)
    return Axis(label, "log10", ticks=ticks, tick_labels=labels, is_automatic=True)


def _apart(values: list[float]) -> list[float]:
    """Return those of the sorted values whose ticks do not run into the tick before."""
    kept: list[float] = []
    for value in values:
        if not kept or math.log10(value / kept[-1]) > NEAREST * math.log10(values[-1] / values[0]):
            kept.append(value)
    return kept
