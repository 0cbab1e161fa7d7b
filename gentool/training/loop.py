"""Train the network of a recipe until it fits, alone or in a stack with others.

The stop rule is checked in evaluation mode on the whole training set: a rule on the training-mode
loss would never be met with dropout. Every random choice of an epoch comes from the seed and the
number of that epoch, so that a resumed run needs no state of a random generator to repeat an
uninterrupted one, bit for bit on a CPU.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from gentool.common import stops
from gentool.common.errors import GentoolError
from gentool.data.examples import TrainingSet
from gentool.networks.models import has_convolutions
from gentool.numerics.device import cpu_threads
from gentool.records.recipe import Outcome, Recipe
from gentool.training.epoch import step_function, train_epoch
from gentool.training.run import CheckpointPolicy, EpochReport, Run
from gentool.training.stacked_mlps import StackedMLPs, batch_sizes, release, stack_key, step_kind
from gentool.training.stacking import threads_of_stack

SMALL_STEP = 2**22  # multiplications of a forward pass, as measured
SHORT_EPOCH = 2.0  # seconds


def train(
    recipe: Recipe,
    sets: TrainingSet,
    device: torch.device,
    *,
    state_path: Path | None = None,
    resume: bool = False,
    save_every: int | None = None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_checkpoint: Callable[[nn.Module, Outcome], None] | None = None,
) -> tuple[nn.Module, Outcome]:
    """Train the network of a recipe until the stop rule is met, it gives up, or epochs are over.

    The stop rule: mean cross-entropy below `stop_loss` and error zero on the subset and the
    confusion set together, in evaluation mode. Training gives up if `patience` epochs did not lower
    the training-mode loss by 1 %. The other arguments are those of `CheckpointPolicy`.

    Return the network in evaluation mode, and the outcome. Raise GentoolError if the loss is no
    longer finite.
    """
    policy = CheckpointPolicy(state_path, resume, save_every, on_epoch, on_checkpoint)
    run = Run(recipe, sets, device, policy)
    with own_threads(run):
        run.start()
        train_runs([run])
        return run.result()


def train_runs(
    runs: Sequence[Run],
    on_end: Callable[[Run], None] = lambda run: None,
    on_error: Callable[[Run, GentoolError], None] | None = None,
) -> None:
    """Train runs until each is over; several runs, or a single plain MLP, in a stack.

    Several runs need equal `stack_key`s, not None. `on_end` is called for a run as soon as it is
    over, while the others go on, and `on_error` for one that fails; without `on_error` raise.
    """
    device = runs[0].examples.labels.device
    threads = torch.get_num_threads()
    with own_threads(runs[0]), torch.random.fork_rng([device] if device.type == "cuda" else []):
        seconds_before = math.inf
        while runs := _unfinished(runs, on_end):
            train_next_epoch, failed = epoch_function(runs, threads), []
            while not failed and not any(run.is_over for run in runs):
                with _finished_first(runs, seconds_before):
                    began = time.perf_counter()
                    results = train_next_epoch()
                    seconds = (time.perf_counter() - began) / len(runs)
                    for run, (loss, error) in zip(runs, results, strict=True):
                        try:
                            run.after_epoch(loss, error, seconds)
                        except GentoolError as error:
                            if on_error is None:
                                raise
                            on_error(run, error)
                            failed.append(run)
                    seconds_before = time.perf_counter() - began
                stops.check()
            runs = [run for run in runs if run not in failed]


@contextmanager
def _finished_first(runs: Sequence[Run], seconds: float) -> Iterator[None]:
    """Let an epoch be finished before the process is stopped, and save the states then.

    Only where the epoch before took few seconds: with longer ones the states on the disk have to
    do. Not in several processes, where others may have stopped before this epoch.
    """
    if seconds > SHORT_EPOCH or runs[0].group.size > 1:
        yield
        return
    with stops.held():
        yield
        if stops.is_requested():
            for run in runs:
                run.save_state()


def epoch_function(
    runs: Sequence[Run], threads: int | None = None
) -> Callable[[], list[tuple[float, float]]]:
    """Return a function that trains one epoch of each run and returns running losses and errors.

    Products of a stack may take `threads` CPU threads, by default as torch. Runs are stacked only
    where each gets the bits that it would get alone; otherwise they take turns.
    """
    [key] = {stack_key(run.recipe, len(run.examples)) for run in runs}
    if key is not None and runs[0].group.size == 1:
        sizes = tuple(set(batch_sizes(runs[0])))
        threads = threads_of_stack(
            step_kind(runs[0]), len(runs), sizes, threads or torch.get_num_threads()
        )
        parts = [[run] for run in runs] if threads is None else [runs]
        stacks = [StackedMLPs(part, threads) for part in parts]
        return lambda: [result for stack in stacks for result in stack.train_epoch()]
    [run] = runs
    step = step_function(run)  # made once, for all epochs
    return lambda: [train_epoch(run, step)]


def _unfinished(runs: Sequence[Run], on_end: Callable[[Run], None]) -> list[Run]:
    """Return the runs that are not over; call `on_end` for the others."""
    for run in runs:
        if run.is_over:
            release(run)
            on_end(run)
    return [run for run in runs if not run.is_over]


@contextmanager
def own_threads(run: Run) -> Iterator[None]:
    """Compute with one thread if the network is small, whatever number the process may use.

    Threads change what sums are rounded to. A small network gains nothing from them, so that its
    result does not depend on their number. In several processes nothing is changed.
    """
    is_single = run.group.size == 1 and is_small(run)
    with cpu_threads(1 if is_single else torch.get_num_threads()):
        yield


def is_small(run: Run) -> bool:
    """Return whether a training step is too small to gain from several threads."""
    model = run.state.model
    multiplications = run.recipe.batch_size * sum(p.numel() for p in model.parameters())
    return not has_convolutions(model) and multiplications < SMALL_STEP
