"""Prepare a figure of the distribution of the training images' margins, with γ."""

from dataclasses import replace

from gentool.common.errors import GentoolError
from gentool.figures import panels
from gentool.figures.legend import LegendEntry, legend_entries, summary
from gentool.figures.registry import FIGURES, FigureOptions
from gentool.figures.selection import count
from gentool.figures.sheet import Axis, Curve, Panel, Sheet, VerticalLine
from gentool.records.measure_file import Record, lookup

MARGIN = "margin, f(x)[y] − max f(x)[j], j ≠ y"
Points = tuple[tuple[float, ...], tuple[float, ...]]


@FIGURES.register("margins", "records")
def margins(records: list[Record], options: FigureOptions) -> Sheet:
    """Prepare the distributions of the training images' margins, a curve for each network."""
    measured = [record for record in records if lookup(record, "margin.histogram.counts")]
    if not measured:
        raise GentoolError(
            "none of these files holds margins; gentool measure computes them from the data"
        )
    notes = []
    if missing := len(records) - len(measured):
        notes.append(f"{count(missing, 'network')} without margins left out")
    networks = legend_entries(measured)
    lines = _gamma_lines(networks)
    shown = [
        Panel(
            "distribution",
            Axis(MARGIN),
            Axis("share of the images per unit of margin", low=0),
            [Curve(entry.name, *steps(entry.record), entry.colour) for entry in networks],
            vertical_lines=lines,
        ),
        Panel(
            "quantiles",
            Axis(MARGIN),
            Axis("share of the images up to there", low=0),
            [
                _dotted(Curve(entry.name, *quantiles(entry.record), entry.colour))
                for entry in networks
            ],
            vertical_lines=lines,
        ),
    ]
    return Sheet(
        [panels.panel(panel, notes) for panel in shown],
        f"{summary(measured)}; training images without the confusion set",
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
    if any(entry.record["margin"]["histogram"]["edges"][0] < 0 for entry in networks):
        lines.append(VerticalLine(0.0, "below 0: errors", "0.3", "-"))
    return lines
