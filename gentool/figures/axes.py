"""Draw axes: which range they span, where their ticks are and how these are labelled."""

import math
import re
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.axis import Axis as MatplotlibAxis
from matplotlib.ticker import (
    AutoLocator,
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    LogFormatterSciNotation,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    ScalarFormatter,
)

from gentool.figures import number_formats
from gentool.figures.sheet import Axis, Curve, Panel

MARGIN = 0.06  # of an axis' range, around what is drawn
ONE_VALUE = 0.1  # of a value, the margin on both sides of it where it is the only one
ONE_EXPONENT = 0.3  # the same in decades
FADED = "0.45"  # the paper's own axes
FEW = 14  # values with a tick each
LARGEST_EXPONENT = 150  # of ten, with room in a float for ticks around it
FEWEST_TICKS = 3
SUBS = ((1.0,), (1.0, 2.0, 5.0), tuple(map(float, range(1, 10))))
"""Multiples of powers of ten with a tick: the first that give FEWEST_TICKS."""

Span = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """Turn the numbers of an axis into those that Matplotlib draws: exponents into powers of ten.

    Powers beyond the range of floats are drawn `shift` decades lower and labelled as they are; an
    axis of more decades than a float has is a linear one of exponents.
    """

    is_log: bool = False
    is_of_exponents: bool = False
    shift: int = 0

    def __call__(self, number: float) -> float:
        return 10.0 ** (number - self.shift) if self.is_log and self.is_of_exponents else number

    def all(self, numbers: tuple[float, ...]) -> list[float]:
        return [self(number) for number in numbers]


@dataclass(frozen=True)
class Scales:
    """Hold the scales of a panel's x and y."""

    x: Scale
    y: Scale


def scales(panel: Panel) -> Scales:
    """Return the scales of a panel's axes, for its curves and those of the paper behind them."""
    return Scales(*(_scale(getattr(panel, name), span(panel, name)) for name in "xy"))


def span(panel: Panel, name: str) -> Span:
    """Return the lowest and the highest number of an axis, x or y, with its margins."""
    axis: Axis = getattr(panel, name)
    curves = panel.curves + panel.reference
    numbers = [number for curve in curves for number in getattr(curve, name)]
    inside = [n for curve in curves if curve.has_points for n in getattr(curve, name)]
    if name == "y":
        bars = [end for c in curves if c.has_bars for end in (*c.low, *c.high)]
        bars += [y for curve in curves for _, y in curve.runs]
        numbers, inside = numbers + bars, inside + bars
    if axis.scale == "log":
        low, high = _padded(axis, [*map(math.log10, numbers)], [])
        return 10**low, 10**high
    return _padded(axis, numbers, inside)


def _padded(axis: Axis, numbers: list[float], inside: list[float]) -> Span:
    """Return the range of an axis; one that is given grows for what has to be inside of it."""
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    lone = ONE_VALUE * (abs(high) or 1.0) if axis.scale == "linear" else ONE_EXPONENT
    pad = MARGIN * (high - low) or lone
    first, last = low - pad, high + pad
    if axis.low is not None and min(inside, default=axis.low) >= axis.low:
        first = axis.low
    if axis.high is not None and max(inside, default=axis.high) <= axis.high:
        last = axis.high
    return (first, last) if first < last else (first, first + lone)


def _scale(axis: Axis, ends: Span) -> Scale:
    if axis.scale == "linear":
        return Scale()
    if axis.scale == "log":
        return Scale(is_log=True)
    if ends[1] - ends[0] > 2 * LARGEST_EXPONENT:
        return Scale(is_of_exponents=True)
    is_float = max(map(abs, ends)) <= LARGEST_EXPONENT
    return Scale(True, True, 0 if is_float else round(sum(ends) / 2))


def draw_axes(axes: Axes, panel: Panel, by: Scales) -> None:
    """Draw both axes of a panel; x stands upright, its first value on top, if it is transposed."""
    ticked = (axes.yaxis, axes.xaxis) if panel.is_transposed else (axes.xaxis, axes.yaxis)
    for drawn, name in zip(ticked, "xy", strict=True):
        axis, scale = getattr(panel, name), getattr(by, name)
        points = [c for c in panel.curves if c.has_points and not c.is_scatter]
        _draw_axis(drawn, axis, scale, span(panel, name), _values(points, name))
        if name == "x" and panel.is_transposed:
            axes.invert_yaxis()
    if panel.is_faded:
        axes.tick_params(colors=FADED, which="both")
        axes.spines[:].set_color(FADED)
        for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
            text.set_color(FADED)


