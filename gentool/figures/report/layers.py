"""Prepare what a report says of each network: its training, its layers and their norms, notes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from gentool.common.text import printable
from gentool.figures.report.networks import DIGITS, Column, names_of
from gentool.records.cells import cell, in_words
from gentool.records.key_words import explanation, head
from gentool.records.measure_file import Record
from gentool.records.table import LAYER, layer_columns, layer_records


@dataclass(frozen=True)
class NetworkPart:
    """Hold what is said of one network: name, digest, facts, rows of its layers, notes."""

    name: str
    digest: str
    outcome: str
    layers: list[list[str]]
    notes: list[str]


@dataclass(frozen=True)
class NetworkParts:
    """Hold the columns of the layers, after their names, and the parts of all networks.

    `notes` are those that all of several networks have; the parts are without them.
    """

    columns: list[Column]
    networks: list[NetworkPart]
    notes: list[str]


def network_parts(networks: Sequence[Record]) -> NetworkParts:
    """Return what is said of each of the merged records, in their order."""
    rows = {n["checkpoint"]["sha256"]: layer_records(n) for n in networks}
    columns = layer_columns([row for of_network in rows.values() for row in of_network])
    names = names_of(networks)
    notes = {n["checkpoint"]["sha256"]: _notes(n) for n in networks}
    shared = [each for each in _first(notes) if all(each in of for of in notes.values())]
    shared = shared if len(networks) > 1 else []
    parts = [
        NetworkPart(
            names[digest],
            digest,
            _outcome(record),
            [[_text(row, key) for key in (LAYER, *columns)] for row in rows[digest]],
            [note for note in notes[digest] if note not in shared],
        )
        for digest, record in ((n["checkpoint"]["sha256"], n) for n in networks)
    ]
    heads = [Column(key, head(key), explanation(key), True) for key in columns]
    return NetworkParts(heads, parts, shared)


def _first(notes: dict[str, list[str]]) -> list[str]:
    return next(iter(notes.values()), [])


def _notes(record: Record) -> list[str]:
    """Return the notes of a record; measures that lack a value for one reason are one note."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for note in map(str, record["notes"]):
        name, colon, reason = note.partition(": ")
        is_of_measure = colon and name in record["measures"]
        reasons[reason if is_of_measure else note] += [name] * bool(is_of_measure)
    return [
        printable(f"no {', '.join(names)}: {reason}" if names else reason)
        for reason, names in reasons.items()
    ]


def _text(row: Record, key: str) -> str:
    return printable(in_words(cell(row, key), DIGITS))


def _outcome(record: Record) -> str:
    """Return how a training ended: `epochs 24, stop rule met yes, ...`; empty if it is unknown."""
    values = (record.get("outcome") or {}).items()
    facts = [
        f"{name.replace('_', ' ')} {in_words(value, DIGITS)}"
        for name, value in values
        if value is not None and not isinstance(value, dict)
    ]
    return printable(", ".join(facts))
