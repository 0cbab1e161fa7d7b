"""From networks that are wanted to their files: data, recipe, training, checkpoints.

What processes of a pool are given and give back is here too: a unit of networks, the settings of
the command, and what became of each network.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import nn

from gentool.checkpoints import checkpoint
from gentool.common.errors import GentoolError
from gentool.data.examples import training_set
from gentool.data.sources import DataSets
from gentool.networks.models import initial_digest, with_defaults
from gentool.numerics.device import resolve
from gentool.records.recipe import Outcome, Recipe
from gentool.training.distributed import SINGLE_PROCESS, ProcessGroup
from gentool.training.loop import is_small, train_together
from gentool.training.optimizers import OPTIMIZERS
from gentool.training.plan import LARGEST_STACK, PlannedRun
from gentool.training.run import CheckpointPolicy, EpochReport, Run
from gentool.training.schedules import SCHEDULES
from gentool.training.stacked_mlps import stack_key

# Measured: ten MLPs of 64 units take half of the time on 64 inputs, two thirds on 784 (2 threads).
STACKED_STEP = 2**22  # multiplications of a forward pass of one network
STACKED_IMAGES = 2**30  # bytes
THREADED_STACK = 4


@dataclass(frozen=True)
class RunSettings:
    """How to train, whatever the network: nothing of it changes a result beyond rounding."""

    device: str
    threads: int | None
    data_sets: DataSets
    resume: bool
    group: ProcessGroup = SINGLE_PROCESS
    is_compiled: bool = False


@dataclass(frozen=True)
class JobResult:
    """What became of a network: its recipe and outcome, or the error that ended it."""

    planned: PlannedRun
    recipe: Recipe | None = None
    outcome: Outcome | None = None
    error: GentoolError | None = None


@dataclass(frozen=True)
class Callbacks:
    """Whom to tell of epochs, of files written, and of networks that have ended."""

    on_epoch: Callable[[PlannedRun, EpochReport], None] = lambda planned, report: None
    on_file: Callable[[Path], None] = lambda path: None
    on_end: Callable[[JobResult], None] = lambda results: None


def check(planned: Sequence[PlannedRun]) -> None:
    """Raise UsageError, before any data is loaded, for what is wrongly asked."""
    for one in planned:
        recipe = replace(one.asked, **with_defaults(one.asked.model, one.shape))
        check_names(recipe)


def train_unit(unit: Sequence[PlannedRun], settings: RunSettings, callbacks: Callbacks) -> None:
    """Train networks that are alike and write their checkpoints, stacked where that is faster.

    A network that cannot be trained is told to the listener, and the others go on.
    """
    waiting = list(unit)
    while waiting:
        runs = _drawn(waiting[:1], settings, callbacks)
        beside = _room_beside(next(iter(runs))) if runs else 0
        runs |= _drawn(waiting[1 : 1 + beside], settings, callbacks)
        del waiting[: 1 + beside]
        if runs:
            if settings.threads is None:
                _use_threads(runs)
            _train(runs, callbacks)


def _drawn(
    unit: Sequence[PlannedRun], settings: RunSettings, callbacks: Callbacks
) -> dict[Run, PlannedRun]:
    """The runs of networks, their data drawn; what cannot be drawn is told to the listener."""
    runs = {}
    for one in unit:
        try:
            runs[_run(one, settings, resolve(settings.device), callbacks)] = one
        except GentoolError as error:
            callbacks.on_end(JobResult(one, error=error))
    return runs


def _room_beside(run: Run) -> int:
    """How many networks alike may be trained beside one, in a stack with it."""
    images = run.examples.images
    parameters = sum(parameter.numel() for parameter in run.state.model.parameters())
    is_faster = run.recipe.batch_size * parameters < STACKED_STEP
    if not is_faster or stack_key(run.recipe, len(run.examples)) is None:
        return 0
    room = STACKED_IMAGES // (images.numel() * images.element_size())
    return max(1, min(LARGEST_STACK, room)) - 1


def _use_threads(runs: Collection[Run]) -> None:
    """One thread where a step is too small to share, all for a larger one or a larger stack."""
    threads = _all_threads()
    are_few = len(runs) < THREADED_STACK and is_small(next(iter(runs)).recipe)
    torch.set_num_threads(1 if are_few else threads)


@cache
def _all_threads() -> int:
    """The threads that this process began with."""
    return torch.get_num_threads()


def _train(runs: dict[Run, PlannedRun], callbacks: Callbacks) -> None:
    train_together(
        list(runs),
        on_end=lambda run: callbacks.on_end(_written(runs[run], run, callbacks)),
        on_error=lambda run, error: callbacks.on_end(JobResult(runs[run], error=error)),
    )


def _run(one: PlannedRun, settings: RunSettings, device: torch.device, callbacks: Callbacks) -> Run:
    """The run of a network, its data drawn, resumed or with its initial checkpoint written."""
    recipe = replace(one.asked, **with_defaults(one.asked.model, one.shape))
    data = settings.data_sets.load(recipe.data)
    recipe, sets = training_set(recipe, data, device)
    recipe = replace(recipe, initial_digest=initial_digest(recipe))

    def save(model: nn.Module, outcome: Outcome) -> None:
        path = one.path_at(outcome.epochs)
        if path is not None and settings.group.is_main:
            checkpoint.write(path, model, recipe, outcome)
            callbacks.on_file(path)

    policy = CheckpointPolicy(
        state_path=one.state_path,
        resume=settings.resume,
        save_every=one.save_every,
        on_epoch=lambda report: callbacks.on_epoch(one, report),
        on_checkpoint=save if one.has_several_files else None,
    )
    run = Run(recipe, sets, device, policy, settings.group, settings.is_compiled)
    run.start()
    return run


def _written(one: PlannedRun, run: Run, callbacks: Callbacks) -> JobResult:
    """What became of a network that was trained to its end, its checkpoint written."""
    outcome = run.outcome()
    if not run.group.is_main:
        return JobResult(one, run.recipe, outcome)
    try:
        checkpoint.write(one.path, run.state.model, run.recipe, outcome)
    except GentoolError as error:
        return JobResult(one, error=error)
    one.state_path.unlink(missing_ok=True)
    callbacks.on_file(one.path)
    return JobResult(one, run.recipe, outcome)


def in_processes(
    worker_batches: Sequence[Sequence[PlannedRun]],
    settings: RunSettings,
    callbacks: Callbacks,
    jobs: int,
) -> None:
    """Train units in several processes; files and ends are told when a unit is done.

    Raises KeyboardInterrupt after the processes have been told to stop where they are.
    """
    threads = settings.threads or max(1, (os.cpu_count() or 1) // jobs)
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    with ProcessPoolExecutor(jobs, context, _begin_process, (threads,)) as pool:
        futures = [pool.submit(_train_apart, unit, settings) for unit in worker_batches]
        try:
            for future in as_completed(futures):
                files, ends = future.result()
                for path in files:
                    callbacks.on_file(path)
                for results in ends:
                    callbacks.on_end(results)
        except BaseException as error:
            for process in multiprocessing.active_children():
                process.terminate()
            pool.shutdown(cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise GentoolError(
                    "a process of the grid was killed, perhaps for its memory; lower --jobs"
                ) from error
            raise


def _train_apart(
    unit: Sequence[PlannedRun], settings: RunSettings
) -> tuple[list[Path], list[JobResult]]:
    """Train a unit in a process of a pool."""
    settings = replace(settings, data_sets=_of_this_process(settings.data_sets.folder))
    files: list[Path] = []
    ends: list[JobResult] = []
    train_unit(unit, settings, Callbacks(on_file=files.append, on_end=ends.append))
    return files, ends


@cache
def _of_this_process(folder: Path) -> DataSets:
    """The data sets of a process of a pool, kept from unit to unit; it ends with its command."""
    return DataSets(folder)


def _begin_process(threads: int) -> None:
    """Leave Ctrl-C to the parent; stop cleanly when it says so, at once when it has gone."""
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def check_names(recipe: Recipe) -> None:
    """Raise UsageError, before any data is loaded, for an optimizer or schedule that is unknown."""
    OPTIMIZERS.check(recipe.optimizer)
    SCHEDULES.check(recipe.schedule)
