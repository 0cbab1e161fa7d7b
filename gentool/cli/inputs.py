"""Read the files that a command is given, and count those that cannot be read."""

from gentool.common.console import say
from gentool.common.errors import GentoolError
from gentool.common.folders import CHECKPOINTS, RECORDS, files_in

__all__ = ["CHECKPOINTS", "RECORDS", "LeftOut", "files_in"]


class LeftOut:
    """Count the files that cannot be read, wholly or in part, and print why."""

    def __init__(self) -> None:
        self.count = 0

    def report(self, message: str) -> None:
        """Print why a file is left out."""
        say(message)
        self.count += 1

    def check(self, files: int) -> None:
        """Raise GentoolError, with their number, if some of the files were left out."""
        if self.count:
            raise GentoolError(
                f"{self.count} of {files} files cannot be read and were left out, wholly or in "
                "part; the others are in the result"
            )
