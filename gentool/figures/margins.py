"""The margins of the training images: how they are distributed, and which one γ is."""

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
    """Distributions of the training images' margins, a curve a network, γ marked."""
    known = [record for record in records if lookup(record, "margin.histogram.counts")]
    if not known:
        raise GentoolError(
            "none of these files holds margins; gentool measure computes them from the data"
        )
    notes = []
    if unknown := len(records) - len(known):
        notes.append(f"{count(unknown, 'network')} without margins left out")
    networks = legend_entries(known)
    lines = _uprights(networks)
    shown = [
        Panel(
            "distribution",
            Axis(MARGIN),
            Axis("share of the images per unit of margin", low=0),
            [Curve(told.name, *steps(told.record), told.colour) for told in networks],
            vertical_lines=lines,
        ),
        Panel(
            "quantiles",
            Axis(MARGIN),
            Axis("share of the images up to there", low=0),
            [_dotted(Curve(told.name, *quantiles(told.record), told.colour)) for told in networks],
            vertical_lines=lines,
        ),
    ]
    return Sheet(
        [panels.panel(panel, notes) for panel in shown],
        f"{summary(known)}; training images without the confusion set",
        legends="figure",
        notes=notes,
    )


def steps(record: Record) -> Points:
    """The outline of a histogram, whose area is 1: x, y."""
    histogram = record["margin"]["histogram"]
    edges, counts = histogram["edges"], histogram["counts"]
    x, y = [edges[0]], [0.0]
    for low, high, number in zip(edges[:-1], edges[1:], counts, strict=True):
        height = number / sum(counts) / ((high - low) or 1.0)
        x += [low, high]
        y += [height, height]
    return (*x, edges[-1]), (*y, 0.0)


def quantiles(record: Record) -> Points:
    """The margins that given shares of the images have at most: margin, share."""
    found = sorted((float(level), x) for level, x in record["margin"]["quantiles"].items())
    return tuple(x for _, x in found), tuple(level for level, _ in found)


def _dotted(curve: Curve) -> Curve:
    """The same curve with all its points to be seen."""
    return replace(curve, marker=".", marked=tuple(range(len(curve.x))))


def _uprights(networks: list[LegendEntry]) -> list[VerticalLine]:
    """Each network's γ, and 0 where some margins are negative."""
    found = [
        VerticalLine(margin["gamma"], f"margin γ, ε = {margin['epsilon']:g}", told.colour)
        for told in networks
        for margin in [told.record["margin"]]
    ]
    if any(told.record["margin"]["histogram"]["edges"][0] < 0 for told in networks):
        found.append(VerticalLine(0.0, "below 0: errors", "0.3", "-"))
    return found
