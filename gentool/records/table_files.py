"""Write tables to files: CSV, Markdown, LaTeX, JSON Lines, Parquet. No torch.

Files for programs hold every digit and the keys as heads; those for people, Markdown and LaTeX,
hold rounded numbers and words.
"""

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

from gentool.common.errors import GentoolError, UsageError
from gentool.common.json import is_number
from gentool.common.text import printable
from gentool.records.averaging import Average
from gentool.records.cells import Cell, Large, NoValue, has_value, in_words, power_in_words
from gentool.records.key_words import head
from gentool.records.table import Table

DIGITS = 4
FORMATS = ("csv", "md", "tex", "jsonl", "parquet")
ALL_DIGITS = 17  # of a number that no float holds


def format_of(path: Path | None, name: str | None) -> str:
    """Return the format of a file: as named, or by the ending; raise UsageError for others."""
    chosen = name or ("" if path is None else path.suffix.removeprefix("."))
    chosen = {"markdown": "md", "latex": "tex", "ndjson": "jsonl"}.get(chosen, chosen)
    if chosen not in FORMATS:
        known = ", ".join(f".{each}" for each in FORMATS)
        raise UsageError(f"a table is written as {known}; name one with -o FILE or --format")
    return chosen


def as_bytes(table: Table, kind: str, digits: int = DIGITS) -> bytes:
    """Return the content of a file with a table; `digits` are those of Markdown and LaTeX.

    Raise GentoolError if the library for Parquet is not installed.
    """
    if kind == "parquet":
        return _parquet(table)
    writers: dict[str, Callable[[], str]] = {
        "csv": lambda: _csv(table),
        "jsonl": lambda: _json_lines(table),
        "md": lambda: _markdown(table, digits),
        "tex": lambda: _latex(table, digits),
    }
    return writers[kind]().encode("utf-8", errors="backslashreplace")


def flat(table: Table) -> tuple[list[str], list[list[Cell]]]:
    """Return columns and rows in which a mean is three columns: KEY_mean, KEY_sd and KEY_n.

    KEY_n is left out where it is the `n` of the row.
    """
    columns: list[str] = []
    values: list[list[Cell]] = []
    for i, key in enumerate(table.columns):
        cells = [row[i] for row in table.rows]
        if not any(isinstance(cell, Average) for cell in cells):
            columns.append(key)
            values.append(cells)
            continue
        counts = [row[table.columns.index("n")] for row in table.rows]
        n = [cell.n if isinstance(cell, Average) else int(has_value(cell)) for cell in cells]
        columns += [f"{key}_mean", f"{key}_sd"]
        values.append([cell.mean if isinstance(cell, Average) else cell for cell in cells])
        values.append([_sd(cell) for cell in cells])
        if n != counts:
            columns.append(f"{key}_n")
            values.append(n)
    return columns, [list(row) for row in zip(*values, strict=True)] if columns else []


def plain(cell: Cell) -> Cell:
    """Return a cell as Python's own types hold it: None without a value, inf beyond the floats."""
    if isinstance(cell, NoValue):
        return None
    return math.inf if isinstance(cell, Large) else cell


def _sd(cell: Cell) -> Cell:
    if isinstance(cell, Average):
        return NoValue.NULL if cell.sd is None else cell.sd
    return NoValue.ABSENT


def _csv(table: Table) -> str:
    """Return comma-separated values: numbers with all their digits, empty cells without a value."""
    columns, rows = flat(table)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_csv_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def _csv_cell(cell: Cell) -> str:
    if isinstance(cell, NoValue):
        return ""
    if isinstance(cell, Large):
        return power_in_words(cell.log10, ALL_DIGITS)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if is_number(cell):
        return repr(cell)
    return cell if isinstance(cell, str) else json.dumps(cell)


def _json_lines(table: Table) -> str:
    """Return an object a row: null where a file holds null, no entry where none holds the key."""
    columns, rows = flat(table)
    lines = []
    for row in rows:
        cells = zip(columns, row, strict=True)
        entries = {key: _finite(cell) for key, cell in cells if cell is not NoValue.ABSENT}
        lines.append(json.dumps(entries, ensure_ascii=False, allow_nan=False) + "\n")
    return "".join(lines)


