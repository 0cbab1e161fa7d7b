"""Draw axes: which range they span, where their ticks are and how these are labelled."""

import math

from matplotlib.axes import Axes
from matplotlib.axis import Axis as MatplotlibAxis
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullLocator,
)

from gentool.figures.number_formats import (
    plain_power_of_ten,
    power_of_ten,
    rounded_power_of_ten,
    tick,
)
from gentool.figures.sheet import Axis, Curve, Panel

MARGIN = 0.06  # of an axis' range, around what is drawn
FARTHEST = 2.0  # how much longer an axis may get by the paper's values before they get their own
FADED = "0.55"  # the paper's own axes
SMALLEST_PLAIN, LARGEST_PLAIN = -2, 3  # exponents between which multiples are plain numbers
FEW_DECADES = 1.6  # below which parts of decades have ticks too
MULTIPLES = ((1, 2, 5), range(1, 10))  # of a power of ten with a tick: the first that give two


def draw_axes(axes: Axes, panel: Panel) -> None:
    """Draw both axes of a panel, for its curves and those of the paper that fit beside them."""
    for name, ticked in (("x", axes.xaxis), ("y", axes.yaxis)):
        shared = panel.reference if reference_fits(panel, name) else []
        _draw_axis(ticked, getattr(panel, name), panel.curves + shared)


def draw_faded_axis(axes: Axes, panel: Panel, name: str) -> None:
    """Draw an axis, x or y, for the paper's values alone."""
    ticked = {"x": axes.xaxis, "y": axes.yaxis}[name]
    _draw_axis(ticked, getattr(panel, name), panel.reference)
    ticked.set_label_text("in the paper", size=9, color=FADED)
    axes.tick_params(axis=name, colors=FADED, labelsize=9)
    axes.spines[:].set_visible(False)


def reference_fits(panel: Panel, name: str) -> bool:
    """Return whether the paper's values have room on an axis, x or y, of ours."""
    axis: Axis = getattr(panel, name)
    if axis.is_shared or not panel.curves:
        return True
    ours = _span(axis, name, panel.curves)
    both = _span(axis, name, panel.curves + panel.reference)
    return both[1] - both[0] <= FARTHEST * (ours[1] - ours[0])


def _span(axis: Axis, name: str, curves: list[Curve]) -> tuple[float, float]:
    """Return the lowest and the highest value of an axis, x or y."""
    numbers = [number for curve in curves for number in getattr(curve, name)]
    if name == "y":
        bars = [curve for curve in curves if curve.has_bars]
        numbers += [end for curve in bars for end in (*curve.low, *curve.high)]
        numbers += [y for curve in curves for _, y in curve.runs]
    if not numbers:
        low, high = (1.0, 2.0) if axis.scale == "log" else (0.0, 1.0)
        return axis.low or low, axis.high or high
    low, high = min(numbers), max(numbers)
    if axis.scale == "log":
        return low / 1.25, high * 1.25
    pad = MARGIN * ((high - low) or abs(high) or 1.0)
    low = low - pad if axis.low is None else axis.low
    high = high + pad if axis.high is None else axis.high
    return low, high


def _draw_axis(ticked: MatplotlibAxis, axis: Axis, curves: list[Curve]) -> None:
    """Set label, range and ticks of one axis."""
    ticked.set_label_text(axis.label, size=10)
    if axis.is_automatic:
        if axis.scale == "log10":
            ticked.set_major_locator(_whole_exponents())
            ticked.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    else:
        span = _span(axis, ticked.axis_name, curves)
        ends = span[::-1] if axis.is_reversed else span
        ticked.axes.set(**{f"{ticked.axis_name}lim": ends})
        {"linear": _linear, "log": _octaves, "log10": _decades}[axis.scale](ticked, span)
    if axis.ticks is not None:
        ticked.set_major_locator(FixedLocator(axis.ticks))
        ticked.set_major_formatter(FixedFormatter(axis.tick_labels))


def _linear(ticked: MatplotlibAxis, span: tuple[float, float]) -> None:
    """Set ticks at round values."""
    digits = 2 + math.ceil(math.log10(max(map(abs, span)) / (span[1] - span[0])))
    ticked.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    ticked.set_major_formatter(FuncFormatter(lambda value, _: tick(value, digits)))


def _octaves(ticked: MatplotlibAxis, span: tuple[float, float]) -> None:
    """Set ticks at powers of two, of values on a logarithmic axis."""
    ticked._set_axes_scale("log", base=2)
    octaves = range(math.ceil(math.log2(span[0])), math.floor(math.log2(span[1])) + 1)
    step = max(1, math.ceil(len(octaves) / 6))
    ticked.set_major_locator(FixedLocator([2.0**octave for octave in octaves][::step]))
    ticked.set_minor_locator(NullLocator())
    ticked.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _decades(ticked: MatplotlibAxis, span: tuple[float, float]) -> None:
    """Set ticks at powers of ten, of exponents; of few decades at multiples of such a power."""
    decades = range(math.floor(span[0]), math.ceil(span[1]) + 1)
    locator, labelled = _whole_exponents(), rounded_power_of_ten
    if span[1] - span[0] < FEW_DECADES or len(_between([*decades], span)) < 2:
        for parts in MULTIPLES:
            ticks = [decade + math.log10(part) for decade in decades for part in parts]
            if len(_between(ticks, span)) > 1:
                locator = FixedLocator(ticks)
                if span[0] > SMALLEST_PLAIN and span[1] < LARGEST_PLAIN:
                    labelled = plain_power_of_ten
                break
        else:
            locator, labelled = MaxNLocator(nbins=4, steps=[1, 2, 5, 10]), power_of_ten
    ticked.set_major_locator(locator)
    ticked.set_major_formatter(FuncFormatter(lambda value, _: labelled(value)))


def _between(ticks: list[float], span: tuple[float, float]) -> list[float]:
    return [value for value in ticks if span[0] <= value <= span[1]]


def _whole_exponents() -> MaxNLocator:
    return MaxNLocator(nbins=6, integer=True, min_n_ticks=2)
