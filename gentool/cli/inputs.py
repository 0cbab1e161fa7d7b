"""Find the files that a command is given: a folder stands for the checkpoints or records in it."""

from pathlib import Path

from gentool.common.console import say
from gentool.common.errors import GentoolError

CHECKPOINTS = (".safetensors", ".pt", ".pth", ".ckpt")
RECORDS = (".json", ".jsonl")


def files_in(paths: list[Path], suffixes: tuple[str, ...] = CHECKPOINTS) -> list[Path]:
    """Return the files that are named, and in place of a folder the files in it with the suffixes.

    Files of a folder are in the order of their names; its subfolders and hidden files are left
    aside, and so is a file that is named already. Raise GentoolError for a folder without any.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(
            file
            for file in path.iterdir()
            if file.suffix in suffixes and not file.name.startswith(".") and file.is_file()
        )
        if not inside:
            raise GentoolError(f"{path} is a folder without {', '.join('*' + s for s in suffixes)}")
        files += [file for file in inside if file not in files]
    return files


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
