"""Draw curves: ours in front with bars or a band, the paper's thin and dashed behind."""

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from gentool.figures.axes import Scales
from gentool.figures.sheet import Curve, Layout, Panel

LARGEST, SMALLEST = 8, 4.5  # marker in points, where later curves have smaller ones
RUN = 0.6  # of a marker's size, the points of single runs
SINGLE = 6  # marker of single points of a curve
THICK = 5.0  # points of a thick bar
STEP, WIDEST = 3.0, 9.0  # points from one curve to the next beside it, and between all of them


def draw_curves(axes: Axes, panel: Panel, by: Scales, layout: Layout) -> None:
    """Draw all curves of a panel; bars at the same x stand side by side, a few points apart."""
    beside = list(dict.fromkeys(curve.label for curve in panel.curves if curve.has_points))
    is_crowded = (panel.x.at_values or panel.x.ticks is not None) and _share_places(panel)
    step = min(STEP, WIDEST / len(beside)) if is_crowded else 0.0
    for number, curve in enumerate(panel.curves):
        aside = 0.0
        if curve.label in beside:
            aside = step * (beside.index(curve.label) - (len(beside) - 1) / 2)
        size = _marker_size(curve, number, layout) * rcParams["lines.markersize"] / SINGLE
        _draw_curve(axes, panel, curve, by, size=size, aside=aside, cap_size=layout.cap_size)


def draw_reference(axes: Axes, panel: Panel, by: Scales) -> None:
    """Draw the paper's curves behind ours."""
    for curve in panel.reference:
        axes.plot(
            by.x.all(curve.x), by.y.all(curve.y), "--", color=curve.colour, linewidth=1, alpha=0.8
        )


def _share_places(panel: Panel) -> bool:
    """Return whether points of two labels have the same x."""
    places = {(x, curve.label) for curve in panel.curves if curve.has_points for x in curve.x}
    return len(places) > len({x for x, _ in places})


def _marker_size(curve: Curve, number: int, layout: Layout) -> float:
    """Return the marker's size; later curves have smaller ones, so that equal points are seen."""
    if curve.marked is not None:
        return SINGLE
    return layout.marker_size or max(SMALLEST, LARGEST - number)


def _draw_curve(
    axes: Axes,
    panel: Panel,
    curve: Curve,
    by: Scales,
    *,
    size: float,
    aside: float,
    cap_size: float,
) -> None:
    """Draw one curve, with its bars or its band, some points aside of its place."""
    x, y = by.x.all(curve.x), by.y.all(curve.y)
    shift = (0, -aside / 72) if panel.is_transposed else (aside / 72, 0)
    move = ScaledTranslation(*shift, axes.get_figure().dpi_scale_trans)
    place = {"transform": axes.transData + move, "clip_on": not curve.has_points}
    width = rcParams["lines.linewidth"]
    if curve.has_bars:
        _draw_bars(axes, panel, curve, by, cap_size=cap_size, place=place)
    [line] = axes.plot(
        *((y, x) if panel.is_transposed else (x, y)),
        color=curve.colour,
        linewidth=0.5 * width if curve.is_thin else width,
        linestyle="none" if curve.is_scatter else curve.dash,
        marker=curve.marker,
        markersize=size,
        markerfacecolor="white" if curve.is_open else curve.colour,
        markevery=None if curve.marked is None else list(curve.marked),
        zorder=3,  # the line alone: bars stay below the lines of all curves
        **place,
    )
    line.set_in_layout(False)
    if curve.runs:
        pairs = [(by.x(run), by.y(value)) for run, value in curve.runs]
        runs = zip(*(pair[::-1] if panel.is_transposed else pair for pair in pairs), strict=True)
        look = {"color": curve.colour, "marker": curve.marker, "linestyle": "none"}
        small = {"markersize": RUN * size, "markeredgewidth": 0, "alpha": 0.6}
        axes.plot(*runs, **look, **small, **place)
    if curve.is_band:
        low, high = by.y.all(curve.low), by.y.all(curve.high)
        axes.fill_between(x, low, high, color=curve.colour, alpha=0.25, lw=0)


def _draw_bars(
    axes: Axes,
    panel: Panel,
    curve: Curve,
    by: Scales,
    *,
    cap_size: float,
    place: dict[str, object],
) -> None:
    """Draw bars from low to high; one of no length is not drawn.

    Matplotlib's own are given as distances from the mean, in which a float loses a low end that is
    many decades below it.
    """
    width = THICK if curve.is_thick else 0.65 * rcParams["lines.linewidth"]
    bars = [
        (by.x(x), by.y(low), by.y(high))
        for x, low, high in zip(curve.x, curve.low, curve.high, strict=True)
        if low < high
    ]
    if not bars:
        return
    x, low, high = map(list, zip(*bars, strict=True))
    draw = axes.hlines if panel.is_transposed else axes.vlines
    draw(x, low, high, colors=curve.colour, linewidths=width, zorder=2, **place)
    if cap_size:
        ends = (low + high, x + x) if panel.is_transposed else (x + x, low + high)
        marker = "|" if panel.is_transposed else "_"
        look = {"color": curve.colour, "linestyle": "none", "markersize": 2 * cap_size}
        axes.plot(*ends, marker=marker, markeredgewidth=width, zorder=2, **look, **place)
