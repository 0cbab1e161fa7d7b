"""What each sharpness record begins and ends with: a checkpoint made ready, the common parts."""

import math
import time
from dataclasses import dataclass

import torch

from gentool import __version__
from gentool.checkpoint import Checkpoint
from gentool.data import DataSets
from gentool.device import describe, versions
from gentool.measuring import layer_table, trained_on
from gentool.network import canonical
from gentool.recipe import Json, Recipe
from gentool.sharpness.subject import Subject, subject
from gentool.training_set import TrainingSet

FORMAT = 1
Values = dict[str, float | None]


@dataclass(frozen=True)
class Loaded:
    """A checkpoint made ready: what is perturbed, and the examples that it was trained on.

    `recipe` is the checkpoint's, with the facts of the draw where another program trained it.
    """

    checkpoint: Checkpoint
    recipe: Recipe
    subject: Subject
    sets: TrainingSet


def load(
    checkpoint: Checkpoint,
    *,
    fold_batch_norm: bool,
    data: str | None,
    device: torch.device,
    data_sets: DataSets,
) -> Loaded:
    """Make a checkpoint ready; GentoolError where it or the data do not fit its recipe."""
    recipe, sets = trained_on(checkpoint, device, data_sets, data=data)
    perturbed = subject(checkpoint.model(), recipe.input_shape, fold_batch_norm=fold_batch_norm)
    return Loaded(checkpoint, recipe, perturbed, sets)


def assemble(loaded: Loaded, command: Json, values: Values, notes: list[str], began: float) -> Json:
    """The parts that every measure file has."""
    recipe, outcome = loaded.recipe, loaded.checkpoint.outcome
    return {
        "format": FORMAT,
        "gentool": __version__,
        "command": command,
        "checkpoint": {
            "file": loaded.checkpoint.path.name,
            "sha256": loaded.checkpoint.sha256,
        },
        "recipe": recipe.to_json(),
        "outcome": outcome.to_json() if outcome is not None else None,
        "measures": values,
        "log10": {name: _log10(value) for name, value in values.items()},
        "layers": layer_table(canonical(loaded.checkpoint.model(), recipe.input_shape)),
        "margin": None,
        "notes": notes,
        "seconds": round(time.perf_counter() - began, 3),
        "device": describe(loaded.sets.subset.labels.device),
        "versions": versions(),
    }


def finite(value: float) -> float | None:
    """A number, or None where it is not finite: strict JSON has no other."""
    return value if math.isfinite(value) else None


def _log10(value: float | None) -> float | None:
    return math.log10(value) if value is not None and value > 0 else None
