"""Draw curves: ours in front with bars or a band, the paper's thin and dashed behind."""

import math

from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

from gentool.figures.axes import draw_faded_axis, reference_fits
from gentool.figures.sheet import Curve, Layout, Panel

LARGEST, SMALLEST = 8, 4  # marker, where later curves have smaller ones
RUN = 0.6  # of a marker's size, the points of single runs
SINGLE = 6  # marker of single points of a curve


def draw_curves(axes: Axes, panel: Panel, layout: Layout) -> dict[str, ErrorbarContainer]:
    """Draw all curves of a panel, and return what was drawn last under each label."""
    return {
        curve.label: _draw_curve(axes, curve, _marker_size(curve, i, layout), layout)
        for i, curve in enumerate(panel.curves)
    }


def draw_reference(axes: Axes, panel: Panel) -> None:
    """Draw the paper's curves, on faded axes of their own where ours would be squashed."""
    behind = axes
    if not reference_fits(panel, "y"):
        behind = behind.twinx()
        draw_faded_axis(behind, panel, "y")
    if not reference_fits(panel, "x"):
        behind = behind.twiny()
        draw_faded_axis(behind, panel, "x")
    for curve in panel.reference:
        behind.plot(curve.x, curve.y, color=curve.colour, linewidth=1, linestyle="--", alpha=0.8)
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)


def _marker_size(curve: Curve, number: int, layout: Layout) -> float:
    """Return the marker's size; later curves have smaller ones, so that equal points are seen."""
    if curve.marked is not None:
        return SINGLE
    return layout.marker_size or max(SMALLEST, LARGEST - number)


def _draw_curve(axes: Axes, curve: Curve, size: float, layout: Layout) -> ErrorbarContainer:
    """Draw one curve, with its bars or its band."""
    drawn = axes.errorbar(
        curve.x,
        curve.y,
        yerr=_bars(curve) if curve.has_bars else None,
        capsize=layout.cap_size,
        elinewidth=1,
        color=curve.colour,
        linewidth=0.8 if curve.is_thin else 1.6,
        linestyle="none" if curve.is_scatter else "-",
        marker=curve.marker,
        markersize=size,
        markevery=None if curve.marked is None else list(curve.marked),
        markerfacecolor="white" if curve.is_open else curve.colour,
    )
    if curve.runs:
        x, y = zip(*curve.runs, strict=True)
        look = {"color": curve.colour, "marker": curve.marker, "linestyle": "none"}
        axes.plot(x, y, markersize=RUN * size, markeredgewidth=0, alpha=0.6, **look)
    if layout.is_above_frame:
        drawn.lines[0].set_zorder(3)  # the line alone: bars stay below the lines of all curves
    if curve.is_band:
        axes.fill_between(curve.x, curve.low, curve.high, color=curve.colour, alpha=0.2, lw=0)
    return drawn


def _bars(curve: Curve) -> tuple[list[float], list[float]]:
    """Return how far the bars reach below and above; rounding may put a mean beyond its values.

    A bar of no length is NaN, which is not drawn.
    """
    below = [max(0.0, y - low) or math.nan for y, low in zip(curve.y, curve.low, strict=True)]
    above = [max(0.0, high - y) or math.nan for y, high in zip(curve.y, curve.high, strict=True)]
    return below, above
