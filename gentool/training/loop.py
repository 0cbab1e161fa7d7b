"""Training: from a recipe and its examples to a trained network and its outcome.

The stop rule is judged in evaluation mode on everything that is trained on: a rule on the
training-mode loss never fires with dropout. Every random choice of an epoch comes from the seed and
the number of that epoch, so that a resumed run needs no state of any generator to repeat what an
uninterrupted one does, bit for bit on a CPU.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from gentool.common.errors import GentoolError
from gentool.data.examples import TrainingSet
from gentool.networks.models import build, has_convolutions
from gentool.records.recipe import Outcome, Recipe
from gentool.training.epoch import step_of, train_epoch
from gentool.training.run import CheckpointPolicy, EpochReport, Run
from gentool.training.stacked_mlps import StackedMLPs, release, stack_key

SMALL_STEP = 2**22  # multiplications of a forward pass, as measured


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
    confusion set together, in evaluation mode. It gives up where `patience` epochs did not lower
    the training-mode loss by 1 %. The other arguments are those of `CheckpointPolicy`.

    Returns the network in evaluation mode, and the outcome. Raises GentoolError where the loss is
    no longer finite.
    """
    policy = CheckpointPolicy(state_path, resume, save_every, on_epoch, on_checkpoint)
    run = Run(recipe, sets, device, policy)
    run.start()
    train_together([run])
    return run.state.model.eval(), run.outcome()


def train_together(
    runs: Sequence[Run],
    on_end: Callable[[Run], None] = lambda run: None,
    on_error: Callable[[Run, GentoolError], None] | None = None,
) -> None:
    """Train runs until each is over: several, or one plain MLP, in a stack.

    Several runs have one `stack_key`, which is not None. A run is told to `on_end` as soon as it is
    over, while the others go on; so is one that fails to `on_error`, without which the error is
    raised.
    """
    device = runs[0].examples.labels.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        while runs := _still_going(runs, on_end):
            next_epoch, failed = epochs_of(runs), []
            while not failed and not any(run.is_over for run in runs):
                began = time.perf_counter()
                results = next_epoch()
                seconds = (time.perf_counter() - began) / len(runs)
                for run, (loss, error) in zip(runs, results, strict=True):
                    try:
                        run.after_epoch(loss, error, seconds)
                    except GentoolError as reason:
                        if on_error is None:
                            raise
                        on_error(run, reason)
                        failed.append(run)
            runs = [run for run in runs if run not in failed]


def epochs_of(runs: Sequence[Run]) -> Callable[[], list[tuple[float, float]]]:
    """What trains an epoch of each run and returns its running loss and error."""
    [key] = {stack_key(run.recipe, len(run.examples)) for run in runs}
    if key is not None and runs[0].group.size == 1:
        return StackedMLPs(runs).train_epoch
    [run] = runs
    step = step_of(run)
    return lambda: [train_epoch(run, step)]


def _still_going(runs: Sequence[Run], on_end: Callable[[Run], None]) -> list[Run]:
    """The runs that are not over; the others are told to `on_end`."""
    for run in runs:
        if run.is_over:
            release(run)
            on_end(run)
    return [run for run in runs if not run.is_over]


def is_small(recipe: Recipe) -> bool:
    """Whether a step is too small to share between threads, which then wait for each other."""
    model = build(recipe)
    multiplications = recipe.batch_size * sum(p.numel() for p in model.parameters())
    return not has_convolutions(model) and multiplications < SMALL_STEP
