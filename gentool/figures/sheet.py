"""A figure before it is drawn: panels of curves, as plain values."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Curve:
    """One line of a panel. On a log10 axis `y`, `low` and `high` are exponents.

    `low` and `high` are what bars (over runs) or a band (a standard error) span; None for neither.
    Several curves with one label are runs of one thing: the legend has it once.
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
    marked: tuple[int, ...] | None = None  # the points that have the marker; None for all


@dataclass(frozen=True)
class Axis:
    """How an axis is drawn: linear, log (values) or log10 (exponents); None: a range that fits."""

    label: str
    scale: str = "linear"
    low: float | None = None
    high: float | None = None
    is_shared: bool = False  # by our values and the paper's, however far apart they are


@dataclass(frozen=True)
class VerticalLine:
    """A vertical line; the legend has each label once, none where it is empty."""

    x: float
    label: str
    colour: str
    style: str = ":"


@dataclass(frozen=True)
class Remark:
    """Words above a point."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Panel:
    """Axes with their curves, and what is missing for them."""

    title: str
    x: Axis
    y: Axis
    curves: list[Curve] = field(default_factory=list)
    reference: list[Curve] = field(default_factory=list)
    reference_label: str = "read off the paper"
    legend: str | None = None  # its title; None where the labels say it themselves
    level: float | None = None  # a horizontal line
    vertical_lines: list[VerticalLine] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)  # what is missing


@dataclass(frozen=True)
class Sheet:
    """A whole figure: panels in rows, the line under it, and notes for people."""

    panels: list[Panel]
    caption: str
    columns: int = 3
    wide: float = 4.0  # inches of a panel
    has_one_legend: bool = False  # for all panels
    notes: list[str] = field(default_factory=list)
