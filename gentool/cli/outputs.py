"""Write the records of checkpoints: beside the checkpoint, to a file or folder, or to stdout."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gentool.common.console import say
from gentool.common.errors import GentoolError, Interrupted, UsageError
from gentool.common.files import Existing, check_output
from gentool.common.json import Json
from gentool.records import measure_file

if TYPE_CHECKING:
    from gentool.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True)
class Job:
    """Hold a checkpoint and the path of its record, None for stdout.

    `is_needed` is False if the record exists and --skip-existing is set.
    """

    checkpoint: Path
    output: Path | None
    is_needed: bool

    def write(self, record: Json) -> None:
        """Write the record to its file, or print it as one line."""
        if self.output is None:
            print(measure_file.dumps_line(record), flush=True)
        else:
            measure_file.write(self.output, record)

    def print_path(self) -> None:
        """Print the path of the file, for the next command in a pipe."""
        if self.output is not None:
            print(self.output, flush=True)


def jobs_for(
    checkpoints: list[Path], output: str | None, kind: str, existing: Existing
) -> list[Job]:
    """Return one job for each checkpoint, with all outputs checked before any work.

    Raise UsageError if two checkpoints would write one file, GentoolError if a checkpoint is
    missing, or if an output cannot or must not be written.
    """
    for checkpoint in checkpoints:
        if not checkpoint.exists():
            raise GentoolError(f"{checkpoint} does not exist")
        if checkpoint.is_dir():
            raise GentoolError(f"{checkpoint} is a folder, not a checkpoint")
    if output == "-":
        return [Job(checkpoint, None, True) for checkpoint in checkpoints]
    paths = [_path(checkpoint, output, kind, len(checkpoints) > 1) for checkpoint in checkpoints]
    if repeated := {str(path) for path in paths if paths.count(path) > 1}:
        raise UsageError(
            f"several checkpoints would write {', '.join(sorted(repeated))}; name each once, or "
            "rename one"
        )
    return [
        Job(checkpoint, path, check_output(path, existing))
        for checkpoint, path in zip(checkpoints, paths, strict=True)
    ]


def for_each(jobs: list[Job], work: Callable[[Job], None], debug: bool) -> None:
    """Do each job that is needed, and print the paths of the records.

    Report a failing job and continue; at the end raise GentoolError with the number of failures.
    With one job, with --debug, or with a UsageError, which concerns all jobs, raise at once.
    """
    failures = 0
    for job in jobs:
        try:
            if job.is_needed:
                work(job)
        except Interrupted:
            job.print_path()  # the result so far is written
            raise
        except GentoolError as error:
            if debug or len(jobs) == 1 or isinstance(error, UsageError):
                raise
            say(str(error))
            failures += 1
        else:
            job.print_path()
    if failures:
        raise GentoolError(f"{failures} of {len(jobs)} checkpoints failed; the others are done")


def _path(checkpoint: Path, output: str | None, kind: str, is_one_of_several: bool) -> Path:
    """Return the path of the record of a checkpoint."""
    name = f"{checkpoint.stem}.{kind}.json"
    if output is None:
        return checkpoint.with_name(name)
    folder = Path(output)
    if folder.is_dir():
        return folder / name
    if is_one_of_several:
        raise GentoolError(f"{output} is not a folder; with several checkpoints -o names a folder")
    return folder


def say_inferred(checkpoint: "Checkpoint") -> None:
    """Print what was inferred about a foreign checkpoint; nothing for one of gentool's own."""
    if checkpoint.kind != "gentool":
        say(f"{checkpoint.path.name}: inferred {'; '.join(checkpoint.recipe.origin['inferred'])}")
