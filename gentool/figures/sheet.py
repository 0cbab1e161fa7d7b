"""Hold a figure as plain values, before it is drawn: panels of curves, and their layout."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Curve:
    """Hold one curve of a panel. On a log10 axis `x`, or `y`, `low` and `high`, are exponents.

    Bars (over runs) or a band (a standard error) reach from `low` to `high`; None for neither.
    Several curves with one label are runs of the same thing: the legend has it once.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    colour: str
    marker: str = ""
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    is_band: bool = False
    is_mean: bool = False  # over runs; the band reaches from the lowest to the highest
    is_thin: bool = False
    is_open: bool = False  # its markers are not filled: the search was cut short
    runs: tuple[tuple[float, float], ...] = ()  # x and y of single runs, drawn as small points
    counts: tuple[int, ...] = ()  # seeds of each mean
    is_thick: bool = False  # bars as wide as a marker
    is_scatter: bool = False  # points without a line
    dash: str | tuple = "-"  # of the line, as Matplotlib writes it
    marked: tuple[int, ...] | None = None  # the points that have the marker; None for all

    @property
    def has_bars(self) -> bool:
        return self.low is not None and not self.is_band

    @property
    def has_points(self) -> bool:
        """Return whether each point is one that was measured, with a marker of its own."""
        return bool(self.marker) and self.marked is None


@dataclass(frozen=True)
class Axis:
    """Hold label, scale, range and ticks of an axis.

    The scale is "linear", "log" (of values) or "log10" (of exponents, drawn as powers of ten).
    Range and ticks are chosen to fit the curves where they are None. A range that is given grows
    where a measured point or a bar lies outside.
    """

    label: str
    scale: str = "linear"
    low: float | None = None
    high: float | None = None
    is_shared: bool = False  # by our values and the paper's, however far apart they are
    is_reversed: bool = False  # from large to small
    at_values: bool = False  # ticks at the values that occur, if these are few
    ticks: tuple[float, ...] | None = None
    tick_labels: tuple[str, ...] = ()  # of the ticks that are named


@dataclass(frozen=True)
class VerticalLine:
    """Hold a vertical line; the legend has each label once, none where it is empty."""

    x: float
    label: str
    colour: str
    style: str = ":"


@dataclass(frozen=True)
class Remark:
    """Hold words that stand above a point."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Panel:
    """Hold two axes with their curves, and messages about missing values."""

    title: str
    x: Axis
    y: Axis
    curves: list[Curve] = field(default_factory=list)
    reference: list[Curve] = field(default_factory=list)  # of the paper
    legend_title: str | None = None  # None where the labels need none
    level: float | None = None  # a horizontal line
    level_label: str = ""  # words on it
    vertical_lines: list[VerticalLine] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)  # below the x axis, or in an empty panel
    is_transposed: bool = False  # x upright, from top to bottom: a row for each name
    is_faded: bool = False  # the paper's own panel, with grey axes
    has_legend: bool = True  # if the sheet has one for each panel


@dataclass(frozen=True)
class Layout:
    """Hold the sizes of a figure's panels in inches, and of markers and caps in points."""

    panel_width: float = 3.9
    panel_height: float = 3.2
    marker_size: float | None = None  # None: smaller from curve to curve, so that all are seen
    cap_size: float = 0.0  # of bars
    is_above_frame: bool = True  # curves are drawn over the frame of their panel


@dataclass(frozen=True)
class Sheet:
    """Hold a whole figure: panels in rows, the line under them, and notes for people."""

    panels: list[Panel]
    caption: str
    columns: int = 3
    legends: str = "panels"  # one for each of the "panels", one for the "figure", or "none"
    legend_title: str | None = None  # of the figure's legend
    layout: Layout = field(default_factory=Layout)
    notes: list[str] = field(default_factory=list)
