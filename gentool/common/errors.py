"""The errors that a user can mend: one line each, with an exit code for the command line."""

from collections.abc import Iterable
from difflib import get_close_matches

MOST_LISTED = 20  # of the known names in one line


class GentoolError(Exception):
    """It cannot be done: the message names what, the value, and the remedy (exit code 1)."""

    exit_code = 1


class UsageError(GentoolError):
    """It was wrongly asked: an option has a value that no input could make right (exit code 2)."""

    exit_code = 2


class Interrupted(GentoolError):
    """The user stopped it: the message says what was kept and how to go on (exit code 130)."""

    exit_code = 130


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is none of `known`, with the nearest one where one is near."""
    known = list(known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    listed = ", ".join(known[:MOST_LISTED])
    if len(known) > MOST_LISTED:
        listed += f" and {len(known) - MOST_LISTED} more"
    return UsageError(f"unknown {kind} {name!r}{hint}; known: {listed}")
