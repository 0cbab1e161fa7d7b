"""Prepare panels of several figures: errors, rescaled measures, expected sharpness against KL."""

from dataclasses import replace

from gentool.figures import averages, number_formats, paper, series, style
from gentool.figures.path_norms import Reading
from gentool.figures.sheet import Axis, Curve, Panel, Sheet
from gentool.records.measure_file import Record, lookup

MEASURES = ("l2", "l1_path", "l2_path", "spectral", "sharpness")
ERRORS = ("outcome.train_error", "outcome.test_error", "outcome.confusion_error")
LEVEL, HIGHEST = 0.05, 0.3  # the paper's line, and the top of its axes
ZERO = -0.02  # where an axis from 0 to 1 begins, for 0 to be seen
KL_LABEL = "KL as the paper plots it, Σ w² / σ²"


def panel(drawn: Panel, notes: list[str], *messages: str) -> Panel:
    """Return a panel with messages on missing values, and add these to the notes."""
    missing = [message for message in messages if message]
    if not drawn.curves:
        missing = missing or [f"no {drawn.y.label} in these files"]
        without_ticks = {name: replace(getattr(drawn, name), ticks=()) for name in ("x", "y")}
        drawn = replace(drawn, **without_ticks)
    notes += [message for message in missing if message not in notes]
    return replace(drawn, messages=missing)


def sheet(
    panels: list[Panel],
    caption: str,
    notes: list[str],
    columns: int = 3,
    legends: str = "panels",
    errorbar: str | None = None,
) -> Sheet:
    """Return a sheet; its caption explains means, bars, bands and open markers if there are any."""
    bands = {curve.is_mean for panel in panels for curve in panel.curves if curve.is_band}
    words = [
        averages.words(panels, errorbar),
        "bands: from the lowest to the highest seed" * (True in bands),
        "bands: one standard error of the draws" * (False in bands),
    ]
    caption = "; ".join(filter(None, [caption, *words]))
    return Sheet(panels, caption, columns, legends, notes=notes)


def measured_alike(figure: str, records: list[Record], reading: Reading) -> str:
    """Return the settings of what figures 3 and 4 draw, in words.

    Raise NotAlikeError if a measure was computed with several settings.
    """
    keys = [reading.key(name) for name in MEASURES]
    averages.check_measured(figure, records, [*keys, "expected_sharpness.curve"])
    return averages.settings_in_words(records, keys)


def errors(
    records: list[Record],
    x: Axis,
    key: str,
    paper: dict[str, str],
    notes: list[str],
    errorbar: str | None,
) -> Panel:
    """Return a panel of training, test and confusion error against a size."""
    curves, behind = [], []
    for name in ERRORS:
        points = averages.points(records, key, name)
        curves += averages.curves(points, style.words(name), *style.fixed(name), errorbar)
        if name in paper:
            behind.append(paper_curve(paper[name], style.words(name), name))
    return panel(Panel("errors", x, Axis("error", is_shared=True), curves, behind), notes)


def rescaled(
    records: list[Record],
    x: Axis,
    key: str,
    reading: Reading,
    prefix: str | None,
    notes: list[str],
    errorbar: str | None,
) -> Panel:
    """Return a panel of each measure against a size, rescaled from 0 (lowest) to 1 (highest)."""
    curves, behind, messages = [], [], []
    for name in MEASURES:
        messages.append(reading.missing(records, name))
        value = series.relative(records, reading.key(name))
        points = averages.points(records, key, reading.key(name), value)
        drawn = averages.curves(points, style.short(name), *style.fixed(name), errorbar)
        if drawn and (scaled := averages.rescaled(drawn)):
            curves += [replace(curve, dash=style.dash(name)) for curve in scaled]
        elif drawn:
            messages.append(f"{name} has one value only, which cannot be rescaled")
        if prefix:
            paper_key = f"{prefix}{paper.NAMES[name]}"
            behind.append(paper_curve(paper_key, style.short(name), name))
    y = Axis(
        "measure, rescaled to [0,1]",
        low=2 * ZERO,
        high=1 - 2 * ZERO,
        is_shared=True,
    )
    title = f"path norms: {reading.words}" if reading.words else None
    return panel(Panel("measures", x, y, curves, behind, legend_title=title), notes, *messages)


def on_kl(
    title: str,
    records: list[Record],
    key: str,
    colours: dict[float, str],
    prefix: str | None,
    notes: list[str],
) -> Panel:
    """Return a panel of expected sharpness against KL: a curve for each size."""
    curves = []
    for size, colour in colours.items():
        runs = [r for r in records if lookup(r, key) == size and series.rows(r)]
        curves += series.on_kl(runs, number_formats.size(size), colour)
    ordered = [r for size in colours for r in records if lookup(r, key) == size]
    message = series.missing(ordered or records, "expected sharpness")
    behind = _paper_on_kl(prefix) if prefix else []
    drawn = Panel(
        title,
        Axis(KL_LABEL, low=0),
        Axis("expected sharpness", low=0, high=HIGHEST, is_shared=True),
        curves,
        behind,
        legend_title=style.words(key) + ", a thin line a run" * any(c.is_thin for c in curves),
        level=LEVEL,
    )
    return panel(drawn, notes, message)


def _paper_on_kl(prefix: str) -> list[Curve]:
    """Return the paper's curves, in the colours of their sizes in order."""
    named = paper.sizes(prefix)
    colours = style.sequence(len(named))
    return [
        series.in_range(Curve(name, *paper.points(key), colour))
        for (name, key), colour in zip(named.items(), colours, strict=True)
    ]


def paper_curve(key: str, label: str, look: str) -> Curve:
    """Return a curve of the paper; `look` is the label or measure whose colour it has."""
    return Curve(label, *paper.points(key), *style.fixed(look), dash=style.dash(look))


def size_colours(records: list[Record], key: str, preferred: tuple[float, ...]) -> dict:
    """Return up to six sizes that have a curve, each with a colour of a sequential palette."""
    present = [lookup(record, key) for record in records if series.rows(record)]
    sizes = series.evenly_chosen(present, preferred)
    return dict(zip(sizes, style.sequence(len(sizes)), strict=True))
