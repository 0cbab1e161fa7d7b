"""Prepare what a report says of each network: its training, its layers and their norms, notes."""

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
    """Hold the columns of the layers, after their names, and the parts of all networks."""

    columns: list[Column]
    networks: list[NetworkPart]


def network_parts(networks: Sequence[Record]) -> NetworkParts:
    """Return what is said of each of the merged records, in their order."""
    rows = {n["checkpoint"]["sha256"]: layer_records(n) for n in networks}
    columns = layer_columns([row for of_network in rows.values() for row in of_network])
    names = names_of(networks)
    parts = [
        NetworkPart(
            names[digest],
            digest,
            _outcome(record),
            [[_text(row, key) for key in (LAYER, *columns)] for row in rows[digest]],
            [printable(str(note)) for note in record["notes"]],
        )
        for digest, record in ((n["checkpoint"]["sha256"], n) for n in networks)
    ]
    return NetworkParts([Column(key, head(key), explanation(key), True) for key in columns], parts)


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
