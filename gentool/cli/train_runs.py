"""Train what `gentool train` plans, one network or a grid, with progress bars and messages."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gentool.cli.messages import command_line
from gentool.cli.options import DataFolder, Machine
from gentool.common import stops
from gentool.common.console import print_path, say
from gentool.common.errors import GentoolError, Interrupted, UsageError
from gentool.common.files import Existing
from gentool.common.progress import progress
from gentool.common.run_log import RunLog
from gentool.records.recipe import Outcome, Recipe
from gentool.training.output_locks import (
    finished,
    is_locked,
    lock_or_refuse,
    try_to_lock,
    wait_for_output,
)
from gentool.training.plan import PlannedRun, worker_batches
from gentool.training.schedules import SPREAD_OVER_EPOCHS

if TYPE_CHECKING:
    from gentool.training.distributed import ProcessGroup
    from gentool.training.jobs import Callbacks, JobResult, RunSettings
    from gentool.training.run import EpochReport


@dataclass(frozen=True)
class TrainOptions:
    """Hold the options of `gentool train` that are the same for all networks of a grid."""

    machine: Machine
    data_folder: DataFolder
    quiet: bool
    must_fit: bool
    jobs: int
    is_compiled: bool
    log: RunLog | None
    wait: bool  # for another process that trains the same network
    arguments: tuple[str, ...]  # of the command line, for the message on how to resume

    def settings(self, resume: bool, group: "ProcessGroup | None" = None) -> "RunSettings":
        """Return the settings of the training jobs."""
        from gentool.training.distributed import SINGLE_PROCESS
        from gentool.training.jobs import RunSettings

        return RunSettings(
            device=self.machine.device,
            threads=self.machine.threads,
            data_sets=self.data_folder.data_sets(self.quiet),
            resume=resume,
            group=group or SINGLE_PROCESS,
            is_compiled=self.is_compiled,
            log=self.log,
        )


def train_distributed(
    planned: PlannedRun, options: TrainOptions, existing: Existing, resume: bool
) -> None:
    """Train a network in one of the processes of torchrun; only the main process prints."""
    from gentool.training.distributed import join_process_group, leave_process_group

    group, device = join_process_group(options.machine.device)
    is_done = False
    try:
        machine = replace(options.machine, device=device)
        quiet = options.quiet or not group.is_main
        options = replace(options, machine=machine, quiet=quiet)
        train_one(planned, options, existing, resume, group)
        is_done = True
    finally:
        leave_process_group(wait=is_done)


def train_one(
    planned: PlannedRun,
    options: TrainOptions,
    existing: Existing,
    resume: bool,
    group: "ProcessGroup | None" = None,
) -> None:
    """Train a network and print the path of each file that it writes.

    If the network exists already, keep it and print the paths of its files.
    """
    if group is not None and not group.is_main:
        _train_one(planned, options, existing, resume, group)
        return
    planned.check_names()
    locked = try_to_lock(planned) if options.wait else lock_or_refuse(planned)
    if locked is None:
        if not options.quiet:
            say(f"{planned.path} is being trained by another process; waiting for it")
        locked, existing, resume = wait_for_output(planned), Existing.SKIP, True
    with locked:
        _train_one(planned, options, existing, resume, group)


def _train_one(
    planned: PlannedRun,
    options: TrainOptions,
    existing: Existing,
    resume: bool,
    group: "ProcessGroup | None",
) -> None:
    """Train a network whose output is locked."""
    is_main = group is None or group.is_main
    if is_main and resume and existing is Existing.ERROR and planned.path.exists():
        existing = _existing_to_resume(planned, options.quiet)
    is_missing = planned.is_missing(existing, resume, is_longer=resume) if is_main else False
    if group is not None:
        is_missing = group.broadcast(is_missing)
    if not is_missing:
        if is_main and not keep_existing(planned) and options.must_fit:
            raise _stop_rule_error([planned.path])
        return
    from gentool.training.jobs import Callbacks, check_plan, train_planned_runs

    check_plan([planned])
    options.machine.use_device()
    if is_main and existing is Existing.FORCE:
        _say_replaced([planned], options.quiet)
    if is_main:
        _prepare_state(planned, resume, existing is Existing.FORCE)
    with _epoch_bar(planned, options.quiet) as show:
        results: list[JobResult] = []
        is_said = resume and is_main and not options.quiet
        start = _say_start if is_said else lambda planned, epochs: None
        callbacks = Callbacks(start, show, print_path, results.append)
        try:
            train_planned_runs([planned], options.settings(resume, group), callbacks)
        except KeyboardInterrupt:
            raise Interrupted(_interruption(planned.state_path, options.arguments)) from None
        except Exception as error:
            if not stops.is_cause_of(error) and (group is None or not _is_stopped(error)):
                raise
            raise Interrupted(_interruption(planned.state_path, options.arguments)) from None
    if results[0].error is not None:
        raise results[0].error
    _warn_of_notes(results)
    if not options.quiet:
        say(outcome_in_words(results[0].recipe, results[0].outcome))
    if options.must_fit and not results[0].outcome.stop_rule_met:
        raise _stop_rule_error([planned.path])


def _say_replaced(planned: Sequence[PlannedRun], quiet: bool) -> None:
    """Say what --force is about to replace: checkpoints with other recipes."""
    for run in planned:
        if not quiet and (words := run.replaced()):
            say(f"note: {words}")


def _existing_to_resume(planned: PlannedRun, quiet: bool) -> Existing:
    """Return what --resume does with a checkpoint that exists.

    A finished one is kept. One beside the state of another run, begun with --force, is replaced at
    the end of that run.
    """
    if done := finished(planned):
        if not quiet:
            say(f"{planned.path} is finished, nothing to resume: {outcome_in_words(*done)}")
        return Existing.SKIP
    return Existing.FORCE if planned.state_path.exists() else Existing.ERROR


def _beside_others(planned: PlannedRun) -> PlannedRun:
    """Return a run under its other path, if a process trains other options into its first."""
    try:
        is_locked(planned)
    except GentoolError:
        if planned.other_path is None:
            raise
        return replace(planned, path=planned.other_path, other_path=None)
    return planned


def train_grid(
    planned: Sequence[PlannedRun], options: TrainOptions, force: bool, resume: bool = False
) -> None:
    """Train the missing networks of a grid, and print the path of each file of the grid.

    Interrupted runs go on; with `resume`, networks that did not meet the stop rule do too, up to
    more epochs. A network that cannot be trained does not stop the others. Raise GentoolError, at
    the end, with the number of failures.
    """
    _make_folder(planned[0].path.parent)
    existing = Existing.FORCE if force else Existing.SKIP
    planned = [_beside_others(run) for run in planned]
    for run in planned:
        run.check_names()
    missing = [run for run in planned if run.is_missing(existing, True, is_longer=resume)]
    elsewhere = {run.path for run in missing if is_locked(run)}
    if elsewhere and not options.wait:
        names = ", ".join(sorted(map(str, elsewhere)))
        raise GentoolError(f"{names}: in training by another process; wait for it with --wait")
    unfit = [run.path for run in planned if run not in missing and not keep_existing(run)]
    if not missing:
        _raise_failures([], unfit, options.must_fit)
        return
    if force:
        for run in missing:
            if run.path not in elsewhere:
                run.state_path.unlink(missing_ok=True)
    from gentool.training.jobs import check_plan

    check_plan(missing)
    options.machine.use_device()
    if force:
        _say_replaced(missing, options.quiet)
    results: list[JobResult] = []
    try:
        with _grid_bar(missing, len(planned), options.quiet, results) as callbacks:
            _train_all(missing, options, callbacks, force)
    except (KeyboardInterrupt, Exception) as error:
        if isinstance(error, Exception) and not stops.is_cause_of(error):
            raise
        again = _command_to_resume(options.arguments)
        raise Interrupted(f"interrupted; continue with: {again}") from None
    _warn_of_notes(results)
    _raise_failures(results, unfit, options.must_fit)


def _train_all(
    missing: Sequence[PlannedRun], options: TrainOptions, callbacks: "Callbacks", force: bool
) -> None:
    """Train networks in this process, or in as many as --jobs says."""
    from gentool.training.jobs import train_in_workers, train_planned_runs

    settings = replace(options.settings(resume=True), locks=True, replaces=force)
    if options.jobs == 1:
        for batch in worker_batches(missing, 1):
            train_planned_runs(batch, settings, callbacks)
        return
    train_in_workers(list(worker_batches(missing, options.jobs)), settings, callbacks, options.jobs)


def _raise_failures(results: "Sequence[JobResult]", unfit: Sequence[Path], must_fit: bool) -> None:
    """Raise GentoolError if networks of a grid failed, or if they must fit and do not.

    `unfit` are the existing networks that do not fit.
    """
    if failed := sum(result.error is not None for result in results):
        raise GentoolError(f"{failed} of {len(results)} networks could not be trained")
    unfit = [
        *unfit,
        *(result.planned.path for result in results if not result.outcome.stop_rule_met),
    ]
    if must_fit and unfit:
        raise _stop_rule_error(unfit)


def _warn_of_notes(results: "Sequence[JobResult]") -> None:
    """Say of each run that collapsed, or was resumed with other threads, also with --quiet."""
    for result in results:
        for note in result.outcome.notes if result.outcome is not None else ():
            if note.startswith(("training collapsed", "steps were computed")):
                say(f"warning: {result.planned.path.name}: {note}")


def _stop_rule_error(paths: Sequence[Path]) -> GentoolError:
    return GentoolError(
        f"the stop rule was not met by {', '.join(map(str, paths))}; raise --epochs or --patience, "
        "or change --lr (with --resume, more --epochs continue the run)"
    )


@contextmanager
def _epoch_bar(
    planned: PlannedRun, quiet: bool
) -> Iterator["Callable[[PlannedRun, EpochReport], None]"]:
    """Show a bar of the epochs of one network, and yield the function that moves the bar."""
    with progress(quiet, planned.path.stem) as show:

        def show_epoch(_: PlannedRun, report: "EpochReport") -> None:
            show(
                report.epoch / planned.recipe.epochs,
                **_fields(report),
                images_per_second=f"{report.images_per_second:,.0f}",
            )

        yield show_epoch


def _fields(report: "EpochReport") -> dict[str, str]:
    """Return the fields of a progress line after an epoch."""
    return {
        "epoch": str(report.epoch),
        "loss": f"{report.loss:.4f}",
        "error": f"{report.error:.4f}",
    }


@contextmanager
def _grid_bar(
    missing: Sequence[PlannedRun], total: int, quiet: bool, results: "list[JobResult]"
) -> "Iterator[Callbacks]":
    """Show a bar of the networks of a grid, those in training by the part of their epochs.

    Yield callbacks that move the bar, print the outcomes, and append to `results`.
    """
    from gentool.training.jobs import Callbacks

    existing = total - len(missing)
    in_training: dict[Path, float] = {}

    def fraction() -> float:
        return (existing + len(results) + sum(in_training.values())) / total

    with progress(quiet, "networks", f"{existing} of {total}") as show:

        def show_epoch(run: PlannedRun, report: "EpochReport") -> None:
            in_training[run.path] = report.epoch / run.recipe.epochs
            show(fraction(), name=run.path.stem, **_fields(report))

        def end(result: "JobResult") -> None:
            results.append(result)
            in_training.pop(result.planned.path, None)
            show(fraction(), count=f"{existing + len(results)} of {total}")
            if result.error is not None:
                say(f"{result.planned.path.name}: {result.error}")
            elif not quiet:
                words = outcome_in_words(result.recipe, result.outcome)
                say(f"{result.planned.path.name}: {words}")

        yield Callbacks(on_epoch=show_epoch, on_file=print_path, on_end=end)


def _make_folder(folder: Path) -> None:
    if folder.suffix == ".safetensors" or folder.is_file():
        raise UsageError(f"{folder} is a file; for a grid -o names a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GentoolError(f"cannot make the folder {folder}: {error.strerror}") from error


def _prepare_state(planned: PlannedRun, resume: bool, force: bool) -> None:
    """Remove the state of an earlier run for --force.

    Raise GentoolError if there is such a state but neither option.
    """
    state = planned.state_path
    if state.exists() and not resume:
        if not force:
            raise GentoolError(
                f"{state} holds an interrupted run; continue with --resume, or start over with "
                "--force"
            )
        state.unlink()


def _say_start(planned: PlannedRun, epochs: int) -> None:
    """Print where a run with --resume begins, once its state is read."""
    state = planned.state_to_resume
    if epochs or state.exists():
        say(f"continuing from {state}, after {_epochs(epochs)}")
    else:
        say(f"no {state}; starting anew")


def _epochs(number: int) -> str:
    return f"{number} epoch" if number == 1 else f"{number} epochs"


def keep_existing(planned: PlannedRun) -> bool:
    """Print the paths of an existing network, and return whether it met the stop rule.

    Warn if the network differs from the plan, or if its file cannot be read.
    """
    from gentool.records.checkpoint_metadata import read, recipe_and_outcome

    fits, reason = False, None
    try:
        recipe, outcome = recipe_and_outcome(read(planned.path))
        fits = outcome is not None and outcome.stop_rule_met
        if differences := planned.differences(recipe, fits):
            reason = f"{planned.path} has {'; '.join(differences)}"
        elif fits and planned.state_path.exists():
            _remove_state_of(planned.state_path, recipe)
        if not differences and (differences := planned.default_differences(recipe)):
            reason = f"{planned.path} has {'; '.join(differences)}"
    except GentoolError as error:
        reason = str(error)
    if reason:
        goes_on = planned.reason_against_more_epochs() is None
        remedy = "--resume continues it, --force" if goes_on else "--force"
        say(f"{reason}; the file is kept ({remedy} replaces it)")
    for path in [*planned.intermediate_checkpoints(), planned.path]:
        print_path(path)
    return fits


def _is_stopped(error: Exception) -> bool:
    """Return whether torchrun stops its processes, of which another may have ended before this."""
    if not isinstance(error, RuntimeError):
        return False
    try:
        time.sleep(1)
    except KeyboardInterrupt:
        return True
    return stops.is_requested()


def _remove_state_of(state: Path, recipe: Recipe) -> None:
    """Remove a state if its run has this recipe, which is finished: it was killed just then."""
    from gentool.training.state import recipe_of_state

    if recipe_of_state(state) == recipe:
        state.unlink(missing_ok=True)


def _interruption(state: Path, arguments: Sequence[str]) -> str:
    """Return the message on an interrupted run, with the command that continues it."""
    if not state.exists():
        return "interrupted in the first epoch; no state was saved"
    resume = "" if "--resume" in arguments else " --resume"
    return f"interrupted; continue with: {_command_to_resume(arguments)}{resume}"


def _command_to_resume(arguments: Sequence[str]) -> str:
    """Return the same command without --force, which would start over."""
    return command_line([a for a in arguments if a != "--force"])


def outcome_in_words(recipe: Recipe, outcome: Outcome) -> str:
    """Return the outcome of a training run in one line."""
    rule = "stop rule met" if outcome.stop_rule_met else "stop rule NOT met"
    if outcome.gave_up:
        rule += f", gave up (no loss 1 % better in {recipe.patience} epochs)"
    confusion = ""
    if outcome.confusion_error is not None:
        confusion = f", {outcome.confusion_error:.4f} on {recipe.confusion} confusion images"
    more = ""
    if not outcome.stop_rule_met and recipe.schedule not in SPREAD_OVER_EPOCHS:
        option = "--patience" if outcome.gave_up else "--epochs"
        more = f"; train further with --resume {option} MORE"
    test = "no test set"
    if outcome.test_error is not None:
        test = f"{outcome.test_error:.4f} on the test set"
    loss = "not finite" if outcome.train_loss is None else f"{outcome.train_loss:.4g}"
    return (
        f"{rule} after {_epochs(outcome.epochs)}: in evaluation mode cross-entropy "
        f"{loss}, error {outcome.train_error:.4f} on {recipe.subset} training "
        f"images{confusion}, {test}{more}"
    )
