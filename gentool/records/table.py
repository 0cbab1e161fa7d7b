"""Make a table of records: a row a network, a layer or a group; a column a key. No torch."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from gentool.common.json import is_number
from gentool.records.averaging import Average
from gentool.records.cells import Cell, Large, cell, has_value
from gentool.records.conditions import Condition, chosen
from gentool.records.grouping import COUNT, Group, grouped
from gentool.records.key_words import head
from gentool.records.keys import DIGEST, FILE, default_columns, expanded, tell_apart, varying
from gentool.records.measure_file import Record, check_key
from gentool.records.table_notes import notes_on

LAYER = "layer.name"
SEED = "recipe.seed"
NORMS_OF_LAYERS = (
    "layer.frobenius",
    "layer.spectral",
    "layer.frobenius_operator",
    "layer.spectral_operator",
)
Row = Callable[[str], Cell]
"""A row is a function of a key, so that it can be sorted by keys that are no columns."""


@dataclass(frozen=True)
class TableOptions:
    """Hold what a table shows: keys, conditions, order, groups; empty for the default.

    A key of `sort` that begins with a minus sorts from the largest down.
    """

    columns: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    sort: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ()
    layers: bool = False


@dataclass(frozen=True)
class Table:
    """Hold a table: the key of each column, its rows, and notes on what its cells lack.

    The first `words` columns say which network a row is about. `files_can_go` is true if those of
    them that follow the file tell all rows apart without it.
    """

    columns: list[str]
    rows: list[list[Cell]]
    words: int
    notes: list[str] = field(default_factory=list)
    files_can_go: bool = False


def make_table(networks: list[Record], options: TableOptions) -> Table:
    """Return the table of merged records, one a checkpoint.

    Raise UsageError for an unknown key, GentoolError if no network meets the conditions.
    """
    records = [row for n in networks for row in layer_records(n)] if options.layers else networks
    for key in (*(key.removeprefix("-") for key in options.sort), *options.group_by):
        check_key(records, key)
    columns = expanded(records, list(options.columns))
    records, notes = chosen(records, list(options.where))
    settings = varying(records)
    columns = columns or _default(records, options)
    if options.group_by:
        return _of_groups(records, columns, options, notes)
    own = [FILE, DIGEST, *settings, *([LAYER] if options.layers else [])]
    rows = [_row_of(record) for record in records]
    files_can_go = not options.columns and tell_apart(records, own[2:])
    if not options.columns and not files_can_go and not tell_apart(records, [FILE, *own[2:]]):
        columns.insert(1, DIGEST)  # several files of one name
    order = options.sort or (*settings, FILE)
    return Table(
        columns,
        _cells(_sorted(rows, order), columns),
        _leading(columns, own),
        [*notes, *notes_on(records, columns)],
        files_can_go,
    )


def _of_groups(
    records: list[Record], columns: list[str], options: TableOptions, notes: list[str]
) -> Table:
    """Return a table with a row for each group of networks that differ in their seed alone."""
    own = {FILE, DIGEST, SEED, *options.group_by}
    values = [key for key in columns if key not in own and not key.startswith("recipe.")]
    groups, keys = grouped(records, values, options.group_by)
    others = [key for key in keys if key not in options.group_by and key != LAYER]
    if others:
        notes = [
            *notes,
            f"networks differ in {', '.join(map(head, others))} too, and only those that differ in "
            "their seed alone are averaged: more rows, with these columns",
        ]
    shown = [key for key in columns if key.startswith("recipe.") and key not in (*own, *keys)]
    shown = shown if options.columns else []
    rows = _sorted([group.cell for group in groups], options.sort or tuple(keys))
    notes = [*notes, *_fewer(groups, values), *notes_on(records, values)]
    columns = [*keys, *shown, COUNT, *values]
    return Table(columns, _cells(rows, columns), len(keys), notes)


def _fewer(groups: list[Group], columns: list[str]) -> list[str]:
    """Say which averages are over fewer networks than their row has."""
    notes = []
    for key in columns:
        cells = [(group.cell(key), group.cell(COUNT)) for group in groups]
        few = [value.n for value, n in cells if isinstance(value, Average) and value.n < n]
        if few:
            notes.append(
                f"{head(key)} is known of fewer networks than n in {len(few)} of {len(groups)} rows"
            )
    return notes


def _default(records: list[Record], options: TableOptions) -> list[str]:
    """Return the columns of a table for which none are named."""
    if not options.layers:
        return default_columns(records)
    return [FILE, *varying(records), LAYER, *layer_columns(records)]


def layer_columns(records: list[Record]) -> list[str]:
    """Return the keys of the sizes and norms of layers that some of these layers have."""
    known = {f"layer.{name}" for record in records for name in record["layer"]}
    sizes = ("layer.shape", "layer.channels", "layer.units")
    return [key for key in (*sizes, *NORMS_OF_LAYERS) if key in known]


def layer_records(record: Record) -> list[Record]:
    """Return a record for each weight layer, with its sizes and norms as `layer`."""
    layers = record.get("layers") or []
    return [record | {"layer": layer} for layer in layers if isinstance(layer, dict)]


def _row_of(record: Record) -> Row:
    return lambda key: cell(record, key)


def _cells(rows: list[Row], columns: list[str]) -> list[list[Cell]]:
    return [[row(key) for key in columns] for row in rows]


def _leading(columns: list[str], own: list[str]) -> int:
    """Count the first columns that say which network a row is about."""
    others = [i for i, key in enumerate(columns) if key not in own]
    return others[0] if others else len(columns)


def _sorted(rows: list[Row], keys: tuple[str, ...]) -> list[Row]:
    """Return rows in the order of keys; rows without a value are the last in both directions."""
    for key in reversed(keys):
        name = key.removeprefix("-")
        present = [row for row in rows if has_value(row(name))]
        missing = [row for row in rows if not has_value(row(name))]
        present.sort(key=lambda row, name=name: place(row(name)), reverse=key != name)
        rows = [*present, *missing]
    return rows


def place(value: Cell) -> tuple:
    """Return the place of a cell in the order: numbers, then texts, in which 8 is before 16."""
    if isinstance(value, Average):
        value = value.mean
    if isinstance(value, Large):
        return (0, math.inf, value.log10)
    if is_number(value):
        return (0, value, 0.0)
    parts = re.split(r"(\d+)", str(value))
    return (1, [(int(part), "") if part.isdecimal() else (-1, part) for part in parts])
