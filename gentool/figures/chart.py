"""Figures from measure records: any measure against any key. No torch.

Values are drawn through their log10 where they span decades, so that one too large for a float has
its place too.
"""

import math
import statistics
import textwrap
from collections import defaultdict
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from gentool.common.errors import GentoolError
from gentool.common.json import is_number
from gentool.figures import style
from gentool.figures.legend import label_order
from gentool.figures.number_formats import number, power_of_ten
from gentool.records.measure_file import Record, check_key, log10_of, lookup

DECADES_FOR_LOG = 1.5
X_KEYS = ("recipe.subset", "recipe.hidden", "recipe.confusion", "recipe.width", "recipe.depth")
Y_KEYS = ("l2", "l1_path", "l2_path", "spectral", "sharpness")


@dataclass(frozen=True)
class Line:
    """One line of a panel: at each x, centre and spread (lowest, highest) over the records there.

    On a log axis all of them are log10.
    """

    label: str
    x: list[float]
    centre: list[float]
    low: list[float]
    high: list[float]
    is_averaged: bool = False  # whether there is more than one record at some x


@dataclass(frozen=True)
class Panel:
    """What is drawn of one y: its lines, and whether its axes are logarithmic."""

    y: str
    lines: list[Line]
    is_log: bool


@dataclass(frozen=True)
class Chart:
    """A figure before it is drawn: panels over one x axis, and what could not be drawn."""

    x: str
    by: str | None
    x_is_log: bool
    categories: list[str]  # of an x that is no number: its values, at 0, 1, ...
    panels: list[Panel]
    is_averaged: bool
    warnings: list[str] = field(default_factory=list)


def chart(
    records: list[Record], x: str | None = None, ys: list[str] | None = None, by: str | None = None
) -> Chart:
    """Prepare panels of `ys` against `x`, one line a value of `by`; equal x are averaged.

    What is not named is chosen: as x the size that varies most, as by the labels where they vary,
    as ys the paper's measures. On a log axis the average is of logarithms (a geometric mean); the
    spread is from the lowest to the highest.

    Raises UsageError for a key that no record has, GentoolError where there is nothing to draw.
    """
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
    placed = [(record, lookup(record, x)) for record in records if lookup(record, x) is not None]
    if not placed:
        raise GentoolError(f"none of these files has a value of {x}")
    is_numeric = all(is_number(value) for _, value in placed)
    categories = [] if is_numeric else sorted({str(value) for _, value in placed}, key=label_order)
    points = [
        (record, float(value) if is_numeric else float(categories.index(str(value))))
        for record, value in placed
    ]
    warnings: list[str] = []
    panels = [_panel(points, y, by, warnings) for y in ys]
    if not any(panel.lines for panel in panels):
        raise GentoolError("nothing to draw: " + "; ".join(warnings))
    positive = [place for _, place in points if place > 0]
    return Chart(
        x=x,
        by=by,
        x_is_log=is_numeric and len(positive) == len(points) and max(positive) >= 4 * min(positive),
        categories=categories,
        panels=panels,
        is_averaged=any(line.is_averaged for panel in panels for line in panel.lines),
        warnings=warnings,
    )


