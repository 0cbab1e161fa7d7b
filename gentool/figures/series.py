"""Make curves of expected sharpness against KL, and say why measures are missing."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from gentool.common.json import is_number
from gentool.figures import averages
from gentool.figures.selection import count
from gentool.figures.sheet import Curve
from gentool.records.measure_file import Record, log10_of, lookup

COMMANDS = {
    "sharpness": "gentool sharpness",
    "expected sharpness": "gentool sharpness --expected",
}
DECADES_FOR_LOG = 1.0  # that values span on a logarithmic axis
FAINT = 0.01  # expected sharpness, below which the curves are long, flat and not drawn


def relative(records: list[Record], key: str) -> averages.Value:
    """Return a function that reads values over the largest, so that none overflows."""
    logs = [log for record in records if is_number(log := log10_of(record, key))]
    numbers = [record for record in records if is_number(lookup(record, key))]
    if not logs or len(logs) < len(numbers):  # some are 0, which has no log
        return averages.value_of(key, is_log=False)
    top, log_of = max(logs), averages.value_of(key, is_log=True)
    return lambda record: None if (log := log_of(record)) is None else 10 ** (log - top)


def rows(record: Record) -> list[dict]:
    """Return the points of a record's curve of expected sharpness, without those that are null."""
    curve = (record.get("expected_sharpness") or {}).get("curve") or []
    needed = ("value", "stderr", "kl_without_half")
    return [row for row in curve if all(row.get(name) is not None for name in needed)]


def on_kl(runs: list[Record], label: str, colour: str) -> list[Curve]:
    """Return the curve of the mean over runs at the same noise, with a band over the runs.

    The band of a single run is one standard error. Runs without noise in common have a thin curve
    each.
    """
    if len(runs) < 2:
        return [against_kl(run, label, colour) for run in runs]
    by_noise = [{row.get("alpha"): row for row in rows(run)} for run in runs]
    shared = [alpha for alpha in by_noise[0] if all(alpha in points for points in by_noise)]
    if len(shared) < 2:
        return [against_kl(run, label, colour, is_thin=True) for run in runs]
    points = [[points[alpha] for points in by_noise] for alpha in shared]
    means = [
        (statistics.fmean(row["kl_without_half"] for row in same), same)
        for same in points
        if statistics.fmean(row["value"] for row in same) >= FAINT
    ]
    means.sort(key=lambda mean: mean[0])
    values = [[row["value"] for row in same] for _, same in means]
    return [
        Curve(
            label,
            tuple(kl for kl, _ in means),
            tuple(map(statistics.fmean, values)),
            colour,
            low=tuple(map(min, values)),
            high=tuple(map(max, values)),
            is_band=True,
            is_mean=True,
        )
    ]


def against_kl(record: Record, label: str, colour: str, *, is_thin: bool = False) -> Curve:
    """Return a curve of expected sharpness against KL, with a band of one standard error."""
    points = sorted(rows(record), key=lambda row: row["kl_without_half"])
    points = [row for row in points if row["value"] >= FAINT] or points
    return Curve(
        label,
        tuple(row["kl_without_half"] for row in points),
        tuple(row["value"] for row in points),
        colour,
        low=tuple(row["value"] - row["stderr"] for row in points),
        high=tuple(row["value"] + row["stderr"] for row in points),
        is_band=True,
        is_thin=is_thin,
    )


def in_range(curve: Curve) -> Curve:
    """Return a curve of the paper without the points below the range of ours."""
    kept = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if y >= FAINT]
    x, y = zip(*kept, strict=True)
    return replace(curve, x=x, y=y)


def evenly_chosen(
    values: Sequence[float], preferred: Sequence[float] = (), most: int = 6
) -> list[float]:
    """Return the preferred values if all are there, else at most `most` values, evenly spread."""
    distinct = sorted(set(values))
    if preferred and set(preferred) <= set(distinct):
        return list(preferred)
    if len(distinct) <= most:
        return distinct
    return [distinct[round(i * (len(distinct) - 1) / (most - 1))] for i in range(most)]


def missing(records: list[Record], name: str) -> str:
    """Return why networks lack a measure, and the command for it; empty if all have it."""
    without = [record for record in records if not _has(record, name)]
    if not without:
        return ""
    remedy = reason(without, name) or f"run {COMMANDS.get(name, 'gentool measure')}"
    who = "" if len(without) == len(records) else f" ({count(len(without), 'network')})"
    return f"no {name}{who}: {remedy}"


def reason(records: list[Record], name: str) -> str:
    """Return why a measure is missing, by the first of the notes on it; empty without a note."""
    prefix = f"{name}: "
    notes = {note for record in records for note in record["notes"] if note.startswith(prefix)}
    if not notes:
        return ""
    first = min(notes).removeprefix(prefix)
    return first if len(notes) == 1 else f"of one of them: {first}"


def _has(record: Record, name: str) -> bool:
    if name == "expected sharpness":
        return bool(rows(record))
    value = lookup(record, name)
    return value is not None or (math.isfinite(log10_of(record, name) or math.inf))
