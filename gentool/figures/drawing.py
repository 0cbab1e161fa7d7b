"""Draw any sheet: panels in rows, each with its curves, axes, messages and legend."""

import math
import textwrap

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from gentool.figures import arrangement, legend_box, style
from gentool.figures.axes import Scales, draw_axes, scales
from gentool.figures.curves import draw_curves, draw_reference
from gentool.figures.fitting import fit, wrap
from gentool.figures.legend_box import MOST_ROWS, Box, Entries
from gentool.figures.page import SCREEN, Page, literal, no_room, settings
from gentool.figures.sheet import Panel, Sheet
from gentool.figures.shown import ShownFigure

WIDEST = 40  # characters in a line of a message
EDGE = 0.08  # inches around the figure and between its parts
LEGEND = 0.5  # inches of a panel's legend, roughly
PAPER_HEIGHT = 0.8  # of the paper's panels, over that of ours
SMALLEST = 0.3  # inches of a panel's sides
SHRUNK = (1.0, 0.85, 0.7, 0.6)  # letters of a legend where the page has a size
HALF = 0.45  # of a page that a legend may take


def draw_sheet(sheet: Sheet, title: str | None = None, page: Page = SCREEN) -> Figure:
    """Draw a sheet, with its caption in one small line under it.

    Raise GentoolError if the page has a size in which there is no room.
    """
    with settings(page.style):
        figure = ShownFigure(layout="constrained")
        FigureCanvasAgg(figure)
        try:
            _draw(figure, sheet, title, page)
        except UserWarning:  # of a layout without room
            raise no_room(page) from None
    return figure


def _draw(figure: Figure, sheet: Sheet, title: str | None, page: Page) -> None:
    arranged = arrangement.arrange(sheet)
    columns = max(map(len, arranged.rows))
    heights = [_row_height(row, sheet.layout.panel_height) for row in arranged.rows]
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    drawn = [
        (draw_panel(figure.add_subplot(grid[i, j]), panel, sheet), panel)
        for i, row in enumerate(arranged.rows)
        for j, panel in enumerate(row)
        if panel is not None
    ]
    found: Entries = {}
    if arranged.legends == "figure":
        for _, panel in drawn:
            found = legend_box.entries(panel) | found
    if arranged.legends == "panels":
        heights = [high + LEGEND for high in heights]
    scale = page.style.panel
    width = arranged.panel_width * columns + arranged.names_width
    natural = (scale * width, scale * sum(heights))
    _surround(figure, sheet, title, found, natural, page)
    for text in figure.findobj(Text):  # control characters would make an SVG no XML
        lines = text.get_text().split("\n")
        text.set_text("\n".join(map(literal, lines)))
    legends = [
        (axes, panel)
        for axes, panel in drawn
        if arranged.legends == "panels" and panel.has_legend and legend_box.entries(panel)
    ]
    fit(figure, drawn, legends)
    for axes, _ in drawn:
        box = axes.get_window_extent()
        if min(box.width, box.height) < SMALLEST * figure.dpi:
            raise no_room(page)


def _row_height(row: list[Panel | None], usual: float) -> float:
    """Return the inches of the highest panel of a row."""
    return max(
        arrangement.height(panel, usual * (PAPER_HEIGHT if panel.is_faded else 1))
        for panel in row
        if panel is not None
    )


def _surround(
    figure: Figure,
    sheet: Sheet,
    title: str | None,
    found: Entries,
    natural: tuple[float, float],
    page: Page,
) -> None:
    """Draw title, legend and caption around the panels, and leave the panels the rest."""
    width, height = page.size or natural
    figure.set_size_inches(width, height)
    letters = rcParams["font.size"]
    head = _text(figure, literal(title or ""), 1.25 * letters, width)
    foot = _text(figure, literal(sheet.caption), 0.8 * letters, width, color="0.4")
    top, bottom = (_inches(figure, text) + EDGE for text in (head, foot))
    is_beside, box = _legend_place(figure, sheet.legend_title, found, (width, height), page)
    left = width
    if box and is_beside:
        left = width - box.width - 2 * EDGE if page.size else width
        width = max(width, left + box.width + 2 * EDGE)
        height = height if page.size else max(height, box.height + EDGE)
    high = box.height + EDGE if box and not is_beside else 0.0
    if page.size is None:
        height += top + bottom + high
    figure.set_size_inches(width, height)
    head.set_position((0.5, 1 - EDGE / height))
    foot.set_position((0.5, EDGE / 2 / height))
    if box:
        middle = (bottom + height - top) / 2 / height
        loc, at = "upper center", (0.5, 1 - top / height)
        if is_beside:
            loc, at = "center right", (1 - EDGE / width, middle)
        legend_box.draw_on_figure(figure, found, sheet.legend_title, box.columns, loc, at)
    rest = (0, bottom / height, left / width, (height - top - high - bottom) / height)
    if rest[2] <= 0 or rest[3] <= 0:
        raise no_room(page)
    figure.get_layout_engine().set(rect=rest)


