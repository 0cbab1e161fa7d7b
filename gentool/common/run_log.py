"""Append to a log in JSON Lines that several processes may share: one object an epoch or step.

The traps avoided: two processes that write into one line, and epochs that stand in the log twice
since a resumed run repeats them.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from gentool.common import stops
from gentool.common.console import say
from gentool.common.errors import GentoolError, UsageError
from gentool.common.files import write_whole
from gentool.common.json import Json, dumps, loads
from gentool.common.locks import lock

ENDING = ".jsonl"


class RunLog:
    """A log file; a `series` of it holds the objects of one network and command.

    Raise UsageError if its name does not end in .jsonl or it is no regular file, and GentoolError
    if its folder is missing or if it holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.suffix != ENDING or path.name == ENDING:
            raise UsageError(f"--log is {path}; its name has to end in {ENDING}, as train{ENDING}")
        if path.exists() and not path.is_file():
            raise UsageError(f"--log is {path}, which is not a regular file")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise GentoolError(f"the folder {path.parent} of --log is missing or not writable")
        if path.exists():
            with path.open("rb") as file:
                first = file.readline()
            if first and not _is_entry(first):
                raise GentoolError(f"{path} is no log of gentool; name another file with --log")

    def series(self, command: str, checkpoint: Path, after: int | None = None) -> "Series":
        """Return the series of a command and a checkpoint; objects of an earlier attempt go.

        `after` is the number of epochs that stay, which a resumed run has behind it; None for none.
        """
        heading = {
            "command": command,
            "network": checkpoint.name.removesuffix(".safetensors"),
            "file": os.path.relpath(checkpoint, self.path.parent),
        }
        try:
            with stops.held(), _locked(self.path) as descriptor:
                self._drop(descriptor, heading, after or 0)
        except (OSError, GentoolError) as error:
            reason = getattr(error, "strerror", None) or error
            raise GentoolError(f"cannot write the log {self.path}: {reason}") from error
        return Series(self.path, heading)

    def _drop(self, descriptor: int, heading: Json, after: int) -> None:
        """Remove the objects of a series beyond some epochs, and a last line without its end."""
        with os.fdopen(os.dup(descriptor), "rb") as file:
            content = file.read()
        end = content.rfind(b"\n") + 1
        needle = dumps(heading["file"]).encode()
        if end == len(content) and needle not in content:
            return
        lines = content[:end].splitlines(keepends=True)
        kept = [line for line in lines if not _is_of(line, heading, after)]
        if len(kept) < len(lines) or end < len(content):
            write_whole(self.path, b"".join(kept))


class Series:
    """The objects of one network and command in a log."""

    def __init__(self, path: Path, heading: Json) -> None:
        self.path, self.heading, self.is_broken = path, heading, False

    def append(self, **values: object) -> None:
        """Append an object with these values and the time.

        If the log cannot be written any more, as on a full disk, say so once: it is not worth the
        run.
        """
        if self.is_broken:
            return
        now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
        text = dumps(self.heading | values | {"time": now})
        line = f"{text}\n".encode()
        try:
            with stops.held(), _locked(self.path) as descriptor:
                size = os.lseek(descriptor, 0, os.SEEK_END)
                if os.write(descriptor, line) < len(line):
                    os.ftruncate(descriptor, size)  # no half a line
                    raise OSError(28, "No space left on device")
        except OSError as error:
            self.is_broken = True
            say(f"warning: cannot write the log {self.path}: {error.strerror}; going on without it")


def steps_of(log: RunLog | None, command: str, checkpoint: Path) -> Callable[..., None]:
    """Return the function that appends a step of a search on a checkpoint; none without a log.

    A step that says the same as the one before is left out.
    """
    if log is None:
        return lambda **values: None
    series, began = log.series(command, checkpoint), time.monotonic()
    last: Json = {}
    number = 0

    def append(**values: object) -> None:
        nonlocal last, number
        if values != last:
            last, number = values, number + 1
            seconds = round(time.monotonic() - began, 3)
            series.append(step=number, **values, seconds=seconds)

    return append


def _is_entry(line: bytes) -> bool:
    """Return whether a line is an object of such a log."""
    try:
        entry = loads(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and {"command", "network", "file"} <= entry.keys()


def _is_of(line: bytes, heading: Json, after: int) -> bool:
    """Return whether a line belongs to a series, beyond some epochs."""
    if not _is_entry(line):
        return False
    entry = loads(line)
    epoch = entry.get("epoch")
    is_kept = isinstance(epoch, int) and epoch <= after
    return not is_kept and all(entry[name] == value for name, value in heading.items())


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Yield the descriptor of a file to append to, locked; the file is made if it is missing."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            with suppress(OSError):  # a file system without locks: short lines rarely meet
                lock(descriptor)
            try:
                is_current = os.path.samestat(os.fstat(descriptor), os.stat(path))
            except FileNotFoundError:
                is_current = False
            if is_current:  # another process may have replaced the file before it was locked
                yield descriptor
                return
        finally:
            os.close(descriptor)
