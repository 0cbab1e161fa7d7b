"""Loss and error of a network in evaluation mode: what the stop rule and the outcome are."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gentool.team import ALONE, Team
from gentool.training_set import Examples

EVALUATION_BATCH = 1000


def evaluate(model: nn.Module, examples: Examples, team: Team = ALONE) -> tuple[float, float]:
    """Mean cross-entropy and error, as a fraction, of a network in evaluation mode.

    The processes of a team take a part of the examples each.
    """
    losses = torch.zeros((), dtype=torch.float64, device=examples.labels.device)
    errors = torch.zeros((), dtype=torch.int64, device=examples.labels.device)
    model.eval()
    with torch.inference_mode():
        for images, labels in team.part(examples).batches(EVALUATION_BATCH):
            logits = model(images)
            losses += cross_entropy(logits, labels, reduction="none").double().sum()
            errors += wrong(logits, labels)
    loss, error = team.totals(losses, errors)
    return loss / len(examples), error / len(examples)


def wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """How many of the labels are not those of the largest logits."""
    return (logits.argmax(dim=1) != labels).sum()
