"""Read the files that a command is given, and count those that cannot be read."""

from pathlib import Path

from gentool.common.console import say
from gentool.common.errors import GentoolError
from gentool.common.folders import CHECKPOINTS, RECORDS, files_in

__all__ = ["CHECKPOINTS", "RECORDS", "RecordFiles", "files_in"]


class RecordFiles:
    """Hold the files that a command reads, and count those that it leaves out.

    `paths` are the files that are named, and in place of a folder the files in it. Of these, the
    other outputs of gentool, as a log, are passed over.
    """

    def __init__(self, named: list[Path], suffixes: tuple[str, ...] = RECORDS) -> None:
        self.paths = files_in(named, suffixes)
        self._named = set(named)
        self.count = 0

    def passes_over(self, path: Path) -> bool:
        """Return whether another output of gentool is passed over, and if so take it out."""
        if path in self._named:
            return False
        self.paths = [kept for kept in self.paths if kept != path]
        return True

    def report(self, message: str) -> None:
        """Print why a file is left out."""
        say(message)
        self.count += 1

    def check(self) -> None:
        """Raise GentoolError, with their number, if some of the files were left out."""
        if self.count:
            raise GentoolError(
                f"{self.count} of {len(self.paths)} files cannot be read and were left out, wholly "
                "or in part; the others are in the result"
            )
