"""Draw legends: one for a whole figure, or one below each panel."""

import math

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from gentool.figures.axes import FADED
from gentool.figures.sheet import Layout, Panel, Sheet

WIDE = 18  # characters of a label, of which two stand side by side


def handles(panel: Panel, drawn: dict[str, ErrorbarContainer], layout: Layout) -> dict[str, Artist]:
    """Return the entries of a legend by their labels, with one for all of the paper's values."""
    entries: dict[str, Artist] = {
        curve.label: drawn[curve.label]
        if layout.cap_size
        else Line2D([], [], color=curve.colour, marker=curve.marker, markersize=5)
        for curve in panel.curves
        if curve.label
    }
    for line in panel.vertical_lines:
        if line.label:
            entries[line.label] = Line2D([], [], color="0.3", linestyle=line.style, linewidth=1.2)
    if panel.reference:
        dashed = Line2D([], [], color=FADED, linewidth=1, linestyle="--")
        entries[panel.reference_label] = dashed
    return entries


def draw_figure_legend(
    figure: Figure, entries: dict[str, Artist], sheet: Sheet, title: str | None, width: float
) -> int:
    """Draw a legend above all panels, with the figure's title, and return its number of rows."""
    columns = sheet.layout.legend_columns or _columns(list(entries), width)
    if sheet.legend_title:
        title = "\n".join(filter(None, (title, sheet.legend_title)))
    figure.legend(
        list(entries.values()),
        list(entries),
        title=title,
        title_fontsize=sheet.layout.legend_title_size,
        loc="outside upper center",
        ncols=columns,
        frameon=False,
    )
    return math.ceil(len(entries) / columns)


def draw_panel_legend(axes: Axes, entries: dict[str, Artist], title: str | None) -> None:
    """Draw a legend below the label of the x axis, however many lines that has."""
    lines = axes.get_xlabel().count("\n")
    down = ScaledTranslation(0, -(0.5 + 0.17 * lines), axes.get_figure().dpi_scale_trans)
    axes.legend(
        list(entries.values()),
        list(entries),
        title=title,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=axes.transAxes + down,
        borderaxespad=0,
        ncols=2 if max(map(len, entries)) > WIDE else 3,
        frameon=False,
        fontsize=9,
        title_fontsize=9,
        columnspacing=1.2,
    )


def _columns(labels: list[str], width: float) -> int:
    """Return how many labels stand side by side in a width in inches, in as full columns as can be.

    Four labels of which three fit stand in two columns, since a legend is filled column by column.
    """
    fitting = max(1, min(4, int(width / (0.5 + 0.077 * max(map(len, labels))))))
    return math.ceil(len(labels) / math.ceil(len(labels) / fitting))
