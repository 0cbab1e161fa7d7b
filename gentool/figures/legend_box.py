"""Draw legends, measured with the renderer: above or beside all panels, or below each of them."""

import math
import textwrap
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from gentool.figures.arrangement import IN_PAPER
from gentool.figures.page import literal
from gentool.figures.sheet import Panel

WIDEST = 44  # letters in a line of an entry
MOST_COLUMNS = 6
MOST_ROWS = 4  # above the panels; more entries stand beside them

Entries = dict[str, Artist]
Place = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """Hold a legend's number of columns and rows, and its width and height in inches."""

    columns: int
    rows: int
    width: float
    height: float


def entries(panel: Panel) -> Entries:
    """Return the lines and markers of a panel's legend by their labels."""
    found: Entries = {}
    for curve in panel.curves:
        if curve.label:
            line = "none" if curve.is_scatter else curve.dash
            look = {"color": curve.colour, "marker": curve.marker, "linestyle": line}
            found.setdefault(curve.label, Line2D([], [], markersize=5, **look))
    for line in panel.vertical_lines:
        if line.label:
            found[line.label] = Line2D([], [], color="0.3", linestyle=line.style, linewidth=1.2)
    for curve in panel.reference:
        label = f"{curve.label}, {IN_PAPER}"
        found[label] = Line2D([], [], color=curve.colour, linestyle="--", linewidth=1)
    return found


def measured(parent: Figure | Axes, found: Entries, title: str | None, width: float) -> Box:
    """Return the box of a legend not wider than this, in inches, with columns as full as can be.

    Four entries of which three fit stand in two columns: a legend is filled column by column.
    """
    count = len(found)
    boxes = (
        box_of(parent, found, title, columns)
        for columns in sorted(
            {math.ceil(count / math.ceil(count / n)) for n in range(1, MOST_COLUMNS + 1)},
            reverse=True,
        )
    )
    return next(box for box in boxes if box.width <= width or box.columns == 1)


def box_of(parent: Figure | Axes, found: Entries, title: str | None, columns: int) -> Box:
    """Return the box of a legend with this number of columns."""
    figure = parent if isinstance(parent, Figure) else parent.get_figure()
    legend = Legend(parent, **_options(found, title, columns), loc="upper left")
    extent = legend.get_window_extent(figure.canvas.get_renderer())
    rows = math.ceil(len(found) / columns)
    return Box(columns, rows, extent.width / figure.dpi, extent.height / figure.dpi)


def draw_on_figure(
    figure: Figure, found: Entries, title: str | None, columns: int, loc: str, at: Place
) -> None:
    """Draw a legend whose corner or side `loc` is at a place, as fractions of the figure."""
    figure.legend(**_options(found, title, columns), loc=loc, bbox_to_anchor=at)


def draw_below(axes: Axes, found: Entries, title: str | None, columns: int, down: float) -> None:
    """Draw a legend some inches below a panel's frame."""
    place = axes.transAxes + ScaledTranslation(0, -down, axes.get_figure().dpi_scale_trans)
    axes.legend(
        **_options(found, title, columns),
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=place,
    )


def _options(found: Entries, title: str | None, columns: int) -> dict[str, object]:
    return {
        "handles": list(found.values()),
        "labels": [textwrap.fill(literal(label), WIDEST) for label in found],
        "title": title and textwrap.fill(title, 2 * WIDEST),
        "ncols": columns,
        "frameon": False,
        "borderaxespad": 0,
        "columnspacing": 1.2,
    }
