"""Prepare a figure of the growth of measures along trainings, from checkpoints at several losses.

The trap avoided: a line through checkpoints of different trainings. Those of one training have the
same recipe, but for the loss at which they were kept, and the same history as far as it goes.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import log10

from gentool.claims.families import settings
from gentool.common.errors import GentoolError
from gentool.common.json import is_number
from gentool.figures import averages, panels, path_norms, style
from gentool.figures.legend import LegendEntry, legend_entries, summary
from gentool.figures.path_norms import Reading
from gentool.figures.registry import FIGURES, FigureOptions
from gentool.figures.selection import count
from gentool.figures.sheet import Axis, Curve, Panel, Sheet
from gentool.records.averaging import conditions, group_key
from gentool.records.measure_file import Record, lookup
from gentool.records.settings import is_cut

LOSS = Axis("training loss, in evaluation mode", "log10", is_reversed=True)
MARKERS = "os^DvPX"

Moment = tuple[float, bool]  # threshold of the loss; whether the loss is below it
Training = dict[Moment, Record]  # the checkpoints of one training


@dataclass(frozen=True)
class Line:
    """Hold trainings that differ in their seed alone, with checkpoints at the same thresholds."""

    entry: LegendEntry
    marker: str
    trainings: list[Training]


@FIGURES.register("growth", "records", "path_norms", "errorbar")
def growth(records: list[Record], options: FigureOptions) -> Sheet:
    """Prepare measures against the training loss, a line for each training or mean over seeds."""
    trainings = [training for training in _trainings(records) if _losses(training) > 1]
    if not trainings:
        raise GentoolError(
            "figure growth draws checkpoints of one training at two losses or more, and these "
            "files hold none; train with --keep-at 0.1,0.01 and run gentool measure on all of them"
        )
    drawn = [record for training in trainings for record in training.values()]
    notes = []
    if left_out := len(records) - len(drawn):
        words = "alone of their training, or before the loss to keep them at"
        notes.append(f"{count(left_out, 'network')} left out: {words}")
    lines = _lines(trainings)
    reading = path_norms.reading(drawn, options.path_norms)
    has_sharpness = any(lookup(record, "sharpness") is not None for record in drawn)
    names = panels.MEASURES if has_sharpness else panels.MEASURES[:4]
    keys = [reading.key(name) for name in names]
    averages.check_measured("growth", drawn, keys)
    shown = [_panel(lines, drawn, name, reading, notes, options.errorbar) for name in names]
    settings = averages.settings_in_words(drawn, keys)
    caption = f"{summary(drawn)} of {count(len(trainings), 'training')}"
    caption = ", ".join(filter(None, [caption, settings]))
    columns = 3 if has_sharpness else 2
    return panels.sheet(shown, caption, notes, columns, "figure", options.errorbar)


def _trainings(records: list[Record]) -> Iterator[Training]:
    """Yield the checkpoints of each training; the order of `records` does not matter."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        recipe, loss = record["recipe"] or {}, _loss(record)
        if is_number(recipe.get("stop_loss")) and is_number(loss) and loss > 0:
            groups[group_key([_kind(record), recipe.get("seed")])].append(record)
    for group in groups.values():
        yield from map(_moments, _by_history(group))


def _kind(record: Record) -> str:
    """Return all in which the trainings of a line agree: everything but seed and threshold."""
    shared = conditions(record)
    shared.pop("recipe.stop_loss", None)
    return group_key(shared)


def _loss(record: Record) -> float | None:
    """Return the loss in evaluation mode over all that a network was trained on."""
    train, confusion = (lookup(record, f"outcome.{part}_loss") for part in ("train", "confusion"))
    if not is_number(train) or not is_number(confusion):
        return train
    size, more = (lookup(record, f"recipe.{part}") for part in ("subset", "confusion"))
    return (train * size + confusion * more) / (size + more)


def _by_history(records: list[Record]) -> list[list[Record]]:
    """Divide checkpoints of one recipe and seed into trainings, each from first to last.

    A recipe trained twice gives two where another machine or number of threads rounded otherwise.
    """
    trainings: list[list[Record]] = []
    for record in sorted(records, key=_progress, reverse=True):
        history = _history(record)
        for training in trainings:
            if _history(training[0])[: len(history)] == history:
                training.append(record)
                break
        else:
            trainings.append([record])
    return [training[::-1] for training in trainings]


def _progress(record: Record) -> tuple[float, float]:
    """Return a sort key: how far training had gone."""
    return lookup(record, "outcome.epochs") or 0, -_loss(record)


