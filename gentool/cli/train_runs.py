"""What `gentool train` shows and says while it trains one network, or a grid of them."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gentool.cli.options import DataFolder, Machine
from gentool.common.console import progress, say
from gentool.common.errors import GentoolError, Interrupted, UsageError
from gentool.common.files import Existing
from gentool.records.recipe import Outcome, Recipe
from gentool.training.plan import PlannedRun, worker_batches

if TYPE_CHECKING:
    from gentool.training.distributed import ProcessGroup
    from gentool.training.jobs import Callbacks, JobResult, RunSettings
    from gentool.training.run import EpochReport


@dataclass(frozen=True)
class TrainOptions:
    """The options of the command that are of no network in particular."""

    machine: Machine
    data_folder: DataFolder
    quiet: bool
    must_fit: bool
    jobs: int
    is_compiled: bool
    arguments: tuple[str, ...]  # of the command line, to be given again after an interruption

    def settings(self, resume: bool, group: "ProcessGroup | None" = None) -> "RunSettings":
        """What the trainer is told of them."""
        from gentool.training.distributed import SINGLE_PROCESS
        from gentool.training.jobs import RunSettings

        return RunSettings(
            device=self.machine.device,
            threads=self.machine.threads,
            data_sets=self.data_folder.data_sets(self.quiet),
            resume=resume,
            group=group or SINGLE_PROCESS,
            is_compiled=self.is_compiled,
        )


def train_in_team(
    planned: PlannedRun, training: TrainOptions, existing: Existing, resume: bool
) -> None:
    """Train a network as one of the processes that torchrun started; the first alone talks."""
    from gentool.training.distributed import join_process_group, leave_process_group

    group, device = join_process_group(training.machine.device)
    is_done = False
    try:
        machine = replace(training.machine, device=device)
        quiet = training.quiet or not group.is_main
        training = replace(training, machine=machine, quiet=quiet)
        train_one(planned, training, existing, resume, group)
        is_done = True
    finally:
        leave_process_group(wait=is_done)


def train_one(
    planned: PlannedRun,
    training: TrainOptions,
    existing: Existing,
    resume: bool,
    group: "ProcessGroup | None" = None,
) -> None:
    """Train a network and print the path of each of its files."""
    is_main = group is None or group.is_main
    is_missing = planned.is_missing(existing, resume) if is_main else False
    if group is not None:
        is_missing = group.broadcast(is_missing)
    if not is_missing:
        if is_main and not keep(planned) and training.must_fit:
            raise _unfit([planned.path])
        return
    from gentool.training.jobs import Callbacks, check_plan, train_planned_runs

    check_plan([planned])
    training.machine.use_device()
    if is_main:
        _look_after_state(planned, resume, existing is Existing.FORCE, training.quiet)
    with _epochs_shown(planned, training.quiet) as show:
        results: list[JobResult] = []
        callbacks = Callbacks(on_epoch=show, on_file=print_path, on_end=results.append)
        try:
            train_planned_runs([planned], training.settings(resume, group), callbacks)
        except KeyboardInterrupt:
            raise Interrupted(_how_to_resume(planned.state_path, training.arguments)) from None
    if results[0].error is not None:
        raise results[0].error
    if not training.quiet:
        say(in_words(results[0].recipe, results[0].outcome))
    if training.must_fit and not results[0].outcome.stop_rule_met:
        raise _unfit([planned.path])


def train_grid(planned: Sequence[PlannedRun], training: TrainOptions, force: bool) -> None:
    """Train the networks of a grid that are not there yet, and print the path of each file.

    Where some cannot be trained the others are, and GentoolError says how many could not.
    """
    _make_folder(planned[0].path.parent)
    existing = Existing.FORCE if force else Existing.SKIP
    missing = [one for one in planned if one.is_missing(existing, resume=True)]
    unfit = [one.path for one in planned if one not in missing and not keep(one)]
    if not missing:
        _judge([], unfit, training.must_fit)
        return
    if force:
        for one in missing:
            one.state_path.unlink(missing_ok=True)
    from gentool.training.jobs import check_plan

    check_plan(missing)
    training.machine.use_device()
    results: list[JobResult] = []
    try:
        with _networks_shown(missing, len(planned), training.quiet) as listener_for:
            _train_all(missing, training, listener_for(results))
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; go on with: {_again(training.arguments)}") from None
    _judge(results, unfit, training.must_fit)


def _train_all(
    missing: Sequence[PlannedRun], training: TrainOptions, callbacks: "Callbacks"
) -> None:
    """Train networks in this process, or in several."""
    from gentool.training.jobs import train_in_workers, train_planned_runs

    settings = training.settings(resume=True)
    if training.jobs == 1:
        for unit in worker_batches(missing, 1):
            train_planned_runs(unit, settings, callbacks)
        return
    train_in_workers(
        list(worker_batches(missing, training.jobs)), settings, callbacks, training.jobs
    )


def _judge(results: "Sequence[JobResult]", unfit: Sequence[Path], must_fit: bool) -> None:
    """Raise GentoolError where networks of a grid failed, or did not fit and had to.

    `unfit` are those that were there already and do not fit.
    """
    if failed := sum(end.error is not None for end in results):
        raise GentoolError(f"{failed} of {len(results)} networks could not be trained")
    unfit = [*unfit, *(end.planned.path for end in results if not end.outcome.stop_rule_met)]
    if must_fit and unfit:
        raise _unfit(unfit)


def _unfit(paths: Sequence[Path]) -> GentoolError:
    return GentoolError(
        f"the stop rule was not met by {', '.join(map(str, paths))}; raise --epochs or --patience, "
        "or change --lr"
    )


@contextmanager
def _epochs_shown(
    planned: PlannedRun, quiet: bool
) -> Iterator["Callable[[PlannedRun, EpochReport], None]"]:
    """A bar of one network's epochs, and what moves it."""
    with progress(quiet, "loss", "error", "images_per_second") as bar:
        fields = {"loss": "-", "error": "-", "images_per_second": "-"}
        task = bar.add_task(planned.path.stem, total=planned.recipe.epochs, **fields)

        def show(_: PlannedRun, report: "EpochReport") -> None:
            bar.update(
                task,
                completed=report.epoch,
                loss=f"{report.loss:.4f}",
                error=f"{report.error:.4f}",
                images_per_second=f"{report.images_per_second:,.0f}",
            )

        yield show


