"""Any sheet, drawn: panels in rows, ours in front, the paper's values thin and dashed behind."""

import math
import textwrap

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from gentool.figures import style
from gentool.figures.number_formats import rounded_power_of_ten, tick
from gentool.figures.sheet import Axis, Curve, Panel, Sheet

HEIGHT = 3.5  # inches of a panel
MARGIN = 0.06  # of an axis' range, around what is drawn
FARTHEST = 2.0  # how much longer an axis may get by the paper's values before they get their own
FADED = "0.55"  # the paper's own axes
LARGEST = 8  # marker; those of later curves are smaller, so that equal points are all seen
SINGLE = 6  # marker of single points of a curve
WIDE = 18  # characters of a label, of which two stand side by side
ENTRY = 0.22  # inches that one more row of a legend takes
FEW_DECADES = 1.6  # of which parts have ticks too


def draw_sheet(sheet: Sheet, title: str | None = None) -> Figure:
    """The figure of a sheet, with its caption in one small line under it."""
    columns = min(sheet.columns, len(sheet.panels))
    rows = math.ceil(len(sheet.panels) / columns)
    handles = {h.get_label(): h for panel in sheet.panels for h in _handles(panel)}
    has_one_legend = sheet.has_one_legend and bool(handles)
    width, height = sheet.wide * columns, HEIGHT * rows + (0.7 if title else 0.4)
    if has_one_legend:
        ncols = _columns(list(handles), width)
        height += ENTRY * (math.ceil(len(handles) / ncols) - 1)
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    for i, panel in enumerate(sheet.panels):
        axes = figure.add_subplot(rows, columns, i + 1)
        _draw_panel(axes, panel, has_legend=not sheet.has_one_legend)
    if has_one_legend:
        figure.legend(
            handles=list(handles.values()),
            title=title,  # where a title of the figure's own would be
            title_fontsize=13,
            loc="outside upper center",
            ncols=ncols,
            frameon=False,
        )
    elif title:
        figure.suptitle(title, size=13)
    figure.supxlabel(textwrap.fill(_caption(sheet), int(14 * width)), size=8, color="0.4")
    return figure


def _columns(labels: list[str], width: float) -> int:
    """How many labels stand side by side in so many inches."""
    return max(1, min(4, int(width / (0.5 + 0.085 * max(map(len, labels))))))


def _caption(sheet: Sheet) -> str:
    """The line under the figure, which explains bars where there are any."""
    curves = [curve for panel in sheet.panels for curve in panel.curves]
    has_bars = any(curve.low is not None and not curve.is_band for curve in curves)
    return sheet.caption + "; mean over runs, bars from lowest to highest" * has_bars


def _draw_panel(axes: Axes, panel: Panel, *, has_legend: bool) -> None:
    if panel.title:
        axes.set_title(panel.title, size=11)
    style.tidy(axes)
    if panel.reference:
        _draw_reference(axes, panel)
    for i, curve in enumerate(panel.curves):
        _draw_curve(axes, curve, markersize=max(4, LARGEST - i))
    said = "\n".join(map(_wrapped, panel.messages))
    _dress(axes.xaxis, panel.x, _span(panel.x, [c.x for c in _in_front(panel, "x")]))
    _dress(axes.yaxis, panel.y, _span(panel.y, [c.y for c in _in_front(panel, "y")]))
    if not panel.curves:
        axes.text(0.5, 0.5, said, ha="center", va="center", transform=axes.transAxes, size=9)
        axes.set(xticks=[], yticks=[])
        return
    if said:
        axes.set_xlabel(f"{panel.x.label}\n{said}")
    if panel.level is not None:
        axes.axhline(panel.level, color="0.3", linewidth=0.8)
    for line in panel.vertical_lines:
        axes.axvline(line.x, color=line.colour, linewidth=1.2, linestyle=line.style, zorder=2)
    for remark in panel.remarks:
        place = {"xytext": (6, 7), "textcoords": "offset points", "ha": "right"}
        axes.annotate(remark.text, (remark.x, remark.y), size=9, **place)
    if has_legend:
        _draw_legend(axes, panel, lines=axes.get_xlabel().count("\n"))


def _wrapped(message: str) -> str:
    """What is missing on one line, the remedy below it."""
    parts = message.split(": ", 1)
    return ":\n".join(textwrap.fill(part, 44, break_on_hyphens=False) for part in parts)


def _draw_legend(axes: Axes, panel: Panel, lines: int) -> None:
    """The legend below the label of the x axis, which has so many more lines."""
    handles = _handles(panel)
    down = ScaledTranslation(0, -(0.5 + 0.17 * lines), axes.get_figure().dpi_scale_trans)
    axes.legend(
        handles=handles,
        title=panel.legend,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=axes.transAxes + down,
        borderaxespad=0,
        ncols=2 if max(len(handle.get_label()) for handle in handles) > WIDE else 3,
        frameon=False,
        fontsize=9,
        title_fontsize=9,
        columnspacing=1.2,
    )


