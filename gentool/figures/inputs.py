"""Read the files of a figure: measure files merged by checkpoint, or one checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gentool.common.errors import UsageError
from gentool.common.files import sha256
from gentool.figures.registry import NamedFigure
from gentool.records import checkpoint_metadata
from gentool.records.file_kind import file_kind
from gentool.records.measure_file import Record, merge
from gentool.records.reading import Report, read_each, read_records

if TYPE_CHECKING:
    from gentool.checkpoints.checkpoint import Checkpoint

MEASURES, CHECKPOINT = "a measure file", "a checkpoint"
KINDS = {"json": MEASURES, "safetensors": CHECKPOINT, "pytorch": CHECKPOINT}


def read_inputs(
    entry: NamedFigure,
    files: list[Path],
    report: Report | None = None,
    passes_over: Callable[[Path], bool] = lambda path: False,
) -> list[Record] | Path:
    """Return records, or a checkpoint's path, as the figure needs them.

    `report` is told why one of several measure files cannot be read, and the others are drawn;
    `passes_over` is that of `read_each`.
    Raise UsageError if the figure needs files of another kind, or one checkpoint, not several.
    """
    if entry.reads == "outcomes":
        return merge(read_each(files, report, _outcomes, passes_over))
    expected = CHECKPOINT if entry.reads == "checkpoint" else MEASURES

    for path in files:  # a file of another kind is a wrong command, not a file that cannot be read
        if (actual := _kind(path)) not in (expected, None):
            remedy = "; gentool measure makes one" if expected == MEASURES else ""
            raise UsageError(
                f"{path} is {actual}, and --figure {entry.name} is drawn from {expected}{remedy}"
            )
    if expected == MEASURES:
        return merge(read_each(files, report, passes_over=passes_over))
    if len(files) > 1:
        raise UsageError(f"--figure {entry.name} draws one checkpoint; {len(files)} are named")
    return files[0]


def _kind(path: Path) -> str | None:
    """Return whether a file is a measure file or a checkpoint; None for others."""
    return KINDS.get(file_kind(path))


def inference_notes(checkpoint: "Checkpoint") -> list[str]:
    """Return a note on what was inferred from a foreign checkpoint; none for one of gentool."""
    if checkpoint.kind == "gentool":
        return []
    from gentool.checkpoints.foreign.inference import inferred_in_words

    return [f"{checkpoint.path.name}: inferred {inferred_in_words(checkpoint.recipe)}"]


def _outcomes(path: Path, report: Report | None) -> list[Record]:
    """Return the records of a measure file, or one with the recipe and outcome of a checkpoint."""
    if _kind(path) != CHECKPOINT:
        return read_records(path, report)
    metadata = checkpoint_metadata.read(path)
    record = {
        "checkpoint": {"file": path.name, "sha256": sha256(path)},
        "recipe": metadata["recipe"],
        "outcome": metadata["outcome"],
        "measures": {},
        "log10": {},
        "notes": [],
    }
    return [record]