def _panel(
    points: list[tuple[Record, float]], y: str, by: str | None, warnings: list[str]
) -> Panel:
    """The lines of one y, and a warning for the records that have no value of it."""
    logs = [log10_of(record, y) for record, _ in points]
    finite = [value for value in logs if value is not None]
    plain = [lookup(record, y) for record, _ in points]
    exists = [value is not None or log is not None for value, log in zip(plain, logs, strict=True)]
    is_log = len(finite) == sum(exists) > 0 and (
        max(finite) - min(finite) >= DECADES_FOR_LOG or plain.count(None) > logs.count(None)
    )
    values = logs if is_log else plain
    groups: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (record, place), value in zip(points, values, strict=True):
        if isinstance(value, (int, float)):
            groups[_group(record, by)][place].append(float(value))
    if missing := len(points) - sum(exists):
        reasons = {
            note.removeprefix(f"{y}: ")
            for record, _ in points
            for note in record["notes"]
            if note.startswith(f"{y}: ")
        }
        because = f" ({sorted(reasons)[0]})" if reasons else ""
        warnings.append(f"{missing} of {len(points)} files have no {y}{because}")
    lines = []
    for label in sorted(groups, key=label_order):
        places = sorted(groups[label])
        found = [groups[label][place] for place in places]
        centre = [statistics.fmean(values) for values in found]
        low, high = [min(values) for values in found], [max(values) for values in found]
        is_averaged = any(len(values) > 1 for values in found)
        lines.append(Line(label, places, centre, low, high, is_averaged))
    return Panel(y, lines, is_log)


def _group(record: Record, by: str | None) -> str:
    return "" if by is None else str(lookup(record, by))


def draw(prepared: Chart, title: str | None = None) -> Figure:
    """The figure of a chart: a panel a y, up to three side by side, more in two columns."""
    columns = len(prepared.panels) if len(prepared.panels) <= 3 else 2
    rows = math.ceil(len(prepared.panels) / columns)
    figure = Figure(figsize=(4.2 * columns + 0.4, 3.2 * rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    labels = sorted(
        {line.label for panel in prepared.panels for line in panel.lines}, key=label_order
    )
    looks = dict(zip(labels, style.looks(labels), strict=True))
    handles: dict[str, object] = {}
    for i, panel in enumerate(prepared.panels):
        axes = figure.add_subplot(rows, columns, i + 1)
        _draw_panel(axes, panel, prepared, looks, handles)
    if prepared.by is not None:
        figure.legend(
            list(handles.values()),
            list(handles),
            title="\n".join(filter(None, (title, style.words(prepared.by)))),
            loc="outside upper center",
            ncols=min(6, len(handles)),
            frameon=False,
        )
    elif title:
        figure.suptitle(title)
    if prepared.is_averaged:
        figure.supxlabel(
            "mean over runs with the same x; bars from lowest to highest", size=7, color="0.4"
        )
    return figure


def _draw_panel(
    axes: Axes, panel: Panel, prepared: Chart, looks: dict[str, dict], handles: dict[str, object]
) -> None:
    for line in panel.lines:
        x = [math.log10(value) for value in line.x] if prepared.x_is_log else line.x
        below = [centre - low for centre, low in zip(line.centre, line.low, strict=True)]
        above = [high - centre for centre, high in zip(line.centre, line.high, strict=True)]
        handles[line.label] = axes.errorbar(
            x,
            line.centre,
            yerr=(below, above) if line.is_averaged else None,
            capsize=2,
            elinewidth=1,
            **looks[line.label],
        )
    if not panel.lines:
        axes.text(0.5, 0.5, "no values", ha="center", va="center", transform=axes.transAxes)
    axes.set_xlabel(style.words(prepared.x))
    axes.set_ylabel(textwrap.fill(style.words(panel.y), 36))
    style.tidy(axes)
    if panel.is_log:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=2))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    _x_ticks(axes, panel, prepared)


def _x_ticks(axes: Axes, panel: Panel, prepared: Chart) -> None:
    """Ticks at the values themselves where they are few, in plain numbers."""
    if prepared.categories:
        axes.set_xticks(range(len(prepared.categories)), prepared.categories)
        axes.set_xlim(-0.5, len(prepared.categories) - 0.5)
        return
    values = sorted({value for line in panel.lines for value in line.x})
    if not prepared.x_is_log:
        return
    shown: list[float] = []
    for value in values:  # those that would run into the one before are left without a tick
        if not shown or math.log10(value / shown[-1]) > 0.09 * math.log10(values[-1] / values[0]):
            shown.append(value)
    axes.xaxis.set_major_locator(FixedLocator([math.log10(value) for value in shown]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(10**value)))