def _draw_curve(axes: Axes, curve: Curve, markersize: float) -> None:
    look: dict = {"color": curve.colour, "linewidth": 0.8 if curve.is_thin else 1.6, "zorder": 3}
    if curve.marked is not None:
        look |= {"markevery": list(curve.marked)}
        markersize = SINGLE
    axes.plot(curve.x, curve.y, marker=curve.marker, markersize=markersize, **look)
    if curve.low is None or curve.high is None:
        return
    if curve.is_band:
        axes.fill_between(curve.x, curve.low, curve.high, color=curve.colour, alpha=0.2, lw=0)
    else:
        axes.vlines(curve.x, curve.low, curve.high, color=curve.colour, linewidth=1)


def _draw_reference(axes: Axes, panel: Panel) -> None:
    """The paper's curves, on a faded axis of their own where ours would be squashed by theirs."""
    behind = axes
    if not _fits(panel, "y"):
        behind = behind.twinx()
        _dress_faded(behind, behind.yaxis, panel.y, panel.reference, "y")
    if not _fits(panel, "x"):
        behind = behind.twiny()
        _dress_faded(behind, behind.xaxis, panel.x, panel.reference, "x")
    for curve in panel.reference:
        behind.plot(curve.x, curve.y, color=curve.colour, linewidth=1, linestyle="--", alpha=0.8)
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)


def _in_front(panel: Panel, name: str) -> list[Curve]:
    """The curves that an axis of ours spans."""
    return panel.curves + (panel.reference if _fits(panel, name) else [])


def _fits(panel: Panel, name: str) -> bool:
    """Whether the paper's values have room on an axis of ours."""
    axis: Axis = getattr(panel, name)
    if axis.is_shared or not panel.curves:
        return True
    ours = _span(axis, [getattr(c, name) for c in panel.curves])
    both = _span(axis, [getattr(c, name) for c in panel.curves + panel.reference])
    return both[1] - both[0] <= FARTHEST * (ours[1] - ours[0])


def _span(axis: Axis, found: list[tuple[float, ...]]) -> tuple[float, float]:
    """From where to where an axis reaches."""
    numbers = [number for one in found for number in one]
    if not numbers:
        return axis.low or 0.0, axis.high or 1.0
    low, high = min(numbers), max(numbers)
    if axis.scale == "log":
        return low / 1.25, high * 1.25
    pad = MARGIN * ((high - low) or abs(high) or 1.0)
    low = low - pad if axis.low is None else axis.low
    high = high + pad if axis.high is None else axis.high
    return low, high


def _dress(ticked: object, axis: Axis, span: tuple[float, float]) -> None:
    """Label, range and ticks of one axis."""
    ticked.set_label_text(axis.label, size=10)
    ticked.axes.set(**{f"{ticked.axis_name}lim": span})
    if axis.scale == "log":
        ticked._set_axes_scale("log", base=2)
        octaves = range(math.ceil(math.log2(span[0])), math.floor(math.log2(span[1])) + 1)
        step = max(1, math.ceil(len(octaves) / 6))
        ticked.set_major_locator(FixedLocator([2.0**octave for octave in octaves][::step]))
        ticked.set_minor_locator(NullLocator())
        ticked.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    elif axis.scale == "log10":
        if span[1] - span[0] < FEW_DECADES:
            ticked.set_major_locator(FixedLocator(_parts_of_decades(span)))
        else:
            ticked.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=2))
        ticked.set_major_formatter(FuncFormatter(lambda value, _: rounded_power_of_ten(value)))
    else:
        ticked.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        digits = 2 + math.ceil(math.log10(max(map(abs, span)) / (span[1] - span[0])))
        ticked.set_major_formatter(FuncFormatter(lambda value, _: tick(value, digits)))


def _parts_of_decades(span: tuple[float, float]) -> list[float]:
    """The exponents of 1, 2 and 5 times powers of ten, in a span of few decades."""
    decades = range(math.floor(span[0]), math.ceil(span[1]) + 1)
    return [decade + math.log10(part) for decade in decades for part in (1, 2, 5)]


def _dress_faded(axes: Axes, ticked: object, axis: Axis, curves: list[Curve], name: str) -> None:
    """An axis of the paper's values."""
    _dress(ticked, axis, _span(axis, [getattr(curve, name) for curve in curves]))
    ticked.set_label_text("in the paper", size=9, color=FADED)
    axes.tick_params(axis=name, colors=FADED, labelsize=9)
    axes.spines[:].set_visible(False)


def _handles(panel: Panel) -> list[Line2D]:
    """Entries of a legend: each label once, and one for the paper's values."""
    by_label = {curve.label: curve for curve in panel.curves}
    found = [
        Line2D([], [], color=curve.colour, marker=curve.marker, markersize=5, label=label)
        for label, curve in by_label.items()
        if label
    ]
    vertical_lines = {line.label: line for line in panel.vertical_lines if line.label}
    for label, line in vertical_lines.items():
        found.append(Line2D([], [], color="0.3", linestyle=line.style, linewidth=1.2, label=label))
    if panel.reference:
        look = {"color": FADED, "linewidth": 1, "linestyle": "--"}
        found.append(Line2D([], [], label=panel.reference_label, **look))
    return found
