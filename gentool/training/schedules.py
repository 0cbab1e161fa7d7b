"""Compute learning rates by schedule, and detect when a run stalls or gives up.

A schedule is a function of the epoch and of how often the loss has stalled. Both follow from the
history of losses, so that a resumed run needs no state of a scheduler.
"""

import math
from collections.abc import Sequence

from gentool.common.registry import FunctionRegistry
from gentool.records.recipe import Recipe

SCHEDULES = FunctionRegistry("schedule")
BETTER = 0.99  # a loss below this times the best before has improved
STALL = 10  # epochs without improvement that make a stall
SPREAD_OVER_EPOCHS = ("cosine", "one-cycle")
"""Schedules whose every learning rate depends on the number of all epochs."""
UNDER_WAY = 0.9  # with random labels the loss stays near its first value for long: no stall


@SCHEDULES.register
def constant(epoch: float, epochs: int, stalls: int = 0) -> float:
    """Keep the learning rate as it is."""
    return 1.0


@SCHEDULES.register
def on_stall(epoch: float, epochs: int, stalls: int = 0) -> float:
    """Halve the learning rate whenever the loss has stalled."""
    return 0.5**stalls


@SCHEDULES.register
def cosine(epoch: float, epochs: int, stalls: int = 0) -> float:
    """Lower the learning rate along half a cosine, to 0 at the last epoch."""
    return (1 + math.cos(math.pi * epoch / epochs)) / 2


@SCHEDULES.register
def one_cycle(epoch: float, epochs: int, stalls: int = 0) -> float:
    """Raise it from 1/25 for a quarter of the epochs, then lower it to 0 along half a cosine.

    Smith, 2018.
    """
    rise = 0.25 * epochs
    if epoch < rise:
        return 1 / 25 + (1 - 1 / 25) * epoch / rise
    return (1 + math.cos(math.pi * (epoch - rise) / (epochs - rise))) / 2


@SCHEDULES.register
def exponential(epoch: float, epochs: int, stalls: int = 0) -> float:
    """Multiply it by 0.95 every epoch, as Zhang et al. (ICLR 2017) fit random labels."""
    return 0.95 ** math.floor(epoch)


def learning_rates(recipe: Recipe, losses: Sequence[float], steps: int) -> list[float]:
    """Return the learning rate of each step of the epoch that follows those of `losses`."""
    schedule, epoch, stalls = SCHEDULES[recipe.schedule], len(losses), count_stalls(losses)
    rates = []
    for step in range(steps):
        at = epoch + step / steps
        warm = min(1.0, (at + 1 / steps) / recipe.warmup) if recipe.warmup else 1.0
        rates.append(recipe.lr * warm * schedule(at, recipe.epochs, stalls))
    return rates


def count_stalls(losses: Sequence[float]) -> int:
    """Count how often the loss went ten epochs without improving by 1 %.

    Counting begins once a loss is a tenth below that of the first epoch.
    """
    stalls, since, best = 0, 0, math.inf
    for loss in losses:
        if loss < BETTER * best:
            best, since = loss, 0
        elif best < UNDER_WAY * losses[0]:
            since += 1
            if since == STALL:
                stalls, since = stalls + 1, 0
    return stalls


def has_given_up(losses: Sequence[float], patience: int | None) -> bool:
    """Return whether no loss of the last `patience` epochs was 1 % below the best before them."""
    if patience is None or len(losses) <= patience:
        return False
    return min(losses[-patience:]) >= BETTER * min(losses[:-patience])
