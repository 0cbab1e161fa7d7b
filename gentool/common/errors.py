"""Define the errors that a user can fix: one line each, with an exit code."""

from collections.abc import Iterable
from difflib import get_close_matches

MOST_LISTED = 20  # known names in one line


class GentoolError(Exception):
    """Report that a command cannot be done: what, the value, and the remedy (exit code 1)."""

    exit_code = 1


class UsageError(GentoolError):
    """Report an option with a value that is wrong for any input (exit code 2)."""

    exit_code = 2


class Interrupted(GentoolError):
    """Report an interrupt by the user or a signal: what was kept and how to go on.

    The exit code is 130, or 128 and the number of the signal. `left` is the number of checkpoints
    that the command has not begun with.
    """

    exit_code = 130

    def __init__(self, message: str, left: int = 0) -> None:
        super().__init__(message)
        self.left = left


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not in `known`, with the nearest name if one is near."""
    known = list(known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    listed = ", ".join(known[:MOST_LISTED])
    if len(known) > MOST_LISTED:
        listed += f" and {len(known) - MOST_LISTED} more"
    return UsageError(f"unknown {kind} {name!r}{hint}; known: {listed}")
