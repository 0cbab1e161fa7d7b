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
    is_thin: bool = False
    is_scatter: bool = False  # points without a line
    is_open: bool = False  # its markers are not filled: the search was cut short
    runs: tuple[tuple[float, float], ...] = ()  # x and y of single runs, drawn as small points
    counts: tuple[int, ...] = ()  # seeds of each mean
    marked: tuple[int, ...] | None = None  # the points that have the marker; None for all

    @property
    def has_bars(self) -> bool:
        return self.low is not None and not self.is_band


@dataclass(frozen=True)
class Axis:
    """Hold label, scale, range and ticks of an axis.

    The scale is "linear", "log" (of values) or "log10" (of exponents). Range and ticks are chosen
    to fit the curves where they are None; by matplotlib itself if `is_automatic`.
    """

    label: str
    scale: str = "linear"
    low: float | None = None
    high: float | None = None
    is_shared: bool = False  # by our values and the paper's, however far apart they are
    is_automatic: bool = False
    is_reversed: bool = False  # from large to small; not if automatic
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
    reference: list[Curve] = field(default_factory=list)
    reference_label: str = "read off the paper"
    legend_title: str | None = None  # None where the labels need none
    level: float | None = None  # a horizontal line
    vertical_lines: list[VerticalLine] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)  # below the x axis, or in an empty panel


@dataclass(frozen=True)
class Layout:
    """Hold the sizes of a figure: inches of its parts, points of its texts and markers."""

    panel_width: float = 4.0
    panel_height: float = 3.5
    extra_width: float = 0.0  # beside all panels
    extra_height: float = 0.4  # for the caption and one row of a legend
    title_height: float = 0.3
    legend_row: float = 0.22  # height of every further row of the figure's legend
    legend_columns: int | None = None  # None: as many as fit into the width, four at most
    title_size: float = 13
    legend_title_size: float = 13
    caption_size: float = 8
    message_size: float = 9
    marker_size: float | None = None  # None: smaller from curve to curve, so that all are seen
    cap_size: float = 0.0  # of bars; where bars have caps, the legend shows both
    is_above_frame: bool = True  # curves are drawn over the frame of their panel


@dataclass(frozen=True)
class Sheet:
    """Hold a whole figure: panels in rows, the line under them, and notes for people."""

    panels: list[Panel]
    caption: str
    columns: int = 3
    legends: str = "panels"  # one for each of the "panels", one for the "figure", or "none"
    legend_title: str | None = None  # of the figure's legend, below the title of the figure
    layout: Layout = field(default_factory=Layout)
    notes: list[str] = field(default_factory=list)
