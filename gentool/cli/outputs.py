"""Write the records of checkpoints: beside the checkpoint, to a file or folder, or to stdout."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gentool.cli.inputs import files_in
from gentool.cli.messages import message_and_code
from gentool.common import stops
from gentool.common.console import print_content, print_path, say
from gentool.common.errors import GentoolError, Interrupted, UsageError
from gentool.common.files import Existing, check_output, locked
from gentool.common.json import Json
from gentool.common.special_files import is_stdout
from gentool.records import measure_file
from gentool.records.replaced import repeats

if TYPE_CHECKING:
    from gentool.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True)
class Job:
    """Hold a checkpoint and the path of its record, None for stdout.

    `is_needed` is False if the record exists and --skip-existing is set. `count` is the place of
    the checkpoint among several, as "3 of 18", `existing` what is done with an existing record.
    """

    checkpoint: Path
    output: Path | None
    is_needed: bool
    count: str = ""
    existing: Existing = Existing.FORCE

    def write(
        self,
        record: Json,
        say_replaced: Callable[[str, Path, Json], None] | None = None,
        extend: Callable[[Json], Json] | None = None,
    ) -> Json:
        """Write the record to its file, or print it as one line; return it as extended.

        The file is locked meanwhile, and looked at again: another command may have written it since
        `jobs_for`. With EXTEND it is extended by `extend`, with FORCE replaced after `say_replaced`
        has compared them, with SKIP kept. With ERROR it is kept too, a record that differs is
        written beside it, and GentoolError is raised.
        """
        if self.output is None:
            print_content(f"{measure_file.dumps_line(record)}\n".encode())
            return record
        with locked(self.output):
            if self.existing is Existing.EXTEND and extend is not None:
                record = extend(record)
            elif self.existing is Existing.FORCE:
                if say_replaced is not None:
                    say_replaced(self.checkpoint.name, self.output, record)
            elif self.output.is_file():
                if self.existing is Existing.SKIP:
                    return record
                raise self._refusal(record)
            measure_file.write(self.output, record)
        return record

    def _refusal(self, record: Json) -> GentoolError:
        """Return the error for a file that is there now, after the record is written beside it."""
        message = f"{self.output} was written by another command meanwhile, and is kept"
        if repeats(self.output, record):
            return GentoolError(f"{message}; it is of the same checkpoint and options")
        stem, ending = self.output.stem, self.output.suffix
        names = (self.output.with_name(f"{stem}-{number}{ending}") for number in itertools.count(2))
        beside = next(name for name in names if not name.exists())
        measure_file.write(beside, record)
        return GentoolError(f"{message}; the result of this one is in {beside}")

    def print_path(self) -> None:
        """Print the path of the file, for the next command in a pipe."""
        if self.output is not None:
            print_path(self.output)


def jobs_for(
    paths_given: list[Path], output: str | None, ending: str, existing: Existing
) -> list[Job]:
    """Return one job for each checkpoint, with all outputs checked before any work.

    A folder stands for the checkpoints in it. `ending` follows the stem of the checkpoint in the
    name of its output, as `.measures.json`. Raise UsageError if two checkpoints would write one
    file, GentoolError if the only checkpoint is missing, or if an output cannot or must not be
    written.
    """
    checkpoints = files_in(paths_given)
    if len(checkpoints) == 1 and not checkpoints[0].exists():
        raise GentoolError(f"{checkpoints[0]} does not exist")
    if output == "-" or (output is not None and is_stdout(Path(output))):
        return [
            Job(checkpoint, None, True, _count(i, checkpoints))
            for i, checkpoint in enumerate(checkpoints, start=1)
        ]
    paths = [_path(checkpoint, output, ending, len(checkpoints) > 1) for checkpoint in checkpoints]
    if repeated := {str(path) for path in paths if paths.count(path) > 1}:
        raise UsageError(
            f"several checkpoints would write {', '.join(sorted(repeated))}; name each once, or "
            "rename one"
        )
    return [
        Job(checkpoint, path, check_output(path, existing), _count(i, checkpoints), existing)
        for i, (checkpoint, path) in enumerate(zip(checkpoints, paths, strict=True), start=1)
    ]


def _count(number: int, checkpoints: list[Path]) -> str:
    """Return the place of a checkpoint among several in words, nothing for a single one."""
    return f"{number} of {len(checkpoints)}" if len(checkpoints) > 1 else ""


def for_each(jobs: list[Job], work: Callable[[Job], None], debug: bool) -> None:
    """Do each job that is needed, and print the paths of the records.

    Report a failing job, whatever the error, and continue; at the end raise an error with the
    number of failures: UsageError if all jobs fail so. With one job or --debug raise at once.
    """
    failures: list[Exception] = []
    messages: set[str] = set()
    for i, job in enumerate(jobs, start=1):
        try:
            if job.is_needed:
                work(job)
        except Interrupted as error:
            job.print_path()  # the result so far is written
            raise Interrupted(str(error), left=len(jobs) - i) from None
        except BrokenPipeError:
            raise  # nobody reads what the others would print
        except Exception as error:
            if stops.is_cause_of(error):
                raise KeyboardInterrupt from error
            if debug or len(jobs) == 1:
                raise
            message, _ = message_and_code(error)
            about = "" if str(job.checkpoint) in message else f"{job.checkpoint}: "
            say(f"{about}{'the same' if about and message in messages else message}")
            messages.add(message)
            failures.append(error)
        else:
            job.print_path()
    if failures:
        is_usage = len(failures) == len(jobs) and all(isinstance(e, UsageError) for e in failures)
        others = "none is done" if len(failures) == len(jobs) else "the others are done"
        kind = UsageError if is_usage else GentoolError
        raise kind(f"{len(failures)} of {len(jobs)} checkpoints failed; {others}")


def _path(checkpoint: Path, output: str | None, ending: str, is_one_of_several: bool) -> Path:
    """Return the path of the output of a checkpoint."""
    name = f"{checkpoint.stem}{ending}"
    if output is None:
        return checkpoint.with_name(name)
    folder = Path(output)
    if folder.is_dir():
        return folder / name
    if is_one_of_several:
        raise GentoolError(f"{output} is not a folder; with several checkpoints -o names a folder")
    return folder


def inferred(checkpoint: "Checkpoint") -> str:
    """Return what was inferred about a foreign checkpoint; empty for one of gentool's own."""
    if checkpoint.kind == "gentool":
        return ""
    from gentool.checkpoints.foreign.inference import inferred_in_words

    return inferred_in_words(checkpoint.recipe)


