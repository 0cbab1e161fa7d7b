"""Draw a sheet of one panel into the user's own Matplotlib axes.

Size, fonts and lines are those of the user; so are the ticks, which follow when limits are changed.
"""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gentool.common.errors import UsageError
from gentool.figures import arrangement, legend_box
from gentool.figures.drawing import draw_panel
from gentool.figures.sheet import Sheet

if TYPE_CHECKING:
    from gentool.figures.gallery import Gallery


def draw_into(axes: Axes, prepared: "Sheet | Gallery", title: str | None = None) -> Figure:
    """Draw one panel, its legend inside, into axes; return the figure that the axes are of.

    Raise UsageError for a figure of several panels, and if `axes` are none of Matplotlib.
    """
    if not isinstance(axes, Axes):
        raise UsageError(f"ax is a {type(axes).__name__}; give one of Matplotlib's axes")
    panels = []
    if isinstance(prepared, Sheet):
        rows = arrangement.arrange(prepared).rows
        panels = [panel for row in rows for panel in row if panel is not None]
    if len(panels) != 1:
        raise UsageError(
            f"the figure has {len(panels) or 'many'} panels; leave out ax, or name one y"
        )
    [panel] = panels
    draw_panel(axes, panel, prepared)
    if title is not None:
        axes.set_title(title, parse_math=False)
    found = legend_box.entries(panel)
    if prepared.legends != "none" and panel.has_legend and found:
        heading = panel.legend_title or prepared.legend_title
        legend = axes.legend(
            handles=list(found.values()), labels=list(found), title=heading, frameon=False
        )
        for text in legend.get_texts():
            text.set_parse_math(False)  # names are not formulas
    return axes.get_figure()
