"""Loss and error of a network in evaluation mode: what the stop rule and the outcome are."""

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
    """Mean cross-entropy and error, as a fraction, of a network in evaluation mode.

    The processes of a team take a part of the examples each.
    """
    return _means(model, examples, group, lambda loss, error: False)


def meets_stop_rule(
    model: nn.Module, examples: Examples, stop_loss: float, group: ProcessGroup = SINGLE_PROCESS
) -> bool:
    """Whether `evaluate` finds error zero and a loss below `stop_loss`: the stop rule.

    No loss is negative: a pass ends where what was summed so far breaks the rule.
    """

    def is_broken(loss: Tensor, error: Tensor) -> bool:
        return bool((error > 0) | (loss >= stop_loss))

    loss, error = _means(model, examples, group, is_broken)
    return error == 0 and loss < stop_loss


def _means(
    model: nn.Module,
    examples: Examples,
    group: ProcessGroup,
    is_enough: Callable[[Tensor, Tensor], bool],
) -> tuple[float, float]:
    """Sums of losses and errors over all examples, divided by how many there are.

    Each process ends early where `is_enough` of its sums so far, so divided.
    """
    n = len(examples)
    losses = torch.zeros((), dtype=torch.float64, device=examples.labels.device)
    errors = torch.zeros((), dtype=torch.int64, device=examples.labels.device)
    model.eval()
    with torch.inference_mode():
        for images, labels in group.part(examples).batches(EVALUATION_BATCH):
            logits = model(images)
            losses += cross_entropy(logits, labels, reduction="none").double().sum()
            errors += wrong(logits, labels)
            if is_enough(losses / n, errors / n):
                break
    loss, error = group.all_reduce_sum(losses, errors)
    return loss / n, error / n


def wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """How many of the labels are not those of the largest logits."""
    return (logits.argmax(dim=1) != labels).sum()