def say_inferred(checkpoint: "Checkpoint") -> None:
    """Print what was inferred about a foreign checkpoint; nothing for one of gentool's own."""
    if words := inferred(checkpoint):
        say(f"{checkpoint.path.name}: inferred {words}")


def say_evaluation(name: str, evaluation: Json) -> None:
    """Print loss and error of a network as read, what was assumed about its data, and warnings."""
    say(f"{name}: {evaluation_in_words(evaluation)}")
    for warning in evaluation["warnings"]:
        say(f"warning: {name}: {warning}")


def evaluation_in_words(evaluation: Json) -> str:
    """Return losses and errors before any perturbation in one line, and what was assumed."""
    parts = [f"training {_loss_and_error(evaluation, 'train')} ({evaluation['images']} images)"]
    for part, words in (("confusion", "confusion set"), ("test", "test")):
        if evaluation[f"{part}_error"] is not None:
            parts.append(f"{words} {_loss_and_error(evaluation, part)}")
    return "; ".join(filter(None, [*parts, assumed_in_words(evaluation)]))


def assumed_in_words(evaluation: Json) -> str:
    """Return what was assumed about the data of a network; empty if all of it was said."""
    assumed = [name for name, source in evaluation["source"].items() if source == "assumed"]
    facts = [
        f"{name} {_fact(evaluation[name])}"
        for name in assumed
        if name != "draw" and evaluation[name] is not None  # as all images, as stored
    ]
    return f"assumed: {', '.join(facts)}" if assumed else ""


def _loss_and_error(evaluation: Json, part: str) -> str:
    loss = evaluation[f"{part}_loss"]
    loss = "not finite" if loss is None else f"{loss:.4g}"
    return f"loss {loss}, error {evaluation[f'{part}_error']:.4f}"


def _fact(value: object) -> str:
    if isinstance(value, list):
        return ",".join(f"{number:.4g}" for number in value)
    return str(value)
