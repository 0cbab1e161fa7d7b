"""Explain the cells of a table: values that are missing, cut short or made with other settings."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable

from gentool.common.json import is_number
from gentool.records.cells import Large, NoValue, cell, has_value
from gentool.records.key_words import head
from gentool.records.measure_file import DERIVED, Record, lookup
from gentool.records.settings import (
    OF_BOX_SIZES,
    OF_NOISE_LEVELS,
    in_words,
    is_cut,
    settings_of,
)

NAMES_SHOWN = 3
MOST_SETTINGS = 4
_NUMBER = re.compile(r"-?\d[\d.]*(?:e[-+]?\d+)?")


def notes_on(records: list[Record], columns: Iterable[str]) -> list[str]:
    """Return what a reader of these columns must know, one line a reason: see the functions."""
    measures = list(dict.fromkeys(map(_measure, columns)))
    measures = [key for key in measures if "." not in key and key not in DERIVED]
    return [
        *_missing(records, measures),
        *_null(records, measures),
        *_not_finite(records, columns),
        *_mixed(records, measures),
        *_cut(records, measures),
    ]


def command_for(key: str) -> str:
    """Return the command that computes a measure."""
    if key.startswith(("expected_", "pac_bayes_bound", "pac_bayes_error_bound")):
        return "gentool sharpness --expected"
    if key.startswith(("hessian_", "sharpness_magnitude", *OF_NOISE_LEVELS, *OF_BOX_SIZES)):
        return "gentool sharpness --flatness"
    return f"gentool {'sharpness' if key.startswith('sharpness') else 'measure'}"


def _measure(key: str) -> str:
    return key.removeprefix("log10.")


def _missing(records: list[Record], measures: list[str]) -> list[str]:
    """Say which measures some networks lack, and the command for them."""
    lacking = defaultdict(list)
    for key in measures:
        count = sum(cell(record, key) is NoValue.ABSENT for record in records)
        if count:
            lacking[count, command_for(key)].append(head(key))
    return [
        f"{_listed(names)} not measured in {_of(count, records)} (empty cells): {command}"
        for (count, command), names in lacking.items()
    ]


def _null(records: list[Record], measures: list[str]) -> list[str]:
    """Say why measures are null, measures of the same networks and reason in one line."""
    reasons = defaultdict(dict)
    for key in measures:
        for i, record in enumerate(records):
            if cell(record, key) is NoValue.NULL:
                reason = _reason(record, key)
                masked = _NUMBER.sub("#", reason)
                reasons[masked].setdefault(key, []).append((i, reason))
    lines = defaultdict(list)
    for by_key in reasons.values():
        for key, places in by_key.items():
            first = places[0][1]
            others = " and the like" if len({reason for _, reason in places}) > 1 else ""
            lines[len(places), first + others].append(head(key))
    return [
        f"no {_listed(names)} in {_of(count, records)} (-): {reason}"
        for (count, reason), names in lines.items()
    ]


def _reason(record: Record, key: str) -> str:
    """Return the note of a record on a measure."""
    prefix = f"{key}: "
    found = [note for note in record["notes"] if isinstance(note, str) and note.startswith(prefix)]
    return found[0].removeprefix(prefix) if found else "its file does not say why"


def _not_finite(records: list[Record], columns: Iterable[str]) -> list[str]:
    """Say which columns hold numbers that are larger than a float."""
    notes = []
    for key in columns:
        if count := sum(isinstance(cell(record, key), Large) for record in records):
            notes.append(
                f"{head(key)} is larger than 1.8e308 in {_of(count, records)}, which most programs "
                f"read as infinite; log10.{key} is not"
            )
    return notes


def _mixed(records: list[Record], measures: list[str]) -> list[str]:
    """Say which measures were computed with several settings, so that they cannot be compared."""
    notes = defaultdict(list)
    for key in measures:
        made = [settings_of(record, key) for record in records if has_value(cell(record, key))]
        for name in dict.fromkeys(name for settings in made for name in settings):
            counts: dict[str, int] = defaultdict(int)
            for settings in made:
                value = settings.get(name)
                if is_number(value) and not isinstance(value, int):
                    value = float(f"{value:.9g}")
                counts[in_words(name, value) if value is not None else f"no {name}"] += 1
            if len(counts) > 1:
                listed = [f"{words} in {count}" for words, count in counts.items()]
                more = ", ..." if len(listed) > MOST_SETTINGS else ""
                notes[", ".join(listed[:MOST_SETTINGS]) + more].append(head(key))
    return [
        f"{_listed(names)} measured with different settings, not to be compared: {values}"
        for values, names in notes.items()
    ]


def _cut(records: list[Record], measures: list[str]) -> list[str]:
    """Name the networks whose search or sampling was cut short."""
    notes = defaultdict(list)
    for key in measures:
        names = [
            str(lookup(record, "checkpoint.file"))
            for record in records
            if has_value(cell(record, key)) and is_cut(record, key)
        ]
        if names:
            notes[json.dumps(names)].append(head(key))
    lines = []
    for text, keys in notes.items():
        names = json.loads(text)
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        listed = ", ".join(names[:NAMES_SHOWN])
        lines.append(f"{_listed(keys)} cut short before the end in {listed}{more}")
    return lines


def _listed(names: list[str]) -> str:
    shown = list(dict.fromkeys(names))
    more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
    return ", ".join(shown[:6]) + more


def _of(count: int, records: list[Record]) -> str:
    total = len(records)
    return f"all {total} rows" if count == total > 1 else f"{count} of {total} rows"
