"""Evaluate a checkpoint on its data: loss and error of the network as it was read.

The trap avoided: a network that is read with another normalisation, activation or labels than it
was trained with gives numbers like any other. Its training error shows that something is wrong.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gentool.checkpoints.checkpoint import Checkpoint
from gentool.checkpoints.normalisation import (
    Trial,
    best_normalisation,
    helps,
    judge,
    some_of,
)
from gentool.checkpoints.other_networks import best_other_networks
from gentool.checkpoints.training_data import facts_about
from gentool.common.json import Json, finite
from gentool.data.examples import Examples, TrainingSet
from gentool.networks.class_logits import class_logits
from gentool.records.recipe import Outcome, Recipe

SUSPECT_ERROR = 0.01  # above it the usual normalisations are tried
MOST_NAMED = 3  # other networks in one warning
MISFIT_ERROR = 0.2  # above it, and above half the error of guessing, a network does not fit
LOSS_TOLERANCE, ERROR_TOLERANCE = 0.02, 2e-3  # between float32 or bfloat16 and float64
Logits = Callable[[Tensor], Tensor]
"""A network: images of shape (n, C, H, W) to logits of shape (n, classes)."""


@dataclass(frozen=True)
class LossAndError:
    """Hold the mean cross-entropy and the error, a fraction, over some examples."""

    loss: float
    error: float


class Tally:
    """Sum losses and wrong predictions over batches of logits.

    The loss is the cross-entropy; of one output f for the labels 0 and 1 the binary one,
    log(1 + exp(f)) − y f, and class 1 is predicted where f > 0.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._wrong: list[Tensor] = []
        self._count = 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: logits of shape (n, classes), or (n, 1) for two classes, and labels."""
        logits = class_logits(logits)
        self._losses.append(cross_entropy(logits, labels, reduction="none").double().sum())
        self._wrong.append((logits.argmax(dim=1) != labels).sum())
        self._count += len(labels)

    @property
    def mean(self) -> LossAndError:
        """Return the mean loss and the error of what was added."""
        loss, wrong = (float(torch.stack(sums).sum()) for sums in (self._losses, self._wrong))
        return LossAndError(loss / self._count, wrong / self._count)


def evaluate(
    logits_of: Logits,
    examples: Examples,
    dtype: torch.dtype,
    batch: int,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> LossAndError:
    """Evaluate a network, given in evaluation mode, over all examples."""
    tally = Tally()
    with torch.inference_mode():
        for i, (images, labels) in enumerate(examples.batches(batch, dtype), start=1):
            tally.add(logits_of(images), labels)
            on_progress(min(1.0, i * batch / len(examples)))
    return tally.mean


@dataclass(frozen=True)
class Evaluated:
    """Hold loss and error on the subset, on the confusion set if there is one, and on the tests."""

    train: LossAndError
    confusion: LossAndError | None
    test: LossAndError | None


def evaluation_record(
    checkpoint: Checkpoint,
    recipe: Recipe,
    sets: TrainingSet,
    assumed: tuple[str, ...],
    evaluated: Evaluated,
    logits_of: Logits,
) -> Json:
    """Return the `evaluation` of a record: losses, errors, what they were computed with, warnings.

    `recipe` is the checkpoint's with the facts of its data; nobody said the `assumed` ones.
    `logits_of` is the network in float64, to try other normalisations where it does not fit.
    """
    numbers = _numbers(evaluated)
    if checkpoint.recipe.origin is not None:
        warnings = _misfit(checkpoint, recipe, sets, assumed, evaluated.train, logits_of)
    else:
        warnings = _differences(checkpoint.outcome, numbers, sets)
    facts = {name: _plain(getattr(recipe, name)) for name in facts_about(recipe.data)}
    if "channels" in facts:
        facts["channels"] = sets.subset.images.shape[1]
    return {
        **numbers,
        "images": len(sets.subset),
        **facts,
        "source": {name: "assumed" if name in assumed else "said" for name in facts},
        "warnings": warnings,
    }


def evaluation_of_arrays(recipe: Recipe, images: int, evaluated: Evaluated) -> Json:
    """Return the `evaluation` of a network on arrays; `recipe` holds what the user said of them."""
    facts = {name: _plain(getattr(recipe, name)) for name in facts_about("")}
    warnings = []
    if does_not_fit(evaluated.train.error, recipe.classes):
        warnings = [
            f"the network errs on {percent(evaluated.train.error)} of the images, as one that was "
            "not trained on them; check their normalisation, the order of their channels, and "
            "their labels"
        ]
    return {
        **_numbers(evaluated),
        "images": images,
        **facts,
        "source": {name: "said" for name, value in facts.items() if value is not None},
        "warnings": warnings,
    }


def _numbers(evaluated: Evaluated) -> Json:
    parts = {"train": evaluated.train, "confusion": evaluated.confusion, "test": evaluated.test}
    return {
        f"{name}_{kind}": None if part is None else finite(getattr(part, kind))
        for name, part in parts.items()
        for kind in ("loss", "error")
    }


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def chance_error(classes: int) -> float:
    """Return the error of guessing: 1 - 1/k."""
    return 1 - 1 / max(2, classes)


def does_not_fit(error: float, classes: int) -> bool:
    """Return whether a training error is above 0.2, and above half of the error of guessing."""
    return error > MISFIT_ERROR and error > chance_error(classes) / 2


def _misfit(
    checkpoint: Checkpoint,
    recipe: Recipe,
    sets: TrainingSet,
    assumed: tuple[str, ...],
    train: LossAndError,
    logits_of: Logits,
) -> list[str]:
    """Return a warning about a foreign network that does not fit its training set, or none.

    The usual normalisations are tried on a few hundred images, and then what was assumed about the
    layers. One that lowers the error is named as options; nothing is switched.
    """
    if not train.error > SUSPECT_ERROR:
        return []
    trial = best_normalisation(sets.subset, recipe, logits_of)
    few = some_of(sets.subset)
    as_read, _ = judge(few, logits_of)
    others = [
        other
        for other in best_other_networks(checkpoint, few)
        if helps(other.error, as_read, len(few))
    ]
    words = f"as read, the network errs on {percent(train.error)} of its training images"
    of_network = "the numbers here are of the network as read"
    error = trial.error if trial is not None and trial.helps else as_read
    if others and others[0].error < error:
        parts = [f"{other.words} it is {percent(other.error)}" for other in others[:MOST_NAMED]]
        return [f"{words}; {', '.join(parts)} (of {len(few)} tried); {of_network}"]
    if trial is not None and trial.helps:
        return [f"{words}; {trial.words}; {of_network}"]
    if not does_not_fit(train.error, recipe.classes):
        return []
    return [f"{words}, as one that was not trained on them; {_causes(trial, assumed)}"]


def _causes(trial: Trial | None, assumed: tuple[str, ...]) -> str:
    tried = "" if trial is None else "other usual normalisations do no better; "
    labels = " (true labels are assumed)" if "labels" in assumed else ""
    subset = " (all images are assumed)" if "subset" in assumed else ""
    return (
        f"{tried}check --data, --labels{labels}, --subset{subset}, and the architecture that was "
        "inferred: activations, poolings, order of the layers, skip connections"
    )


def _differences(outcome: Outcome | None, numbers: Json, sets: TrainingSet) -> list[str]:
    """Return a warning if losses or errors differ from the checkpoint's outcome beyond rounding."""
    if outcome is None:
        return []
    sizes = {"train": len(sets.subset), "confusion": len(sets.confusion), "test": len(sets.test)}
    for name, value in numbers.items():
        recorded = getattr(outcome, name)
        if value is None or recorded is None:
            continue
        if name.endswith("_loss"):
            differs = not math.isclose(value, recorded, rel_tol=LOSS_TOLERANCE, abs_tol=1e-3)
        else:
            images = sizes[name.removesuffix("_error")]
            differs = abs(value - recorded) > max(ERROR_TOLERANCE, 2.5 / images)
        if differs:
            words = name.replace("train_", "training_").replace("_", " ")
            return [
                f"the {words} computed here is {value:.4f}, but the outcome in the checkpoint says "
                f"{recorded:.4f}; weights or outcome were changed after training"
            ]
    return []


def percent(fraction: float) -> str:
    """Return a fraction as text, as `12.3 %`."""
    return f"{100 * fraction:.1f} %"