def _values(curves: list[Curve], name: str) -> list[float]:
    return sorted({number for curve in curves for number in getattr(curve, name)})


def _draw_axis(
    drawn: MatplotlibAxis, axis: Axis, scale: Scale, ends: Span, values: list[float]
) -> None:
    """Set label, range and ticks of one axis."""
    drawn.set_label_text(axis.label)
    if scale.is_log:
        drawn.axes.set(**{f"{drawn.axis_name}scale": "log"})
    low, high = map(scale, ends)
    drawn.axes.set(**{f"{drawn.axis_name}lim": (high, low) if axis.is_reversed else (low, high)})
    if axis.ticks is not None:
        _fixed(drawn, scale.all(axis.ticks), axis.tick_labels)
    elif axis.at_values and 1 <= len(values) <= FEW:
        places = scale.all(tuple(values))
        _fixed(drawn, places, [number_formats.size(place) for place in places])
    elif scale.is_log:
        _logarithmic(drawn, scale, (low, high), is_of_sizes=axis.at_values or axis.scale == "log")
    elif scale.is_of_exponents:
        drawn.set_major_locator(MaxNLocator(nbins=6, integer=True))
        drawn.set_major_formatter(FuncFormatter(lambda value, _: f"$10^{{{value:.0f}}}$"))
    else:
        drawn.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        drawn.set_major_formatter(RoundNumbers())


def _fixed(drawn: MatplotlibAxis, places: list[float], labels: list[str]) -> None:
    drawn.set_major_locator(FixedLocator(places))
    drawn.set_minor_locator(NullLocator())
    drawn.set_major_formatter(FixedFormatter(labels))


def _logarithmic(drawn: MatplotlibAxis, scale: Scale, ends: Span, *, is_of_sizes: bool) -> None:
    """Set ticks at powers of ten; of few decades at multiples of these or at round numbers."""
    for subs in SUBS:
        locator = LogLocator(subs=subs, numticks=7)
        places = locator.tick_values(*ends)
        if sum(ends[0] <= place <= ends[1] for place in places) >= FEWEST_TICKS:
            break
    else:
        locator = AutoLocator()
    drawn.set_major_locator(locator)
    drawn.set_minor_formatter(NullFormatter())
    sizes = FuncFormatter(lambda value, _: number_formats.size(value))
    drawn.set_major_formatter(sizes if is_of_sizes else PowersOfTen(scale.shift))


class PowersOfTen(LogFormatterSciNotation):
    """Label 5 and 500 as they are, numbers beyond 10⁻⁴ and 10⁴ with a power of ten."""

    def __init__(self, shift: int = 0) -> None:
        super().__init__(minor_thresholds=(math.inf, math.inf))
        self.shift = shift

    def __call__(self, value: float, position: int | None = None) -> str:
        text = super().__call__(value, position)
        if not self.shift:
            return text
        if "10^{" not in text:  # below 10⁴, `shift` decades lower than it is
            exponent = math.floor(math.log10(value) + 1e-9)
            text = f"$\\mathdefault{{{value / 10.0**exponent:g}\\times10^{{{exponent}}}}}$"
            text = text.replace("{1\\times10", "{10")
        return re.sub(
            r"10\^\{(-?\d+)\}", lambda found: f"10^{{{int(found[1]) + self.shift}}}", text
        )


class RoundNumbers(ScalarFormatter):
    """Label thousands as K and millions as M where the ticks are round, others with all digits."""

    def __init__(self) -> None:
        super().__init__(useOffset=False, useMathText=True)
        self.set_powerlimits((-4, 9))

    def format_ticks(self, values: list[float]) -> list[str]:
        """Return the labels of all ticks."""
        largest = max(map(abs, values), default=0)
        if 1000 <= largest < 1e9 and all(value % 100 == 0 for value in values):
            return [number_formats.size(value) for value in values]
        return super().format_ticks(values)
