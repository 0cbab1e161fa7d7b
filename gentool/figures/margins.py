"""Prepare a figure of the distribution of the training images' margins, with γ.

A few networks have curves; of many, whose curves would cover each other, each has a row.
"""

from dataclasses import replace

from gentool.common.errors import GentoolError
from gentool.figures import panels
from gentool.figures.legend import LegendEntry, legend_entries, summary
from gentool.figures.registry import FIGURES, FigureOptions
from gentool.figures.selection import count
from gentool.figures.sheet import Axis, Curve, Layout, Panel, Sheet, VerticalLine
from gentool.records.measure_file import Record, lookup

MARGIN = "margin, f(x)[y] − max f(x)[j], j ≠ y"
MOST_CURVES = 4
TAIL = 0.01  # of the images at each end, beyond which a distribution is not drawn
Points = tuple[tuple[float, ...], tuple[float, ...]]


@FIGURES.register("margins", "records")
def margins(records: list[Record], options: FigureOptions) -> Sheet:
    """Prepare the distributions of the training images' margins, a curve or a row a network."""
    measured = [record for record in records if lookup(record, "margin.histogram.counts")]
    if not measured:
        raise GentoolError(
            "none of these files holds margins; gentool measure computes them from the data"
        )
    notes = []
    if missing := len(records) - len(measured):
        notes.append(f"{count(missing, 'network')} without margins left out")
    networks = legend_entries(measured)
    caption = f"{summary(measured)}; training images without the confusion set"
    if len(networks) > MOST_CURVES:
        words = "; bars: half of the images, lines: 98 % of them, dots: median, crosses: γ"
        layout = Layout(panel_width=5.0, marker_size=5)
        return Sheet([_rows(networks)], caption + words, 1, "none", layout=layout, notes=notes)
    low, high = _bulk(networks)
    x = Axis(MARGIN, low=low, high=high)
    lines = _gamma_lines(networks)
    distribution = [
        Curve(entry.name, *steps(entry.record), entry.colour, dash=entry.dash) for entry in networks
    ]
    cumulative = [
        _dotted(Curve(entry.name, *quantiles(entry.record), entry.colour, dash=entry.dash))
        for entry in networks
    ]
    shown = [
        Panel(
            "distribution",
            x,
            Axis("share of the images per unit of margin", low=0),
            distribution,
            vertical_lines=lines,
        ),
        Panel(
            "cumulative distribution",
            x,
            Axis("share of the images up to there", low=0),
            cumulative,
            vertical_lines=lines,
        ),
    ]
    return Sheet(
        [panels.panel(panel, notes) for panel in shown],
        f"{caption}; some margins of the outermost {TAIL:.0%} lie beyond the axis",
        legends="figure",
        notes=notes,
    )


def steps(record: Record) -> Points:
    """Return x and y of the outline of a histogram of margins, whose area is 1."""
    histogram = record["margin"]["histogram"]
    edges, counts = histogram["edges"], histogram["counts"]
    x, y = [edges[0]], [0.0]
    for low, high, number in zip(edges[:-1], edges[1:], counts, strict=True):
        height = number / sum(counts) / ((high - low) or 1.0)
        x += [low, high]
        y += [height, height]
    return (*x, edges[-1]), (*y, 0.0)


def quantiles(record: Record) -> Points:
    """Return margins, and the shares of the images that have this margin or less."""
    pairs = sorted((float(level), x) for level, x in record["margin"]["quantiles"].items())
    return tuple(x for _, x in pairs), tuple(level for level, _ in pairs)


def _rows(networks: list[LegendEntry]) -> Panel:
    """Return a panel with a row for each network: median, half and 98 % of its margins, and γ."""
    curves = []
    for row, entry in enumerate(networks):
        margin = entry.record["margin"]
        levels = {float(level): value for level, value in margin["quantiles"].items()}
        low, lower, middle, upper, high = (levels[q] for q in (TAIL, 0.25, 0.5, 0.75, 1 - TAIL))
        point = Curve(entry.name, (row,), (middle,), entry.colour, "o")
        curves += [
            replace(point, low=(low,), high=(high,)),
            replace(point, low=(lower,), high=(upper,), is_thick=True, is_open=True),
            Curve(entry.name, (row,), (margin["gamma"],), "black", "x"),
        ]
    names = Axis(
        "",
        low=-0.6,
        high=len(networks) - 0.4,
        ticks=tuple(range(len(networks))),
        tick_labels=tuple(entry.name for entry in networks),
    )
    zero = 0.0 if _has_errors(networks) else None
    return Panel("", names, Axis(MARGIN), curves, level=zero, is_transposed=True)


def _bulk(networks: list[LegendEntry]) -> tuple[float, float]:
    """Return the range of the margins of all networks without their outermost images."""
    ends = []
    for entry in networks:
        levels = {float(level): x for level, x in entry.record["margin"]["quantiles"].items()}
        ends += [x for level, x in levels.items() if TAIL <= level <= 1 - TAIL]
        ends.append(entry.record["margin"]["gamma"])
    if _has_errors(networks):
        ends.append(0.0)
    pad = 0.06 * ((max(ends) - min(ends)) or 1.0)
    return min(ends) - pad, max(ends) + pad


def _has_errors(networks: list[LegendEntry]) -> bool:
    """Return whether some margins are negative."""
    return any(entry.record["margin"]["histogram"]["edges"][0] < 0 for entry in networks)


def _dotted(curve: Curve) -> Curve:
    """Return the same curve with a dot at each point."""
    return replace(curve, marker=".", marked=tuple(range(len(curve.x))))


def _gamma_lines(networks: list[LegendEntry]) -> list[VerticalLine]:
    """Return a vertical line at each network's γ, and at 0 if some margins are negative."""
    lines = [
        VerticalLine(margin["gamma"], f"margin γ, ε = {margin['epsilon']:g}", entry.colour)
        for entry in networks
        for margin in [entry.record["margin"]]
    ]
    if _has_errors(networks):
        lines.append(VerticalLine(0.0, "below 0: errors", "0.3", "-"))
    return lines
