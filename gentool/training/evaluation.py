"""Compute loss and error of a network in evaluation mode, and check the stop rule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gentool.data.examples import Examples
from gentool.training.distributed import SINGLE_PROCESS, ProcessGroup

EVALUATION_BATCH = 1000
WRONG_KEPT = 64  # images


def evaluate(
    model: nn.Module, examples: Examples, group: ProcessGroup = SINGLE_PROCESS
) -> tuple[float, float]:
    """Return the mean cross-entropy and the error, a fraction, of a network in evaluation mode.

    Each process of a group evaluates a part of the examples.
    """
    loss, error, _ = _sums(model, examples, group, lambda loss, error: False)
    return loss / len(examples), error / len(examples)


def meets_stop_rule(
    model: nn.Module, examples: Examples, stop_loss: float, group: ProcessGroup = SINGLE_PROCESS
) -> bool:
    """Return whether the stop rule is met: error zero and a mean loss below `stop_loss`.

    Losses are not negative, so that a pass ends as soon as the sums so far break the rule.
    """

    def is_broken(loss: Tensor, error: Tensor) -> bool:
        return bool((error > 0) | (loss >= stop_loss))

    loss, error, _ = _sums(model, examples, group, is_broken)
    return error == 0 and loss / len(examples) < stop_loss


@dataclass(frozen=True)
class Look:
    """Hold the mean loss and the error of a network over the images that were evaluated.

    `is_whole` says whether these were all of them; `wrong` are the first few wrong ones then.
    """

    loss: float
    error: float
    images: int
    is_whole: bool
    wrong: tuple[int, ...] = ()


def look(
    model: nn.Module, examples: Examples, below: float, group: ProcessGroup = SINGLE_PROCESS
) -> Look:
    """Evaluate a network until it is clear that the mean loss is not below a threshold."""
    wrong: list[int] = []

    def note(are_wrong: Tensor, start: int) -> None:
        if len(wrong) < WRONG_KEPT:
            places = (start + are_wrong.nonzero().flatten()).tolist()
            wrong.extend(group.rank + group.size * place for place in places)

    loss, error, images = _sums(model, examples, group, lambda loss, _: bool(loss >= below), note)
    is_whole = images == len(examples)
    wrong = sorted(group.gather(wrong))[:WRONG_KEPT] if is_whole else []
    return Look(loss / images, error / images, images, is_whole, tuple(wrong))


def is_any_wrong(model: nn.Module, examples: Examples, indices: Sequence[int]) -> bool:
    """Return whether a network is wrong on one of a few images, in evaluation mode."""
    model.eval()
    with torch.inference_mode():
        chosen = torch.tensor(indices, device=examples.labels.device)
        images, labels = examples.batch(chosen)
        return bool(are_wrong(model(images), labels).any())


def _sums(
    model: nn.Module,
    examples: Examples,
    group: ProcessGroup,
    can_stop: Callable[[Tensor, Tensor], bool],
    note: Callable[[Tensor, int], None] = lambda are_wrong, start: None,
) -> tuple[float, float, int]:
    """Return the sums of losses and errors over the examples, and the number of these.

    Each process stops early if `can_stop` returns true for its sums so far, divided by the number
    of all examples. `note` gets which images of a batch are wrong, and the place of the first.
    """
    n, images_seen = len(examples), 0
    losses = torch.zeros((), dtype=torch.float64, device=examples.labels.device)
    errors = torch.zeros((), dtype=torch.int64, device=examples.labels.device)
    model.eval()
    with torch.inference_mode():
        for images, labels in group.shard_examples(examples).batches(EVALUATION_BATCH):
            logits = model(images)
            losses += cross_entropy(logits, labels, reduction="none").double().sum()
            wrong = are_wrong(logits, labels)
            errors += wrong.sum()
            note(wrong, images_seen)
            images_seen += len(labels)
            if can_stop(losses / n, errors / n):
                break
    loss, error, count = group.all_reduce_sum(losses, errors, losses.new_tensor(images_seen))
    return loss, error, int(count)


def are_wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """Return for each example whether its largest logit is not that of its label."""
    return logits.argmax(dim=1) != labels


def count_wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """Count the examples whose largest logit is not that of their label."""
    return are_wrong(logits, labels).sum()
