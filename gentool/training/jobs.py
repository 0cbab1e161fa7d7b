"""Train planned runs, in this process or in worker processes, and write their checkpoints.

A worker process gets a batch of planned runs and the settings of the command, and returns the paths
of the files that it wrote and the result of each run.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import nn

from gentool.checkpoints import checkpoint
from gentool.common import stops
from gentool.common.errors import GentoolError
from gentool.common.run_log import RunLog
from gentool.data.examples import training_set
from gentool.data.reading import reading_of
from gentool.data.sources import DataSets
from gentool.networks.models import initial_digest, with_defaults
from gentool.numerics.device import resolve
from gentool.numerics.memory import share_memory
from gentool.records.recipe import Outcome, Recipe
from gentool.training.continuing import OtherRunError
from gentool.training.distributed import SINGLE_PROCESS, ProcessGroup
from gentool.training.loop import own_threads, train_runs
from gentool.training.optimizers import OPTIMIZERS
from gentool.training.output_locks import finished, try_to_lock, wait_for_output
from gentool.training.plan import LARGEST_STACK, PlannedRun
from gentool.training.run import CheckpointPolicy, EpochReport, Run
from gentool.training.schedules import SCHEDULES
from gentool.training.stacked_mlps import stack_key
from gentool.training.state import with_stop_check

# Measured with 2 threads: a stack of ten MLPs of 64 units takes half of the time on 64 inputs, two
# thirds on 784.
STACKED_STEP = 2**22  # multiplications of a forward pass of one network
STACKED_IMAGES = 2**30  # bytes


@dataclass(frozen=True)
class RunSettings:
    """Settings that affect speed but not results (up to rounding); whether to resume; the log."""

    device: str
    threads: int | None
    data_sets: DataSets
    resume: bool
    group: ProcessGroup = SINGLE_PROCESS
    is_compiled: bool = False
    log: RunLog | None = None
    locks: bool = False  # each network, since another command may train the same grid
    replaces: bool = False  # networks that are there already


@dataclass(frozen=True)
class JobResult:
    """Hold the result of a planned run: recipe and outcome, or the error that ended it."""

    planned: PlannedRun
    recipe: Recipe | None = None
    outcome: Outcome | None = None
    error: GentoolError | None = None


@dataclass(frozen=True)
class Callbacks:
    """Functions to call at each start, after each epoch, for each file, and at each end of a run.

    `on_start` gets the number of epochs that the state of an interrupted run has behind it.
    """

    on_start: Callable[[PlannedRun, int], None] = lambda planned, epochs: None
    on_epoch: Callable[[PlannedRun, EpochReport], None] = lambda planned, report: None
    on_file: Callable[[Path], None] = lambda path: None
    on_end: Callable[[JobResult], None] = lambda result: None


def check_plan(plan: Sequence[PlannedRun]) -> None:
    """Raise UsageError for an unknown model, model option, optimizer or schedule.

    No data is loaded for it.
    """
    for planned in plan:
        check_names(_recipe_with_defaults(planned))


def train_planned_runs(
    plan: Sequence[PlannedRun], settings: RunSettings, callbacks: Callbacks
) -> None:
    """Train networks and write their checkpoints; stack them where that is faster.

    The networks differ in labels and seed alone. Report a failing run to `on_end` and go on with
    the others. With `settings.locks` networks that another process trains come last, when that has
    ended.
    """
    waiting, elsewhere = list(plan), []
    while waiting:
        with ExitStack() as locks:
            runs = _start_runs(waiting[:1], settings, callbacks, locks, elsewhere)
            size = _stack_size(next(iter(runs))) if runs else 1
            runs |= _start_runs(waiting[1:size], settings, callbacks, locks, elsewhere)
            del waiting[:size]
            if runs:
                _train_and_write(runs, callbacks)
    for planned in elsewhere:  # without a lock in hand, so that nobody waits for us meanwhile
        _train_or_keep(planned, settings, callbacks)


def _train_or_keep(planned: PlannedRun, settings: RunSettings, callbacks: Callbacks) -> None:
    """Wait until another process has trained a network; train it if that did not end well."""
    with wait_for_output(planned):
        if not _is_kept(planned, callbacks):
            alone = replace(settings, locks=False, resume=True)
            train_planned_runs([planned], alone, callbacks)


def _is_kept(planned: PlannedRun, callbacks: Callbacks) -> bool:
    """Return whether another process has trained the network meanwhile; report its result then."""
    done = finished(planned)
    if done is not None:
        callbacks.on_file(planned.path)
        callbacks.on_end(JobResult(planned, *done))
    return done is not None


def _start_runs(
    plan: Sequence[PlannedRun],
    settings: RunSettings,
    callbacks: Callbacks,
    locks: ExitStack,
    elsewhere: list[PlannedRun],
) -> dict[Run, PlannedRun]:
    """Draw the data of planned runs and start them; report those that fail to `on_end`.

    Networks that other processes train are added to `elsewhere`, the locks of the others to
    `locks`.
    """
    runs = {}
    for planned in plan:
        try:
            if settings.locks:
                locked = try_to_lock(planned)
                if locked is None:
                    elsewhere.append(planned)
                    continue
                locks.enter_context(locked)
                if not settings.replaces and _is_kept(planned, callbacks):
                    continue
            run, started = _start_run(planned, settings, resolve(settings.device), callbacks)
            runs[run] = started
        except GentoolError as error:
            callbacks.on_end(JobResult(planned, error=error))
    return runs


def _stack_size(run: Run) -> int:
    """Return how many networks like that of a run to train in one stack; 1 for none beside it."""
    images = run.examples.images
    parameters = sum(parameter.numel() for parameter in run.state.model.parameters())
    is_faster = run.recipe.batch_size * parameters < STACKED_STEP
    if not is_faster or stack_key(run.recipe, len(run.examples)) is None:
        return 1
    most = STACKED_IMAGES // (images.numel() * images.element_size())
    return max(1, min(LARGEST_STACK, most))


def _train_and_write(runs: dict[Run, PlannedRun], callbacks: Callbacks) -> None:
    """Train runs together; those that go on with another stop check than the rest, apart."""
    for stop_check in sorted({run.recipe.stop_check for run in runs}):
        train_runs(
            [run for run in runs if run.recipe.stop_check == stop_check],
            on_end=lambda run: callbacks.on_end(_write_result(runs[run], run, callbacks)),
            on_error=lambda run, error: callbacks.on_end(JobResult(runs[run], error=error)),
        )


def _recipe_with_defaults(planned: PlannedRun) -> Recipe:
    """Return the recipe of a planned run with the defaults of its model filled in."""
    options = with_defaults(planned.recipe.model, planned.model_options)
    return replace(planned.recipe, **options)


def _start_run(
    planned: PlannedRun, settings: RunSettings, device: torch.device, callbacks: Callbacks
) -> tuple[Run, PlannedRun]:
    """Draw the data of a planned run; resume the run or write its initial checkpoint.

    Return the run, and its plan: with the other path if a run with other options has the first.
    """
    recipe = _recipe_with_defaults(planned)
    data = settings.data_sets.load(recipe.data, reading_of(recipe))
    recipe, sets = training_set(recipe, data, device)
    state = planned.state_to_resume if settings.resume and settings.group.is_main else None
    stop_check = settings.group.broadcast(with_stop_check(recipe, state).stop_check)
    recipe = replace(recipe, initial_digest=initial_digest(recipe), stop_check=stop_check)

    def save(model: nn.Module, outcome: Outcome) -> None:
        path = planned.intermediate_path(outcome.epochs)
        if path is not None and settings.group.is_main:
            checkpoint.write(path, model, recipe, outcome)
            callbacks.on_file(path)

    def save_at(model: nn.Module, outcome: Outcome, threshold: float) -> None:
        if settings.group.is_main:
            path = planned.threshold_path(threshold)
            checkpoint.write(path, model, replace(recipe, stop_loss=threshold), outcome)
            callbacks.on_file(path)

    series = None

    def on_epoch(report: EpochReport) -> None:
        callbacks.on_epoch(planned, report)
        if series is not None:
            series.append(epochs=recipe.epochs, **report.to_json())

    policy = CheckpointPolicy(
        state_path=planned.state_path,
        resume=settings.resume,
        last_state_path=planned.last_state_path if planned.path.exists() else None,
        save_every=planned.save_every,
        on_epoch=on_epoch,
        on_checkpoint=save if planned.has_intermediate_checkpoints else None,
        keep_at=planned.keep_at,
        on_threshold=save_at,
    )
    run = Run(recipe, sets, device, policy, settings.group, settings.is_compiled)
    try:
        with own_threads(run):
            run.start()
    except OtherRunError:
        if planned.other_path is None:
            raise
        planned = replace(planned, path=planned.other_path, other_path=None)
        return _start_run(planned, settings, device, callbacks)
    if settings.log is not None and settings.group.is_main:
        series = settings.log.series("train", planned.path, after=run.state.epoch)
    callbacks.on_start(planned, run.state.epoch)
    return run, planned


def _write_result(planned: PlannedRun, run: Run, callbacks: Callbacks) -> JobResult:
    """Write the checkpoint of a finished run, and return the result.

    The last state is kept where the stop rule was not met, so that more epochs can follow.
    """
    model, outcome = run.result()
    if not run.group.is_main:
        return JobResult(planned, run.recipe, outcome)
    planned = replace(planned, path=planned.path_to_write())
    try:
        with stops.held():  # so that no state is left beside a finished checkpoint
            checkpoint.write(planned.path, model, run.recipe, outcome)
            if outcome.stop_rule_met:
                planned.last_state_path.unlink(missing_ok=True)
            else:
                run.state.write(planned.last_state_path, run.recipe)
            planned.state_path.unlink(missing_ok=True)
            callbacks.on_file(planned.path)
    except GentoolError as error:
        return JobResult(planned, error=error)
    return JobResult(planned, run.recipe, outcome)


def train_in_workers(
    batches: Sequence[Sequence[PlannedRun]],
    settings: RunSettings,
    callbacks: Callbacks,
    jobs: int,
) -> None:
    """Train batches of planned runs in worker processes.

    Workers share the CPU's cores, and a GPU's memory, in equal parts. `on_file` and `on_end` are
    called when a batch is done, `on_epoch` never. On Ctrl-C or SIGTERM stop the workers, which save
    the states of their runs, and raise KeyboardInterrupt. Raise GentoolError if a worker was killed
    or ran out of memory.
    """
    jobs = min(jobs, len(batches))
    threads = settings.threads or max(1, (os.cpu_count() or 1) // jobs)
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    arguments = (threads, settings.device, jobs)
    with ProcessPoolExecutor(jobs, context, _init_worker, arguments) as pool:
        futures = [pool.submit(_train_in_worker, batch, settings) for batch in batches]
        try:
            for future in as_completed(futures):
                paths, results = future.result()
                for path in paths:
                    callbacks.on_file(path)
                for result in results:
                    callbacks.on_end(result)
        except BaseException as error:
            for process in multiprocessing.active_children():
                process.terminate()
            pool.shutdown(cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise GentoolError(
                    "a process of the grid was killed, perhaps for its memory; lower --jobs"
                ) from error
            if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
                raise GentoolError(
                    "a process of the grid ran out of memory; lower --jobs or --batch-size"
                ) from error
            raise


def _train_in_worker(
    batch: Sequence[PlannedRun], settings: RunSettings
) -> tuple[list[Path], list[JobResult]]:
    """Train a batch in a worker process; return the paths of the files written, and the results."""
    settings = replace(settings, data_sets=_worker_data_sets(settings.data_sets.folder))
    paths: list[Path] = []
    results: list[JobResult] = []
    with _interrupted_by_sigterm():
        train_planned_runs(batch, settings, Callbacks(on_file=paths.append, on_end=results.append))
    return paths, results


@cache
def _worker_data_sets(folder: Path) -> DataSets:
    """Return the data sets of a worker process, which it keeps from batch to batch."""
    return DataSets(folder)


def _init_worker(threads: int, device: str, workers: int) -> None:
    """Set up a worker: its parent ends it by SIGTERM, and it exits when the parent has ended.

    Ctrl-C and SIGHUP reach all processes of a terminal; they are for the parent.
    """
    for number in set(stops.SIGNALS) - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    share_memory(resolve(device), workers)


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Let SIGTERM interrupt the block; before and after it SIGTERM ends the process at once.

    A worker that was asked to stop begins no other batch, which may be waiting for it already.
    """
    stops.check()
    with stops.handled((signal.SIGTERM,), forget=False):
        yield


def _exit_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def check_names(recipe: Recipe) -> None:
    """Raise UsageError if the optimizer or the schedule is unknown."""
    OPTIMIZERS.check(recipe.optimizer)
    SCHEDULES.check(recipe.schedule)
