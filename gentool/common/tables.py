"""Print tables that fit the terminal: heads wrap between words, wide tables are cut into parts.

The trap avoided: rich narrows every column of a table that is too wide, and folds its numbers.
"""

import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, TextIO

from gentool.common.console import has_unicode
from gentool.common.text import printable

if TYPE_CHECKING:  # rich takes a tenth of a second to import, which --help need not pay
    from rich.console import Console

GAP = 2  # spaces between two columns
UNLIMITED = 100_000  # characters of a line, where no terminal ends it
SEPARATORS = "_-./"  # after which a long name is cut
LEAST_TEXT = 16  # characters of a column of texts that are wrapped


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    words: int = 1,
    *,
    ends_in_text: bool = False,
    file: TextIO | None = None,
) -> None:
    """Print a table with its first `words` columns aligned left and the others aligned right.

    If it `ends_in_text`, the last column is aligned left too, and wrapped to the rest of the line.

    A table that is wider than the terminal is cut into parts with some of the other columns each,
    and with the first ones again; of these, long texts are wrapped. It goes to stderr, or to
    another `file`. A file that is no terminal has lines of any length; stderr has 80 characters
    then, or those of $COLUMNS.
    """
    from rich.text import Text  # plain text: brackets and colons in a name are not markup

    console = _console(file or sys.stderr)
    columns = [printable(column) for column in columns]
    rows = [[printable(text) for text in row] for row in rows]
    widths = [_width(column, [row[i] for row in rows]) for i, column in enumerate(columns)]
    lefts = {*range(words), *([len(columns) - 1] if ends_in_text else [])}
    if ends_in_text:
        used = sum(width + GAP for width in widths[:-1])
        widths[-1] = min(widths[-1], max(LEAST_TEXT, console.width - used))
    widths = _narrowed(widths, words, console.width)
    line = "─" if has_unicode(console.encoding) else "-"
    if title:
        console.print(Text(printable(title), style="bold"), soft_wrap=True)
    for number, part in enumerate(_parts(widths, words, console.width)):
        if number:
            console.print()
        of_part = [widths[i] for i in part]
        left = [i in lefts for i in part]
        head = _lines([columns[i] for i in part], of_part, left, is_head=True)
        body = [_lines([row[i] for i in part], of_part, left) for row in rows]
        rule = line * (sum(of_part) + GAP * (len(part) - 1))
        console.print(Text("\n".join(head), style="bold"), soft_wrap=True)
        lines = [rule, *(line for lines in body for line in lines)]
        console.print(Text("\n".join(lines)), soft_wrap=True)


def print_explanations(pairs: Iterable[tuple[str, str]], *, file: TextIO | None = None) -> None:
    """Print what each head of a table means: a line each, heads aligned, wrapped between words."""
    from rich.text import Text

    pairs = [(printable(head), printable(text)) for head, text in pairs if text]
    if not pairs:
        return
    console = _console(file or sys.stderr)
    indent = max(len(head) for head, _ in pairs) + GAP
    for head, text in pairs:
        room = max(console.width - indent, LEAST_TEXT)
        lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        console.print(Text(f"{head:{indent}}" + f"\n{'':{indent}}".join(lines), style="dim"))


def _console(file: TextIO) -> "Console":
    """Return a console on a file, without colour if that is no terminal."""
    from rich.console import Console

    is_free = file is not sys.stderr and not file.isatty() and "COLUMNS" not in os.environ
    return Console(file=file, highlight=False, width=UNLIMITED if is_free else None)


def _width(column: str, cells: Sequence[str]) -> int:
    """Return the width of a column: of its widest cell, and of the longest word of its head."""
    from rich.cells import cell_len

    return max([*map(cell_len, cells), *map(cell_len, column.split()), 1])


def _narrowed(widths: Sequence[int], words: int, room: int) -> list[int]:
    """Return widths in which the first columns, of words, leave half of the room to the others."""
    widths = list(widths)
    others = sum(width + GAP for width in widths[words:])
    needed = min(others, max(room // 2, max(widths[words:], default=0) + GAP))
    while sum(width + GAP for width in widths[:words]) - GAP + needed > room:
        widest = max(range(words), key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= LEAST_TEXT:
            break
        widths[widest] -= 1
    return widths


def _parts(widths: Sequence[int], words: int, room: int) -> list[list[int]]:
    """Return the columns of each part of a table, so that none is wider than `room`."""
    own = list(range(words))
    used = sum(widths[i] + GAP for i in own) - GAP
    parts: list[list[int]] = [[]]
    left = room - used
    for i in range(words, len(widths)):
        if parts[-1] and widths[i] + GAP > left:
            parts.append([])
            left = room - used
        parts[-1].append(i)
        left -= widths[i] + GAP
    return [[*own, *part] for part in parts]


def _lines(
    cells: Sequence[str], widths: Sequence[int], lefts: Sequence[bool], *, is_head: bool = False
) -> list[str]:
    """Return the lines of a row: texts wrapped between words to the widths, and aligned.

    Those of a head stand at the bottom. Not by rich's Table, which takes half of the time of a
    table of 1,000 rows.
    """
    wrapped = [_wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    if is_head:
        height = max(map(len, wrapped))
        wrapped = [[""] * (height - len(lines)) + lines for lines in wrapped]
    lines = []
    for texts in zip_longest(*wrapped, fillvalue=""):
        aligned = [
            _padded(text, width, is_left=is_left)
            for text, width, is_left in zip(texts, widths, lefts, strict=True)
        ]
        lines.append((" " * GAP).join(aligned).rstrip())
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text; a word that is longer than a line is cut after a separator."""
    if len(text) <= width:
        return [text]
    indent = " " * (len(text) - len(text.lstrip()))
    lines = []
    for line in textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ):
        while len(line) > width:
            cut = max(line.rfind(char, 0, width) for char in SEPARATORS) + 1 or width
            lines.append(line[:cut])
            line = line[cut:]
        lines.append(line)
    return lines or [""]


def _padded(text: str, width: int, *, is_left: bool) -> str:
    """Return a text with spaces after it, or before it, to a width in columns of the terminal."""
    if text.isascii():
        return text.ljust(width) if is_left else text.rjust(width)
    from rich.cells import cell_len

    spaces = " " * (width - cell_len(text))
    return text + spaces if is_left else spaces + text
