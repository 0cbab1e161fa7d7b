"""Prepare the paper's figures 1 and 2: measures on true and random labels against training size."""

import math
from collections.abc import Iterable
from dataclasses import replace

from gentool.figures import averages, panels, paper, path_norms, series, style
from gentool.figures.path_norms import Reading
from gentool.figures.registry import FIGURES, FigureOptions
from gentool.figures.selection import Networks, caption, choose, count
from gentool.figures.sheet import Axis, Curve, Panel, Sheet
from gentool.records.measure_file import Record, has_fitted

SIZE = "recipe.subset"
LABELS = ("true", "random")
SHARPNESS = ("sharpness", "expected_sharpness.curve")
FAR = 8  # times ours: from here on values share a logarithmic axis
ON_KL = (5_000, 10_000, 30_000, 50_000)  # of the paper's middle and right panels


@FIGURES.register("1", "records", "reference", "path_norms", "errorbar")
def norms(records: list[Record], options: FigureOptions) -> Sheet:
    """Prepare figure 1 of the paper: the norm capacities against the training-set size."""
    networks = _networks(records, "1")
    notes = list(networks.notes)
    if options.reference:
        notes += paper.compare("1", networks.records)
    reading = path_norms.reading(networks.records, options.path_norms)
    keys = [reading.key(name) for name in panels.MEASURES[:4]]
    averages.check_measured("1", networks.records, keys)
    shown = [_norm(networks, name, reading, options, notes) for name in panels.MEASURES[:4]]
    words = _caption(networks, "1", keys, options, notes)
    return panels.sheet(shown, words, notes, 2, "figure", options.errorbar)


@FIGURES.register("2", "records", "reference", "errorbar")
def sharpness(records: list[Record], options: FigureOptions) -> Sheet:
    """Prepare figure 2 of the paper: sharpness by size, and expected sharpness against KL."""
    networks = _networks(records, "2")
    notes = list(networks.notes)
    averages.check_measured("2", networks.records, SHARPNESS)
    if options.reference:
        notes += paper.compare("2", networks.records)
    shown = [_sharpness(networks, options, notes)]
    colours = panels.size_colours(networks.records, SIZE, ON_KL)
    for labels in LABELS:
        prefix = f"fig2_{labels}_" if options.reference else None
        chosen = networks.with_labels(labels)
        shown.append(panels.on_kl(f"{labels} labels", chosen, SIZE, colours, prefix, notes))
    words = _caption(networks, "2", SHARPNESS[:1], options, notes)
    return panels.sheet(shown, words, notes, errorbar=options.errorbar)


def _networks(records: list[Record], figure: str) -> Networks:
    return choose(
        records,
        figure,
        ("subset", "labels"),
        lambda recipe: (
            recipe.get("labels") in LABELS and recipe.get("subset") and not recipe.get("confusion")
        ),
        "networks on true and on random labels without a confusion set",
    )


def _norm(
    networks: Networks, name: str, reading: Reading, options: FigureOptions, notes: list[str]
) -> Panel:
    """Return a panel of a norm capacity against the size, as logarithms, for both labels.

    The paper's values share its axes where they are of such networks, and in the same reading.
    """
    curves = _by_labels(networks, reading.key(name), options, is_log=True)
    behind = _of_paper(f"fig1_{paper.NAMES[name]}") if options.reference else []
    is_comparable = paper.has_scale("1", networks.records) and (
        name not in path_norms.PATH_NORMS or reading.is_of_paper
    )
    x = Axis(style.words(SIZE), is_shared=is_comparable, at_values=True)
    y = Axis(reading.label(name), "log10", is_shared=is_comparable)
    message = reading.missing(networks.records, name)
    return panels.panel(Panel("", x, y, curves, behind), notes, message)


def _sharpness(networks: Networks, options: FigureOptions, notes: list[str]) -> Panel:
    """Return a panel of sharpness against the size.

    It is logarithmic if the paper's sharpness is of another order of magnitude.
    """
    curves = _by_labels(networks, "sharpness", options, is_log=False)
    behind = _of_paper("fig2_sharp") if options.reference else []
    tops = [max((max(c.y) for c in some), default=1.0) for some in (curves, behind)]
    scale = "linear"
    if behind and curves and max(tops) > FAR * min(tops):
        scale = "log10"
        behind = [replace(c, y=tuple(map(math.log10, c.y))) for c in behind]
        curves = _by_labels(networks, "sharpness", options, is_log=True)
    y = Axis(style.words("sharpness"), scale, low=0 if scale == "linear" else None, is_shared=True)
    drawn = Panel("sharpness", Axis(style.words(SIZE), at_values=True), y, curves, behind)
    return panels.panel(drawn, notes, series.missing(networks.records, "sharpness"))


def _by_labels(
    networks: Networks, name: str, options: FigureOptions, *, is_log: bool
) -> list[Curve]:
    """Return a curve for true and one for random labels, without those that have no values."""
    value = averages.value_of(name, is_log=is_log)
    drawn = []
    for labels in LABELS:
        points = averages.points(networks.with_labels(labels), SIZE, name, value)
        look = style.fixed(labels)
        drawn += averages.curves(points, f"{labels} labels", *look, options.errorbar)
    return drawn


def _of_paper(key: str) -> list[Curve]:
    return [panels.paper_curve(f"{key}_{labels}", f"{labels} labels", labels) for labels in LABELS]


def _caption(
    networks: Networks,
    figure: str,
    keys: Iterable[str],
    options: FigureOptions,
    notes: list[str],
) -> str:
    """Return the line under the figure; it and a note count the networks that do not fit."""
    settings = averages.settings_in_words(networks.records, keys)
    behind = paper.in_caption(figure, networks.records) if options.reference else ""
    unfit = [record for record in networks.records if not has_fitted(record)]
    if not unfit:
        return caption(networks.records, settings) + behind
    words = f"{count(len(unfit), 'network')} with a training error above 0"
    notes.append(f"{words} drawn too; in the paper it is 0 everywhere")
    return caption(networks.records, words, settings) + behind