def _text(figure: Figure, text: str, size: float, width: float, **look: str) -> Text:
    """Draw a text of the figure in lines that are not longer than its width, in inches."""
    va = "bottom" if look else "top"
    drawn = figure.text(0.5, 0.5, text, size=size, ha="center", va=va, **look)
    while wrap(drawn, lambda box: box.width / ((width - 2 * EDGE) * figure.dpi)):
        pass
    return drawn


def _inches(figure: Figure, text: Text) -> float:
    return text.get_window_extent().height / figure.dpi if text.get_text() else 0.0


def _legend_place(
    figure: Figure, title: str | None, found: Entries, size: tuple[float, float], page: Page
) -> tuple[bool, Box | None]:
    """Return whether the figure's legend stands beside the panels, else above, and its box.

    Many entries stand beside them. Where the page has a size, the letters become smaller.
    """
    if not found:
        return False, None
    width, height = size
    for factor in SHRUNK:
        rcParams["legend.fontsize"] = 0.9 * factor * page.style.text
        rcParams["legend.title_fontsize"] = 0.95 * factor * page.style.text
        above = legend_box.measured(figure, found, title, width - 2 * EDGE)
        is_low = above.height <= HALF * height
        if above.rows <= MOST_ROWS and above.width <= width - 2 * EDGE and is_low:
            return False, above
        for columns in range(1, len(found) + 1):
            beside = legend_box.box_of(figure, found, title, columns)
            if beside.height <= height - 2 * EDGE or columns == len(found):
                break
        is_narrow = beside.width <= HALF * width and beside.height <= height - 2 * EDGE
        if page.size is None or is_narrow:
            return True, beside
        if above.width <= width - 2 * EDGE and is_low:
            return False, above
    raise no_room(page)


def draw_panel(axes: Axes, panel: Panel, sheet: Sheet) -> Axes:
    """Draw one panel without its legend."""
    axes.set_title(panel.title)
    style.tidy(axes)
    message = "\n".join(map(_wrapped, panel.messages))
    if not panel.curves and not panel.reference:
        axes.set(xticks=[], yticks=[], xlabel=panel.x.label, ylabel=panel.y.label)
        centre = {"ha": "center", "va": "center", "transform": axes.transAxes}
        axes.text(0.5, 0.5, message, size=0.9 * rcParams["font.size"], **centre)
        return axes
    by = scales(panel)
    draw_axes(axes, panel, by)
    draw_reference(axes, panel, by)
    draw_curves(axes, panel, by, sheet.layout)
    if message:
        axes.set_xlabel(f"{axes.get_xlabel()}\n{message}")
    _draw_additions(axes, panel, by)
    return axes


def _draw_additions(axes: Axes, panel: Panel, by: Scales) -> None:
    """Draw the level, the vertical lines and the remarks of a panel."""
    small = 0.9 * rcParams["font.size"]
    line = 0.5 * rcParams["lines.linewidth"]
    if panel.level is not None:
        level = by.y(panel.level)
        across = axes.axvline if panel.is_transposed else axes.axhline
        across(level, color="0.3", linewidth=line)
        place = {"xytext": (-3, -2), "textcoords": "offset points", "ha": "right", "va": "top"}
        if panel.level_label:
            where = {"xycoords": ("axes fraction", "data"), "size": small}
            axes.annotate(panel.level_label, (1, level), **where, **place)
    for vertical in panel.vertical_lines:
        look = {"color": vertical.colour, "linestyle": vertical.style}
        axes.axvline(by.x(vertical.x), linewidth=1.5 * line, zorder=2, **look)
    for remark in panel.remarks:
        place = {"xytext": (6, 7), "textcoords": "offset points", "ha": "right"}
        axes.annotate(remark.text, (by.x(remark.x), by.y(remark.y)), size=small, **place)


def _wrapped(message: str) -> str:
    """Return a message in lines of about equal length, its remedy after the first colon apart."""
    lines = []
    for part in message.split(": ", 1):
        width = min(WIDEST, len(part) // math.ceil(len(part) / WIDEST) + 6)
        lines.append(textwrap.fill(part, width, break_on_hyphens=False))
    return ":\n".join(lines)
