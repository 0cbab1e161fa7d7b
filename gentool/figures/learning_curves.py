"""Prepare a figure of the course of training: loss and error of each epoch, in training mode."""

import math
from dataclasses import replace

from gentool.common.errors import GentoolError
from gentool.figures import panels
from gentool.figures.legend import LegendEntry, legend_entries, summary
from gentool.figures.registry import FIGURES, FigureOptions
from gentool.figures.selection import count
from gentool.figures.sheet import Axis, Curve, Panel, Sheet
from gentool.records.measure_file import Record, lookup

FIT, GAVE_UP = "o", "X"  # how training ended
FAR = 8  # times the epochs of the shortest training: from here on the axis is logarithmic


@FIGURES.register("training", "outcomes")
def training(records: list[Record], options: FigureOptions) -> Sheet:
    """Prepare loss and error over the epochs of training, one curve for each network."""
    trained = [record for record in records if lookup(record, "outcome.history.epoch")]
    if not trained:
        raise GentoolError(
            "none of these files holds the history of a training; gentool train writes it into "
            "checkpoints, gentool measure into measure files"
        )
    notes = []
    if missing := len(records) - len(trained):
        notes.append(f"{count(missing, 'network')} without a history left out")
    trained, repeated = _each_training_once(trained)
    if repeated:
        words = "with the history of another one, as perturbed or earlier checkpoints have"
        notes.append(f"{count(repeated, 'network')} left out {words}")
    networks = legend_entries(trained)
    lengths = [len(_history(record)) for record in trained]
    is_log = max(lengths) >= FAR * min(lengths)
    epochs = Axis("epoch", "log" if is_log else "linear", low=None if is_log else 0)
    losses = [_curve(entry, "loss") for entry in networks]
    shown = [
        Panel("training loss", epochs, Axis("loss, mean of the epoch", "log10"), losses),
        Panel(
            "training error",
            epochs,
            Axis("error, mean of the epoch"),
            [_curve(entry, "error") for entry in networks],
        ),
    ]
    return Sheet(
        [panels.panel(panel, notes) for panel in shown],
        f"{summary(trained)}; in training mode; {_ends(trained)}",
        legends="figure",
        notes=notes,
    )


def _each_training_once(records: list[Record]) -> tuple[list[Record], int]:
    """Return the last checkpoint of each training, and how many others were left out.

    Of checkpoints with one history, the one with the lower loss is the unperturbed one.
    """
    ordered = sorted(records, key=_progress)
    kept: list[Record] = []
    for record in ordered:
        history = _history(record)
        if not any(_history(other)[: len(history)] == history for other in kept):
            kept.append(record)
    return [record for record in records if record in kept], len(records) - len(kept)


def _progress(record: Record) -> tuple[float, float]:
    loss = lookup(record, "outcome.train_loss")
    return -len(_history(record)), math.inf if loss is None else loss


def _history(record: Record) -> list[tuple]:
    history = record["outcome"]["history"]
    return list(zip(history["epoch"], history["loss"], history["error"], strict=True))


def _curve(entry: LegendEntry, key: str) -> Curve:
    """Return the curve of log10 of the loss, or of the error, with the last epoch marked."""
    history = entry.record["outcome"]["history"]
    points = [
        (epoch, value)
        for epoch, value in zip(history["epoch"], history[key], strict=True)
        if value is not None and math.isfinite(value) and (value > 0 or key == "error")
    ]
    x, y = zip(*points, strict=True) if points else ((), ())
    last = (len(x) - 1,)
    marker = _marker(entry.record)
    curve = Curve(entry.name, x, y, entry.colour, marker, dash=entry.dash, marked=last)
    return replace(curve, y=tuple(map(math.log10, y))) if key == "loss" else curve


def _marker(record: Record) -> str:
    return FIT if record["outcome"]["stop_rule_met"] else GAVE_UP


def _ends(records: list[Record]) -> str:
    """Return what the markers of these networks mean."""
    words = {FIT: "dots: stopping rule met", GAVE_UP: "crosses: not met"}
    return "; ".join(words[marker] for marker in words if marker in map(_marker, records))