@contextmanager
def _networks_shown(
    missing: Sequence[PlannedRun], total: int, quiet: bool
) -> "Iterator[Callable[[list[JobResult]], Callbacks]]":
    """A bar of the networks of a grid, and a listener that moves it and keeps what has ended."""
    from gentool.training.jobs import Callbacks

    with progress(quiet, "now", "epoch", "loss") as bar:
        fields = {"now": "-", "epoch": "-", "loss": "-"}
        there = total - len(missing)
        task = bar.add_task(f"{total} networks", total=total, completed=there, **fields)

        def show(one: PlannedRun, report: "EpochReport") -> None:
            bar.update(task, now=one.path.stem, epoch=report.epoch, loss=f"{report.loss:.4f}")

        def end(results: "list[JobResult]", what: "JobResult") -> None:
            results.append(what)
            bar.update(task, completed=there + len(results))
            if what.error is not None:
                say(f"{what.planned.path.name}: {what.error}")
            elif not quiet:
                say(f"{what.planned.path.name}: {in_words(what.recipe, what.outcome)}")

        yield lambda results: Callbacks(
            on_epoch=show, on_file=print_path, on_end=lambda what: end(results, what)
        )


def _make_folder(folder: Path) -> None:
    if folder.suffix == ".safetensors" or folder.is_file():
        raise UsageError(f"{folder} is a file; for a grid -o names a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GentoolError(f"cannot make the folder {folder}: {error.strerror}") from error


def _look_after_state(planned: PlannedRun, resume: bool, force: bool, quiet: bool) -> None:
    """Remove the state of an earlier run where it is not wanted; GentoolError if nobody said so."""
    state = planned.state_path
    if state.exists() and not resume:
        if not force:
            raise GentoolError(
                f"{state} holds an interrupted run; go on with --resume or start over with --force"
            )
        state.unlink()
    if resume and not quiet:
        say(f"going on from {state}" if state.exists() else f"no {state}; starting anew")


def print_path(path: Path) -> None:
    """Print the path of a file that was written, for the next command in a pipe."""
    print(path, flush=True)


def keep(planned: PlannedRun) -> bool:
    """Print the paths of a network that is there already; whether it met the stop rule.

    Says so where it is not what is asked.
    """
    fits, reason = False, None
    try:
        recipe, outcome = _said(planned.path)
        fits = outcome is not None and outcome.stop_rule_met
        if differences := planned.differences(recipe, fits):
            reason = f"{planned.path} has {'; '.join(differences)}"
    except GentoolError as error:
        reason = str(error)
    if reason:
        say(f"{reason}; it is kept as it is (--force replaces it)")
    for path in [*planned.intermediate_checkpoints(), planned.path]:
        print_path(path)
    return fits


def _said(path: Path) -> tuple[Recipe, Outcome | None]:
    """What a checkpoint says of its training; GentoolError, with its path, where it is damaged."""
    from gentool.records.checkpoint_metadata import read, recipe_and_outcome

    return recipe_and_outcome(read(path))


def _how_to_resume(state: Path, arguments: Sequence[str]) -> str:
    if not state.exists():
        return "interrupted in the first epoch; nothing was kept"
    resume = "" if "--resume" in arguments else " --resume"
    return f"interrupted; go on with: {_again(arguments)}{resume}"


def _again(arguments: Sequence[str]) -> str:
    """The command that goes on where one was interrupted: the same one without --force."""
    return f"gentool {shlex.join(one for one in arguments if one != '--force')}"


def in_words(recipe: Recipe, outcome: Outcome) -> str:
    """The outcome in one line."""
    rule = "stop rule met" if outcome.stop_rule_met else "stop rule NOT met"
    if outcome.gave_up:
        rule += f", gave up (no loss 1 % better in {recipe.patience} epochs)"
    confusion = ""
    if outcome.confusion_error is not None:
        confusion = f", {outcome.confusion_error:.4f} on {recipe.confusion} confusion images"
    return (
        f"{rule} after {outcome.epochs} epochs: in evaluation mode cross-entropy "
        f"{outcome.train_loss:.4g}, error {outcome.train_error:.4f} on {recipe.subset} training "
        f"images{confusion}, {outcome.test_error:.4f} on the test set"
    )
