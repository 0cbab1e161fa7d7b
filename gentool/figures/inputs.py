"""What a figure is made from: measure files merged by checkpoint, or one checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING

from gentool.common.errors import UsageError
from gentool.common.files import sha256
from gentool.figures.registry import NamedFigure
from gentool.records import checkpoint_metadata
from gentool.records.file_kind import file_kind
from gentool.records.measure_file import Record, merge, read

if TYPE_CHECKING:
    from gentool.checkpoints.checkpoint import Checkpoint

MEASURES, CHECKPOINT = "a measure file", "a checkpoint"
KINDS = {"json": MEASURES, "safetensors": CHECKPOINT, "pytorch": CHECKPOINT}


def given(entry: NamedFigure, files: list[Path]) -> list[Record] | Path:
    """The files as the figure reads them; UsageError where it reads others, or fewer."""
    if entry.reads == "outcomes":
        return merge(_outcome(path) if kind(path) == CHECKPOINT else read(path) for path in files)
    wanted = CHECKPOINT if entry.reads == "checkpoint" else MEASURES
    for path in files:
        if (found := kind(path)) not in (wanted, None):
            remedy = "; gentool measure makes one" if wanted == MEASURES else ""
            raise UsageError(
                f"{path} is {found}, and --figure {entry.name} is drawn from {wanted}{remedy}"
            )
    if wanted == MEASURES:
        return merge(map(read, files))
    if len(files) > 1:
        raise UsageError(f"--figure {entry.name} draws one checkpoint; {len(files)} are named")
    return files[0]


def kind(path: Path) -> str | None:
    """Return whether a file is a measure file or a checkpoint; None for others."""
    return KINDS.get(file_kind(path))


def inferred(checkpoint: "Checkpoint") -> list[str]:
    """A note of what was inferred of a checkpoint that another program saved."""
    if checkpoint.kind == "gentool":
        return []
    return [f"{checkpoint.path.name}: inferred {'; '.join(checkpoint.recipe.origin['inferred'])}"]


def _outcome(path: Path) -> Record:
    """A record of what a checkpoint says of its training."""
    metadata = checkpoint_metadata.read(path)
    return {
        "checkpoint": {"file": path.name, "sha256": sha256(path)},
        "recipe": metadata["recipe"],
        "outcome": metadata["outcome"],
        "measures": {},
        "log10": {},
        "notes": [],
    }
