"""Fit the texts of a figure into it, measured with the renderer: what is too long is wrapped.

Ticks keep their marks; labels that would run into another are left out, powers of ten last.
"""

import math
import textwrap
from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.axis import Axis as MatplotlibAxis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from matplotlib.transforms import Bbox

from gentool.figures import legend_box
from gentool.figures.sheet import Panel

PASSES = 6  # of layout and corrections; two or three are enough for most figures
APART = 3.5  # points between two labels of ticks at least
GAP = 0.07  # inches between a panel's labels and its legend
TOO_LONG = 1.04  # times the side of a panel along which a label stands
REGULAR = 0.6  # of the labels that have room, to leave out every second one instead
LONGEST_WORD = 20  # letters of a word that is never broken, as names of files are
FEWEST_LETTERS = 8  # in a line of a text that is wrapped


def fit(figure: Figure, drawn: list[tuple[Axes, Panel]], legends: list[tuple[Axes, Panel]]) -> None:
    """Lay out a figure, and correct ticks, labels and legends until they have room."""
    figure.draw_without_rendering()
    for axes, panel in drawn:
        for axis in (axes.xaxis, axes.yaxis):
            is_named = (axis is axes.yaxis) == panel.is_transposed and bool(panel.x.tick_labels)
            _freeze(axis, is_literal=is_named)
    for _ in range(PASSES):
        figure.draw_without_rendering()
        changed = [_fit_panel(axes) for axes, _ in drawn]
        changed += [_fit_legend(axes, panel) for axes, panel in legends]
        if not any(changed):
            return


def _freeze(axis: MatplotlibAxis, *, is_literal: bool) -> None:
    """Fix ticks and labels, so that they do not depend on settings of a later drawing."""
    low, high = sorted(axis.get_view_interval())
    room = 1e-9 * (low if axis.get_scale() == "log" else high - low)
    places = [place for place in axis.get_majorticklocs() if low - room <= place <= high + room]
    labels = axis.get_major_formatter().format_ticks(places)
    if isinstance(axis.get_major_formatter(), FixedFormatter):
        labels = _labels_at(axis, places)
    _set_ticks(axis, places, labels)
    low, high = sorted(axis.get_view_interval())
    minor = [place for place in axis.get_minorticklocs() if low <= place <= high]
    axis.set_minor_locator(FixedLocator(minor) if minor else NullLocator())
    for label in axis.get_ticklabels():
        label.set_parse_math(not is_literal and label.get_text().startswith("$"))


def _labels_at(axis: MatplotlibAxis, places: list[float]) -> list[str]:
    """Return the fixed labels of the ticks that are inside the axis."""
    known = dict(zip(axis.get_major_locator().locs, axis.get_major_formatter().seq, strict=False))
    return [known.get(place, "") for place in places]


def _set_ticks(axis: MatplotlibAxis, places: list[float], labels: list[str]) -> None:
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FixedFormatter(labels))


def _fit_panel(axes: Axes) -> bool:
    """Correct the labels of one panel; return whether anything changed."""
    frame = axes.get_window_extent()
    texts = (
        (axes.xaxis.label, lambda box: box.width / frame.width),
        (axes.title, lambda box: box.width / frame.width),
        (axes.yaxis.label, lambda box: box.height / frame.height),
    )
    changed = [wrap(text, ratio) for text, ratio in texts]
    return any([*changed, _thin(axes.xaxis), _thin(axes.yaxis)])


def wrap(text: Text, ratio: Callable) -> bool:
    """Break a text into more lines if it is longer than its room; return whether it was.

    `ratio` returns the length of the text's box over that of its room.
    """
    if not text.get_text().strip():
        return False
    excess = ratio(text.get_window_extent())
    longest = max(map(len, text.get_text().split("\n")))
    letters = max(FEWEST_LETTERS, math.ceil(longest / math.ceil(excess)) + 2)
    if excess <= TOO_LONG or letters >= longest:
        letters = max(FEWEST_LETTERS, int(longest / excess))
    if excess <= TOO_LONG or letters >= longest:
        return False
    lines = [line for part in text.get_text().split("\n") for line in _lines(part, letters)]
    text.set_text("\n".join(lines))
    return True


def _lines(part: str, letters: int) -> list[str]:
    longest = max(map(len, part.split()), default=0)
    return textwrap.wrap(part, letters, break_long_words=longest > LONGEST_WORD) or [""]


def _thin(axis: MatplotlibAxis) -> bool:
    """Leave out the labels of ticks that run into others; return whether any was left out."""
    labels = [label for label in axis.get_ticklabels() if label.get_text()]
    apart = APART * axis.get_figure().dpi / 72 if axis.axis_name == "x" else 0.0
    boxes = {label: label.get_window_extent().padded(apart / 2) for label in labels}
    powers_first = sorted(labels, key=lambda label: not _is_power(label.get_text()))
    most = _without_overlap(powers_first, boxes)
    if len(most) == len(labels):
        return False
    for step in range(2, len(labels)):  # regular gaps are easier to read, if not too wide
        regular = labels[::step]
        if len(regular) < REGULAR * len(most) or powers_first != labels:
            break
        if len(_without_overlap(regular, boxes)) == len(regular):
            most = regular
            break
    texts = [label.get_text() if label in most else "" for label in axis.get_ticklabels()]
    _set_ticks(axis, list(axis.get_major_locator().locs), texts)
    return True


def _without_overlap(labels: list[Text], boxes: dict[Text, Bbox]) -> list[Text]:
    """Return the labels that lie on none of those before them."""
    kept: list[Text] = []
    for label in labels:
        if not any(boxes[label].overlaps(boxes[other]) for other in kept):
            kept.append(label)
    return kept


def _is_power(text: str) -> bool:
    return "10^" in text and "times" not in text


def _fit_legend(axes: Axes, panel: Panel) -> bool:
    """Put a panel's legend below its labels, as wide as the panel; return whether it moved."""
    frame = axes.get_window_extent()
    dpi = axes.get_figure().dpi
    below = [axes.xaxis.label, *axes.get_xticklabels()]
    boxes = [t.get_window_extent() for t in below if t.get_text().strip()]
    lowest = min([frame.y0, *(box.y0 for box in boxes)])
    down = (frame.y0 - lowest) / dpi + GAP
    found = legend_box.entries(panel)
    ticks = [label.get_window_extent().x0 for label in axes.get_yticklabels() if label.get_text()]
    room = (frame.x1 - min([frame.x0, *ticks])) / dpi
    box = legend_box.measured(axes, found, panel.legend_title, room)
    before = getattr(axes, "_gentool_legend", None)
    after = (box.columns, round(down, 2))
    if before == after:
        return False
    legend_box.draw_below(axes, found, panel.legend_title, box.columns, down)
    axes._gentool_legend = after
    return True
