"""Print one-line messages on stderr, and results on stdout, whatever the terminal can show.

All text from outside, as names of files and metadata, is escaped here before a terminal sees it.
"""

import codecs
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from gentool.common.special_files import target_of
from gentool.common.text import printable

if TYPE_CHECKING:  # rich takes a tenth of a second to import, which --help need not pay
    from rich.console import Console

ESCAPED = "gentool-escaped"  # the error handler of stdout


def say(message: str) -> None:
    """Print a message for people as one line."""
    print(f"gentool: {printable(message)}", file=sys.stderr)


def print_path(path: Path) -> None:
    """Print the path of a file on stdout: escaped on a terminal, and as it is in a pipe.

    The path of a stream, as /dev/stdout, is not printed: its content has gone there.
    """
    if target_of(path).is_stream:
        return
    name = str(path)
    print(printable(name) if sys.stdout.isatty() else name, flush=True)


def print_content(content: bytes) -> None:
    """Write what a file would hold to stdout: as it is, or escaped on a terminal.

    JSON is UTF-8 whatever the locale, so that the next command of a pipe can read it.
    """
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None or sys.stdout.isatty():
        lines = content.decode("utf-8", "backslashreplace").split("\n")
        sys.stdout.write("\n".join(map(printable, lines)))
    else:
        buffer.write(content)
    sys.stdout.flush()


def use_escapes() -> None:
    """Let stdout and stderr escape what their encoding lacks, as ASCII does most letters.

    Else Python raises an error, after the work is done.
    """
    for stream, errors in ((sys.stdout, ESCAPED), (sys.stderr, "backslashreplace")):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)


def print_exception(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """Print an exception with its traceback, escaped: a replacement of sys.excepthook."""
    text = "".join(traceback.format_exception(kind, error, trace))
    print("\n".join(map(printable, text.rstrip("\n").split("\n"))), file=sys.stderr)


def stderr_console() -> "Console":
    """Return a console on stderr, without colour if stderr is not a terminal."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def has_unicode(encoding: str | None) -> bool:
    """Return whether an encoding, as that of a terminal, has all characters."""
    return (encoding or "").lower().replace("-", "").startswith("utf")


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    r"""Encode what an encoding lacks: a name's own byte as it is, another character as \xe9."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeEncodeError:
        return codecs.lookup_error("backslashreplace")(error)


codecs.register_error(ESCAPED, _escaped)
