"""Print tables and one-line messages on stderr; stdout is for results alone."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rich takes a tenth of a second to import, which --help need not pay
    from rich.console import Console


def say(message: str) -> None:
    """Print a message for people as one line."""
    print(f"gentool: {' '.join(message.split())}", file=sys.stderr)


def stderr_console() -> "Console":
    """Return a console on stderr, without colour if stderr is not a terminal."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_table(title: str, columns: list[str], rows: list[list[str]], words: int = 1) -> None:
    """Print a table with its first `words` columns aligned left and the others aligned right."""
    from rich.table import Table
    from rich.text import Text  # plain text: brackets in a name are not markup

    table = Table(title=Text(title), title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < words else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    stderr_console().print(table)