def _history(record: Record) -> list[float]:
    """Return the running loss of each epoch until the checkpoint."""
    return lookup(record, "outcome.history.loss") or []


def _moments(training: list[Record]) -> Training:
    """Return the first checkpoint below each threshold, and the last one.

    Others, of `--save-every` or `--keep-initial`, are left out: no two seeds have the same loss
    there.
    """
    moments: Training = {}
    for record in training:
        threshold = record["recipe"]["stop_loss"]
        if _loss(record) < threshold:
            moments.setdefault((threshold, True), record)
    last = training[-1]
    if all(record is not last for record in moments.values()):
        moments[last["recipe"]["stop_loss"], False] = last
    return moments


def _losses(training: Training) -> int:
    """Count different losses; below two thresholds at once in one epoch it is a single one."""
    return len(set(map(_loss, training.values())))


def _lines(trainings: list[Training]) -> list[Line]:
    """Return the lines of the figure: labels have their colours, other differences their markers.

    Seeds with checkpoints at other thresholds are lines of their own, so that each point of a line
    is a mean over the same seeds.
    """
    groups: dict[tuple[str, frozenset[Moment]], list[Training]] = defaultdict(list)
    for training in trainings:
        groups[_kind(_first(training)), frozenset(training)].append(training)
    divided = [(kind, part) for (kind, _), group in groups.items() for part in _seeds(group)]
    kinds = [kind for kind, _ in divided]
    named = {}
    for kind, group in divided:
        is_seed_named = kinds.count(kind) > 1 and len(group) == 1
        record = _as_named(_first(group[0]), is_seed_named=is_seed_named)
        named[id(record)] = (record, group)
    entries = legend_entries([record for record, _ in named.values()])
    markers = _markers([entry.record for entry in entries])
    return [
        Line(entry, marker, named[id(entry.record)][1])
        for entry, marker in zip(entries, markers, strict=True)
    ]


def _seeds(trainings: list[Training]) -> list[list[Training]]:
    """Return the trainings as one group if their seeds differ; else each of them alone.

    Two trainings of one recipe and one seed, as on two machines, are no two samples.
    """
    seeds = {_first(training)["recipe"].get("seed") for training in trainings}
    return [trainings] if len(seeds) == len(trainings) else [[t] for t in trainings]


def _markers(records: list[Record]) -> list[str]:
    """Return a marker for each network: that of its labels if networks differ in these alone."""
    others = [group_key(settings(record, ("labels",))) for record in records]
    distinct = list(dict.fromkeys(others))
    if len(distinct) == 1:
        return [marker for _, marker in style.looks([r["recipe"]["labels"] for r in records])]
    return [MARKERS[distinct.index(other) % len(MARKERS)] for other in others]


def _first(training: Training) -> Record:
    return next(iter(training.values()))


def _as_named(record: Record, *, is_seed_named: bool) -> Record:
    """Return a record whose recipe has only the keys by which the legend may name a line."""
    hidden = {"stop_loss"} if is_seed_named else {"stop_loss", "seed"}
    recipe = {key: value for key, value in record["recipe"].items() if key not in hidden}
    return record | {"recipe": recipe}


def _panel(
    lines: list[Line],
    records: list[Record],
    name: str,
    reading: Reading,
    notes: list[str],
    errorbar: str | None,
) -> Panel:
    """Return a panel of one measure, as logarithms unless one is 0: means over seeds."""
    key = reading.key(name)
    is_log = all(lookup(record, key) != 0 for record in records)
    value = averages.value_of(key, is_log=is_log)
    curves = [curve for line in lines for curve in _curves(line, key, value, errorbar)]
    y = Axis(reading.label(name), "log10" if is_log else "linear")
    drawn = Panel("", LOSS, y, curves)
    return panels.panel(drawn, notes, reading.missing(records, name))


def _curves(line: Line, key: str, value: averages.Value, errorbar: str | None) -> list[Curve]:
    """Return the curves of a line, at the geometric mean of its seeds' losses at each threshold.

    A threshold at which a seed lacks the measure is left out.
    """
    points: dict[float, averages.SeedPoint] = {}  # below two thresholds at once is one point
    for moment in line.trainings[0]:
        same = [training[moment] for training in line.trainings]
        values = tuple(map(value, same))
        if None not in values:
            x = statistics.fmean(log10(_loss(record)) for record in same)
            is_open = any(is_cut(record, key) for record in same)
            points[x] = averages.SeedPoint(x, values, is_open)
    ordered = [points[x] for x in sorted(points)]
    entry = line.entry
    return averages.curves(ordered, entry.name, entry.colour, line.marker, errorbar)
