"""Draw any sheet: panels in rows, each with its curves, axes, messages and legend."""

import math
import textwrap

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gentool.figures import style
from gentool.figures.axes import draw_axes
from gentool.figures.curves import draw_curves, draw_reference
from gentool.figures.legend_box import draw_figure_legend, draw_panel_legend, handles
from gentool.figures.sheet import Panel, Sheet

WIDEST = 40  # characters in a line of a message


def draw_sheet(sheet: Sheet, title: str | None = None) -> Figure:
    """Draw a sheet, with its caption in one small line under it."""
    layout = sheet.layout
    columns = min(sheet.columns, len(sheet.panels))
    rows = math.ceil(len(sheet.panels) / columns)
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    entries: dict[str, Artist] = {}
    for i, panel in enumerate(sheet.panels):
        entries |= _draw_panel(figure.add_subplot(rows, columns, i + 1), panel, sheet)
    width = layout.panel_width * columns + layout.extra_width
    height = layout.extra_height + layout.title_height * bool(title)
    height += layout.panel_height * rows
    if sheet.legends == "figure" and entries:
        legend_rows = draw_figure_legend(figure, entries, sheet, title, width)
        height += layout.legend_row * (legend_rows - 1)
    elif title:
        figure.suptitle(title, size=layout.title_size)
    figure.set_size_inches(width, height)
    if sheet.caption:
        caption = textwrap.fill(sheet.caption, int(14 * width))
        figure.supxlabel(caption, size=layout.caption_size, color="0.4")
    return figure


def _draw_panel(axes: Axes, panel: Panel, sheet: Sheet) -> dict[str, Artist]:
    """Draw one panel, and return the entries of a legend by their labels."""
    if panel.title:
        axes.set_title(panel.title, size=11)
    style.tidy(axes)
    if panel.reference:
        draw_reference(axes, panel)
    entries = handles(panel, draw_curves(axes, panel, sheet.layout), sheet.layout)
    draw_axes(axes, panel)
    message = "\n".join(map(_wrapped, panel.messages))
    if not panel.curves:
        centre = {"ha": "center", "va": "center", "transform": axes.transAxes}
        axes.text(0.5, 0.5, message, size=sheet.layout.message_size, **centre)
        return entries
    if message:
        axes.set_xlabel(f"{panel.x.label}\n{message}")
    _draw_additions(axes, panel)
    if sheet.legends == "panels":
        draw_panel_legend(axes, entries, panel.legend_title)
    return entries


def _draw_additions(axes: Axes, panel: Panel) -> None:
    """Draw the level, the vertical lines and the remarks of a panel."""
    if panel.level is not None:
        axes.axhline(panel.level, color="0.3", linewidth=0.8)
    for line in panel.vertical_lines:
        axes.axvline(line.x, color=line.colour, linewidth=1.2, linestyle=line.style, zorder=2)
    for remark in panel.remarks:
        place = {"xytext": (6, 7), "textcoords": "offset points", "ha": "right"}
        axes.annotate(remark.text, (remark.x, remark.y), size=9, **place)


def _wrapped(message: str) -> str:
    """Return a message in lines of about equal length, its remedy after the first colon apart."""
    lines = []
    for part in message.split(": ", 1):
        width = min(WIDEST, len(part) // math.ceil(len(part) / WIDEST) + 6)
        lines.append(textwrap.fill(part, width, break_on_hyphens=False))
    return ":\n".join(lines)
