"""Compute loss and error of a network in evaluation mode, and check the stop rule."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gentool.data.examples import Examples
from gentool.training.distributed import SINGLE_PROCESS, ProcessGroup

EVALUATION_BATCH = 1000


def evaluate(
    model: nn.Module, examples: Examples, group: ProcessGroup = SINGLE_PROCESS
) -> tuple[float, float]:
    """Return the mean cross-entropy and the error, a fraction, of a network in evaluation mode.

    Each process of a group evaluates a part of the examples.
    """
    return _mean_loss_and_error(model, examples, group, lambda loss, error: False)


def meets_stop_rule(
    model: nn.Module, examples: Examples, stop_loss: float, group: ProcessGroup = SINGLE_PROCESS
) -> bool:
    """Return whether the stop rule is met: error zero and a mean loss below `stop_loss`.

    Losses are not negative, so that a pass ends as soon as the sums so far break the rule.
    """

    def is_broken(loss: Tensor, error: Tensor) -> bool:
        return bool((error > 0) | (loss >= stop_loss))

    loss, error = _mean_loss_and_error(model, examples, group, is_broken)
    return error == 0 and loss < stop_loss


def _mean_loss_and_error(
    model: nn.Module,
    examples: Examples,
    group: ProcessGroup,
    can_stop: Callable[[Tensor, Tensor], bool],
) -> tuple[float, float]:
    """Return the sums of losses and errors over the examples, divided by the number of all.

    Each process stops early if `can_stop` returns true for its sums so far, divided likewise.
    """
    n = len(examples)
    losses = torch.zeros((), dtype=torch.float64, device=examples.labels.device)
    errors = torch.zeros((), dtype=torch.int64, device=examples.labels.device)
    model.eval()
    with torch.inference_mode():
        for images, labels in group.shard_examples(examples).batches(EVALUATION_BATCH):
            logits = model(images)
            losses += cross_entropy(logits, labels, reduction="none").double().sum()
            errors += count_wrong(logits, labels)
            if can_stop(losses / n, errors / n):
                break
    loss, error = group.all_reduce_sum(losses, errors)
    return loss / n, error / n


def count_wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """Count the examples whose largest logit is not that of their label."""
    return (logits.argmax(dim=1) != labels).sum()
