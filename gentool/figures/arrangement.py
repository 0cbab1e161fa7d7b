"""Arrange the panels of a sheet: rows of names, and the paper's values in panels of their own.

The traps avoided: an axis around a single value, names that run into each other, and curves on
axes of different scales whose crossings mean nothing.
"""

import math
import textwrap
from dataclasses import dataclass, replace

from gentool.figures import number_formats
from gentool.figures.axes import span
from gentool.figures.page import literal
from gentool.figures.sheet import Axis, Panel, Sheet

FARTHEST = 2.0  # how much longer an axis may get by the paper's values
MOST_BEHIND = 2  # curves of the paper that are told apart behind ours
LETTER = 0.085  # inches of a letter of 10 points, and some room
WIDEST = 40  # letters in one line of a name
FRAME = 1.0  # inches of a panel that its labels take
NAMES_BELOW = 12  # that fit side by side below a panel at most
MOST_WITH_NAMES, NAMED_WIDTH = 5, 2.7  # panels beside one column of names, and inches of each
ROW, LOWEST, HIGHEST = 0.26, 1.8, 60.0  # inches of a row, and of a panel with rows
IN_PAPER = "in the paper"


@dataclass(frozen=True)
class Arrangement:
    """Hold rows of panels; None is an empty place.

    Widths in inches are those of a panel, and of names that stand beside the first one alone.
    """

    rows: list[list[Panel | None]]
    legends: str
    panel_width: float
    names_width: float = 0.0


def arrange(sheet: Sheet) -> Arrangement:
    """Return the panels of a sheet in rows, those of the paper below ours."""
    width = sheet.layout.panel_width
    panels = [_in_rows(_dot_plot(panel, sheet), width) for panel in sheet.panels]
    columns = min(sheet.columns, len(panels))
    behind: list[Panel | None] = []
    if any(panel.reference and not _fits(panel) for panel in panels):
        columns = len(panels)
        behind = [_of_paper(panel) if panel.reference else None for panel in sheet.panels]
        panels = [replace(panel, reference=[]) for panel in panels]
    legends = sheet.legends
    if legends == "figure" and all(map(_names_its_curves, sheet.panels, panels)) and not behind:
        legends = "none"
    names = {panel.x.tick_labels if panel.is_transposed else None for panel in panels}
    names_width = 0.0
    if len(names) == 1 and None not in names:
        columns = min(len(panels), MOST_WITH_NAMES) if columns > 1 and not behind else columns
        panels = [p if i % columns == 0 else _without_names(p) for i, p in enumerate(panels)]
        names_width = _width(next(iter(names)))
        width = NAMED_WIDTH if columns > 1 else width
    elif any(panel.is_transposed for panel in panels):
        names_beside = [_width(p.x.tick_labels) for p in panels if p.is_transposed]
        width = max(width, NAMED_WIDTH + max(names_beside))
    rows: list[list[Panel | None]] = [
        [*panels[first : first + columns]] for first in range(0, len(panels), columns)
    ]
    return Arrangement(rows + [behind] * bool(behind), legends, width, names_width)


def _without_names(panel: Panel) -> Panel:
    """Return a panel in rows without the names, which stand beside another one."""
    blank = ("",) * len(panel.x.tick_labels)
    return replace(panel, x=replace(panel.x, label="", tick_labels=blank))


def _width(names: tuple[str, ...]) -> float:
    """Return the inches that names take, roughly."""
    return LETTER * max(len(line) for name in names for line in name.split("\n"))


def _names_its_curves(given: Panel, drawn: Panel) -> bool:
    """Return whether a panel became one in which each curve has a row with its name."""
    return drawn.is_transposed and given.x.ticks is None


def _dot_plot(panel: Panel, sheet: Sheet) -> Panel:
    """Return the panel with a row for each curve if all its points have one and the same x."""
    values = {x for curve in panel.curves for x in curve.x}
    if len(values) != 1 or panel.x.ticks is not None or not all(c.has_points for c in panel.curves):
        return panel
    [value] = values
    number = number_formats.size(10**value if panel.x.scale == "log10" else value)
    where = f"{panel.x.label} {number}"
    names = list(dict.fromkeys(curve.label or number for curve in panel.curves))
    is_named = any(curve.label for curve in panel.curves)
    rows = Axis(
        (sheet.legend_title or "") if is_named else panel.x.label,
        low=-0.6,
        high=len(names) - 0.4,
        ticks=tuple(range(len(names))),
        tick_labels=tuple(map(_wrapped, names)),
    )
    curves = [
        replace(
            curve,
            x=(float(names.index(curve.label or number)),) * len(curve.x),
            runs=tuple((float(names.index(curve.label or number)), y) for _, y in curve.runs),
        )
        for curve in panel.curves
    ]
    label = f"{panel.y.label}\n{where}" if is_named else panel.y.label
    y = replace(panel.y, label=label)
    has_legend = not is_named
    return replace(panel, x=rows, y=y, curves=curves, is_transposed=True, has_legend=has_legend)


def _in_rows(panel: Panel, width: float) -> Panel:
    """Return a panel whose x are names with these in rows, if they do not fit below its axis."""
    names = panel.x.tick_labels
    if panel.x.ticks is None or not names or panel.is_transposed:
        return panel
    panel = replace(panel, curves=[replace(curve, is_scatter=True) for curve in panel.curves])
    if len(names) <= NAMES_BELOW and len(names) * (_width(names) + LETTER) < width - FRAME:
        return panel
    x = replace(panel.x, tick_labels=tuple(map(_wrapped, names)))
    return replace(panel, x=x, is_transposed=True)


def _wrapped(name: str) -> str:
    return textwrap.fill(literal(name), WIDEST) or "(empty)"


def _fits(panel: Panel) -> bool:
    """Return whether the paper's values can lie behind ours, on the same axes."""
    both = all(reference_fits(panel, name) for name in "xy")
    return both and len(panel.reference) <= MOST_BEHIND and not panel.is_transposed


def reference_fits(panel: Panel, name: str) -> bool:
    """Return whether the paper's values have room on an axis, x or y, of ours."""
    axis: Axis = getattr(panel, name)
    if axis.is_shared or not panel.curves:
        return True
    (low, high), (lowest, highest) = (span(p, name) for p in (replace(panel, reference=[]), panel))
    return highest - lowest <= FARTHEST * (high - low)


def _of_paper(panel: Panel) -> Panel:
    """Return a panel of the paper's values alone, on axes of the same kind."""
    ours = [(curve.label, curve.colour) for curve in panel.curves]
    is_new = any((curve.label, curve.colour) not in ours for curve in panel.reference)
    return replace(
        panel,
        title=f"{panel.title}, {IN_PAPER}" if panel.title else IN_PAPER,
        curves=[replace(curve, is_thin=True) for curve in panel.reference],
        reference=[],
        legend_title=panel.legend_title,
        level_label="",
        vertical_lines=[],
        remarks=[],
        messages=[],
        is_faded=True,
        has_legend=is_new,
    )


def height(panel: Panel, usual: float) -> float:
    """Return the height in inches that a panel needs: a row for each name in it."""
    if not panel.is_transposed:
        return usual
    lines = sum(label.count("\n") + 1 for label in panel.x.tick_labels)
    names = max(1, len(panel.x.tick_labels))
    shared = max((sum(x in c.x for c in panel.curves) for x in panel.x.ticks[:1]), default=1)
    several = max(1, math.ceil(shared / 3)) if names else 1
    return min(max(LOWEST, ROW * lines * several + FRAME), HIGHEST)
