"""What people see, all of it on stderr: progress bars, tables, one-line messages.

stdout is for results alone.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rich takes a tenth of a second to import, which --help need not pay
    from rich.console import Console
    from rich.progress import Progress


def say(message: str) -> None:
    """Print one line for people."""
    print(f"gentool: {' '.join(message.split())}", file=sys.stderr)


def stderr_console() -> "Console":
    """A console on stderr, without colour where stderr is no terminal."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def progress(quiet: bool, *fields: str) -> "Progress":
    """A progress bar on stderr with a column for each of `fields`, which a task has to set.

    Silent when quiet, or where stderr is no terminal.
    """
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        *(TextColumn(f"{field.replace('_', ' ')} {{task.fields[{field}]}}") for field in fields),
        TimeRemainingColumn(),
        console=stderr_console(),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    )


def print_table(title: str, columns: list[str], rows: list[list[str]], words: int = 1) -> None:
    """Print a table: the first columns, of `words`, to the left, the others to the right."""
    from rich.table import Table
    from rich.text import Text  # plain: a name with brackets is no markup

    table = Table(title=Text(title), title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < words else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    stderr_console().print(table)
