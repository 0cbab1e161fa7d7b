"""Make curves from records: averaged over runs, rescaled, or of expected sharpness against KL."""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from gentool.common.json import is_number
from gentool.figures.selection import count
from gentool.figures.sheet import Curve
from gentool.records.measure_file import Record, log10_of, lookup

COMMANDS = {
    "sharpness": "gentool sharpness",
    "expected sharpness": "gentool sharpness --expected",
}
DECADES_FOR_LOG = 1.5  # that values span on a logarithmic axis
FAINT = 0.01  # expected sharpness, below which the curves are long, flat and not drawn
Values = list[tuple[float, float]]  # x, value of one network each


def values(records: list[Record], x: str, key: str, *, is_log: bool = False) -> Values:
    """Return x and the value (or its log10) under a key of each network that has a value."""
    pairs = []
    for record in records:
        value = log10_of(record, key) if is_log else lookup(record, key)
        if is_number(value):
            pairs.append((float(lookup(record, x)), float(value)))
    return pairs


def averaged(values: Values, label: str, colour: str, marker: str) -> Curve:
    """Return the curve of the mean at each x, with bars from lowest to highest over the runs.

    Every average over runs in a figure is made here. There are no bars if no x has several runs.
    """
    groups: dict[float, list[float]] = defaultdict(list)
    for x, value in values:
        groups[x].append(value)
    ordered = sorted(groups.items())
    several = any(len(group) > 1 for group in groups.values())
    return Curve(
        label,
        tuple(x for x, _ in ordered),
        tuple(statistics.fmean(group) for _, group in ordered),
        colour,
        marker,
        low=tuple(min(group) for _, group in ordered) if several else None,
        high=tuple(max(group) for _, group in ordered) if several else None,
    )


def relative(records: list[Record], x: str, key: str) -> Values:
    """Return values divided by the largest, so that none overflows, however large they are."""
    logs = values(records, x, key, is_log=True)
    if not logs or len(logs) < len(values(records, x, key)):  # some are 0, which has no log
        return values(records, x, key)
    top = max(log for _, log in logs)
    return [(place, 10 ** (log - top)) for place, log in logs]


def rescaled(curve: Curve) -> Curve | None:
    """Return the curve rescaled to [0, 1]; None if all its points are equal."""
    low, high = min(curve.y), max(curve.y)
    if low == high:
        return None

    def scale(numbers: tuple[float, ...] | None) -> tuple[float, ...] | None:
        return numbers and tuple((number - low) / (high - low) for number in numbers)

    return replace(curve, y=scale(curve.y), low=scale(curve.low), high=scale(curve.high))


def rows(record: Record) -> list[dict]:
    """Return the points of a record's curve of expected sharpness, without those that are null."""
    curve = (record.get("expected_sharpness") or {}).get("curve") or []
    needed = ("value", "stderr", "kl_without_half")
    return [row for row in curve if all(row.get(name) is not None for name in needed)]


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
    """Return why a measure is missing, the first of the notes on it; empty without a note."""
    prefix = f"{name}: "
    notes = [note for record in records for note in record["notes"] if note.startswith(prefix)]
    return min(notes).removeprefix(prefix) if notes else ""


def _has(record: Record, name: str) -> bool:
    if name == "expected sharpness":
        return bool(rows(record))
    value = lookup(record, name)
    return value is not None or (math.isfinite(log10_of(record, name) or math.inf))
