"""Where the records of checkpoints go: beside them, into a file or a folder, or to stdout."""

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
    """A checkpoint and where its record goes, None for stdout.

    It is not wanted where it exists already and --skip-existing was given.
    """

    checkpoint: Path
    output: Path | None
    is_wanted: bool

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
    """One job a checkpoint, all outputs checked before any work is done.

    Raises UsageError where two checkpoints would write one file, GentoolError where a checkpoint is
    missing or an output cannot or must not be written.
    """
    for checkpoint in checkpoints:
        if not checkpoint.exists():
            raise GentoolError(f"{checkpoint} does not exist")
        if checkpoint.is_dir():
            raise GentoolError(f"{checkpoint} is a folder, not a checkpoint")
    if output == "-":
        return [Job(checkpoint, None, True) for checkpoint in checkpoints]
    paths = [_path(checkpoint, output, kind, len(checkpoints) > 1) for checkpoint in checkpoints]
    if twice := {str(path) for path in paths if paths.count(path) > 1}:
        raise UsageError(f"several checkpoints would write {', '.join(sorted(twice))}")
    return [
        Job(checkpoint, path, check_output(path, existing))
        for checkpoint, path in zip(checkpoints, paths, strict=True)
    ]


def for_each(jobs: list[Job], work: Callable[[Job], None], debug: bool) -> None:
    """Do the work of each job that is wanted, and print its path.

    One that cannot be done is told, and the others go on; GentoolError at the end says how many. A
    single one's error is raised as it is, and so is what was wrongly asked of all.
    """
    failures = 0
    for job in jobs:
        try:
            if job.is_wanted:
                work(job)
        except Interrupted:
            job.print_path()  # what was found until then is written
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
    """Say what was inferred of a checkpoint that another program saved; nothing for our own."""
    if checkpoint.kind != "gentool":
        say(f"{checkpoint.path.name}: inferred {'; '.join(checkpoint.recipe.origin['inferred'])}")
