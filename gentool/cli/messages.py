"""Turn errors and interrupts into messages of one line and exit codes."""

import re
import shlex
from collections.abc import Sequence
from difflib import get_close_matches

import typer

from gentool.common.errors import GentoolError


def message_and_code(error: Exception) -> tuple[str, int]:
    """Return the message and the exit code of an error."""
    if isinstance(error, GentoolError):
        return str(error), error.exit_code
    usage_error = typer.BadParameter.__bases__[0]  # click's UsageError, which typer does not export
    if isinstance(error, usage_error):
        message = _one_line(error.format_message())
        message = message.replace("Value error, ", "")  # pydantic's, not for people
        return f"{message}{_nearest(error)} (--help shows the options)", 2
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        return f"out of memory; {LESS_MEMORY}", 1
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or error}", 1
    words = f"{type(error).__name__}: {_one_line(str(error))}"
    return f"{words} (a bug in gentool; --debug shows where)", 1


def _one_line(text: str) -> str:
    """Return a text of a library, which may have several lines, in one."""
    return " ".join(text.split())


def _nearest(error: Exception) -> str:
    """Return a question after the nearest of an option's choices, nothing if none is near."""
    wrong = _NO_CHOICE.search(error.format_message())
    choices = [] if wrong is None else re.findall("'([^']*)'", wrong[2])
    near = get_close_matches(wrong[1], choices, n=1, cutoff=0.5) if choices else []
    return f" (did you mean {near[0]!r}?)" if near else ""


_NO_CHOICE = re.compile("'([^']*)' is not one of (.*)")
_NO_MEMORY = re.compile("out of memory|not enough memory|can(?:'t|not) allocate|bad_alloc", re.I)
"""What CUDA, PyTorch on a CPU, the system and C++ say."""
LESS_MEMORY = (
    "train needs less with a lower --batch-size, --subset, --width or --hidden, sharpness with "
    "fewer --restarts and --batching loop, all with fewer or smaller images in --data"
)
BY_CHECKPOINT = ("measure", "sharpness", "inspect", "convert")
"""Commands that write a file for each checkpoint, and can leave out those that exist."""


def interruption(arguments: Sequence[str]) -> str:
    """Return the message on a command that was interrupted, with the command that goes on."""
    if not set(BY_CHECKPOINT) & set(arguments[:2]) or "-" in arguments:
        return f"interrupted; start again with: {command_line(arguments)}"
    return f"interrupted; only the files named on stdout were written; {rest_of(arguments)}"


def rest_of(arguments: Sequence[str]) -> str:
    """Return the words on the command that does what a command with several files has left."""
    rest = command_line([a for a in arguments if a not in ("--force", "--skip-existing")])
    return f"do the rest with: {rest} --skip-existing"


def command_line(arguments: Sequence[str]) -> str:
    """Return a command of gentool as one types it in a shell."""
    return f"gentool {shlex.join(arguments)}"
