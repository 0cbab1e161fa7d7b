"""Prepare the table of a report: a row a network, a column a key, with what sorting it needs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gentool.common.json import is_number
from gentool.common.text import printable
from gentool.records.cells import Cell, Large, NoValue, has_value, in_words, power_in_words
from gentool.records.key_words import explanation, head
from gentool.records.keys import DIGEST, FILE, default_columns, expanded
from gentool.records.measure_file import Record, lookup
from gentool.records.table import TableOptions, make_table, place

DIGITS = 4
ALL_DIGITS = 17
SUFFIX = ".safetensors"  # of nearly all files: names are read without it


@dataclass(frozen=True)
class Column:
    """Hold the key of a column, its head, what it means, and whether its cells are numbers."""

    key: str
    head: str
    explanation: str
    is_number: bool


@dataclass(frozen=True)
class HtmlCell:
    """Hold a cell: its text, its rank among those of its column, and its value with all digits.

    The rank is None where there is no value; `value` is None where the text is the value.
    """

    text: str
    rank: int | None = None
    value: str | None = None


@dataclass(frozen=True)
class NetworkRow:
    """Hold a row: the digest of the network, its name with its rank, and the other cells."""

    digest: str
    name: str
    rank: int
    cells: list[HtmlCell]


@dataclass(frozen=True)
class NetworkTable:
    """Hold the columns after the network's name, the rows, and notes on what cells lack."""

    columns: list[Column]
    rows: list[NetworkRow]
    notes: list[str]


def names_of(networks: Sequence[Record]) -> dict[str, str]:
    """Return the name of each network by its digest: its file, with the digest where two share it.

    One without a file has its digest alone.
    """
    files = {n["checkpoint"]["sha256"]: lookup(n, FILE) for n in networks}
    counts = Counter(files.values())
    return {
        digest: printable(str(file).removesuffix(SUFFIX)) + f" ({digest[:8]})" * (counts[file] > 1)
        if file
        else digest[:8]
        for digest, file in files.items()
    }


def network_table(
    networks: list[Record], columns: Sequence[str] = (), sort: Sequence[str] = ()
) -> NetworkTable:
    """Return the table of merged records, with the columns of `gentool table` if none are named.

    Raise UsageError for an unknown key.
    """
    keys = expanded(networks, list(columns)) if columns else default_columns(networks)
    keys = [key for key in keys if key != FILE]
    made = make_table(networks, TableOptions((FILE, *keys, DIGEST), sort=tuple(sort)))
    digests = [row[made.columns.index(DIGEST)] for row in made.rows]
    names = names_of(networks)
    ranks = _ranks([names[digest] for digest in digests])
    cells = [html_cells([row[made.columns.index(key)] for row in made.rows]) for key in keys]
    return NetworkTable(
        [_column(key, [row[made.columns.index(key)] for row in made.rows]) for key in keys],
        [
            NetworkRow(digest, names[digest], ranks[i], [column[i] for column in cells])
            for i, digest in enumerate(digests)
        ],
        made.notes,
    )


def html_cells(cells: Sequence[Cell]) -> list[HtmlCell]:
    """Return the cells of one column with their texts, ranks and values."""
    ranks = _ranks(cells)
    ranked = zip(cells, ranks, strict=True)
    return [HtmlCell(_text(cell), rank, _value(cell)) for cell, rank in ranked]


def _column(key: str, cells: Sequence[Cell]) -> Column:
    values = [cell for cell in cells if has_value(cell)]
    numeric = bool(values) and all(isinstance(v, Large) or is_number(v) for v in values)
    return Column(key, head(key), explanation(key) or key, numeric)


def _text(cell: Cell) -> str:
    return printable(in_words(cell, DIGITS))


def _value(cell: Cell) -> str | None:
    """Return a number with all its digits; None for a text, or a number that its text shows."""
    if isinstance(cell, Large):
        return power_in_words(cell.log10, ALL_DIGITS)
    if not is_number(cell) or float(in_words(cell, DIGITS)) == cell:
        return None
    return repr(cell)


def _ranks(cells: Sequence[Cell]) -> list[int | None]:
    """Return the place of each cell in the order of the column; equal ones share theirs."""
    places = [None if isinstance(cell, NoValue) else place(cell) for cell in cells]
    ordered = sorted(p for p in places if p is not None)
    first = {}
    for rank, key in enumerate(ordered):
        first.setdefault(repr(key), rank)
    return [None if p is None else first[repr(p)] for p in places]