def _finite(cell: Cell) -> Cell:
    """Return a cell as strict JSON holds it: without NaN and infinity."""
    value = plain(cell)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parquet(table: Table) -> bytes:
    """Return a Parquet file; columns of numbers and texts together are texts."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise GentoolError(
            "a table as .parquet needs pyarrow; install it with pip install 'gentool[parquet]', or "
            "write .csv"
        ) from None
    columns, rows = flat(table)
    arrays = {}
    for i, key in enumerate(columns):
        values = [plain(row[i]) for row in rows]
        kinds = {type(value) for value in values if value is not None}
        if kinds == {int, float}:
            values = [None if value is None else float(value) for value in values]
        elif len(kinds) > 1 or kinds & {list, tuple, dict}:
            values = [
                None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values
            ]
        arrays[key] = pa.array(values)
    content = io.BytesIO()
    pq.write_table(pa.table(arrays), content)
    return content.getvalue()


def _is_left(table: Table, i: int) -> bool:
    """Return whether a column is aligned left: it holds texts."""
    return any(isinstance(row[i], str) for row in table.rows)


def _markdown(table: Table, digits: int) -> str:
    """Return a table in GitHub's Markdown, its columns aligned in the source too."""
    heads = [_escaped_markdown(head(key)) for key in table.columns]
    rows = [[_escaped_markdown(in_words(cell, digits)) for cell in row] for row in table.rows]
    widths = [
        max(len(row[i]) for row in [heads, *rows, ["---"] * len(heads)]) for i in range(len(heads))
    ]
    lefts = [_is_left(table, i) for i in range(len(heads))]

    def line(cells: list[str]) -> str:
        parts = zip(cells, widths, lefts, strict=True)
        aligned = (cell.ljust(width) if left else cell.rjust(width) for cell, width, left in parts)
        return f"| {' | '.join(aligned)} |\n"

    rule = [
        "-" * width if left else "-" * (width - 1) + ":"
        for width, left in zip(widths, lefts, strict=True)
    ]
    return line(heads) + line(rule) + "".join(map(line, rows))


def _escaped_markdown(text: str) -> str:
    text = printable(text)
    return "".join(f"\\{char}" if char in "\\|`*<" else char for char in text)


def _latex(table: Table, digits: int) -> str:
    r"""Return a tabular of booktabs; numbers with an exponent are in math mode."""
    alignment = "".join("l" if _is_left(table, i) else "r" for i in range(len(table.columns)))
    heads = " & ".join(_escaped_latex(head(key)) for key in table.columns)
    rows = "".join(
        " & ".join(_latex_cell(cell, digits) for cell in row) + " \\\\\n" for row in table.rows
    )
    return (
        "% \\usepackage{booktabs}\n"
        f"\\begin{{tabular}}{{{alignment}}}\n\\toprule\n{heads} \\\\\n\\midrule\n"
        f"{rows}\\bottomrule\n\\end{{tabular}}\n"
    )


def _latex_cell(cell: Cell, digits: int) -> str:
    text = in_words(cell, digits)
    if isinstance(cell, (Average, Large)) or is_number(cell):
        if text.replace(".", "").isdigit():
            return text
        parts = [_latex_number(part) for part in text.split(" ± ")]
        return "$" + r" \pm ".join(parts) + "$"
    return "--" if cell is NoValue.NULL else _escaped_latex(text)


def _latex_number(text: str) -> str:
    mantissa, e, exponent = text.partition("e")
    if not e:
        return {"inf": r"\infty", "-inf": r"-\infty", "nan": r"\mathrm{nan}"}.get(text, text)
    return rf"{mantissa} \times 10^{{{exponent}}}"


_LATEX = {char: f"\\{char}" for char in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "γ": r"$\gamma$",
    "±": r"$\pm$",
}


def _escaped_latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in printable(text))
