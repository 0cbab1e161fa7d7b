"""What a figure is made from: measure files merged by checkpoint, or one checkpoint."""

from pathlib import Path

from gentool.errors import UsageError
from gentool.figures.registry import Entry
from gentool.records import Record, merge, read


def given(entry: Entry, files: list[Path]) -> list[Record] | Path:
    """The files as the figure reads them; UsageError where it reads others, or fewer."""
    if entry.reads == "checkpoint":
        if len(files) > 1:
            raise UsageError(f"--figure {entry.name} draws one checkpoint; {len(files)} are named")
        return files[0]
    return merge(map(read, files))
