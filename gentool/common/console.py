"""Print one-line messages on stderr; stdout is for results alone."""

import sys
from typing import TYPE_CHECKING

from gentool.common.text import printable

if TYPE_CHECKING:  # rich takes a tenth of a second to import, which --help need not pay
    from rich.console import Console


def say(message: str) -> None:
    """Print a message for people as one line."""
    print(f"gentool: {printable(' '.join(message.split()))}", file=sys.stderr)


def stderr_console() -> "Console":
    """Return a console on stderr, without colour if stderr is not a terminal."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)
