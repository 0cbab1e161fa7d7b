"""Evaluate the network at one point over the whole set in float64.

Every loss and error in a record comes from here, whatever arithmetic the search used.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from gentool.data.examples import Examples
from gentool.numerics.memory import memory_budget
from gentool.sharpness.functional import FunctionalNetwork


@dataclass(frozen=True)
class Evaluation:
    """Hold mean cross-entropy, error as a fraction, the most predicted class and its share."""

    loss: float
    error: float
    top_class: int
    top_fraction: float


def evaluate_point(network: FunctionalNetwork, examples: Examples, point: Tensor) -> Evaluation:
    """Evaluate a network with the parameters `point`, (P,), over all examples, in float64."""
    device = examples.labels.device
    named = network.named(point.to(torch.float64))
    loss = torch.zeros((), dtype=torch.float64, device=device)
    wrong = torch.zeros((), dtype=torch.int64, device=device)
    class_counts = torch.zeros(network.classes, dtype=torch.int64, device=device)
    size = max(1, memory_budget(device) // (16 * network.activations))
    with torch.inference_mode():
        for images, labels in examples.batches(size, torch.float64):
            logits = functional_call(network.module, named, (images,))
            loss += cross_entropy(logits, labels, reduction="sum")
            predicted = logits.argmax(dim=1)
            wrong += (predicted != labels).sum()
            class_counts += predicted.bincount(minlength=network.classes)
    count = len(examples)
    return Evaluation(
        float(loss) / count,
        int(wrong) / count,
        int(class_counts.argmax()),
        int(class_counts.max()) / count,
    )
