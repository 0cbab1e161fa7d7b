"""What each sharpness record begins and ends with: a checkpoint made ready, the common parts."""

from dataclasses import dataclass

import torch

from gentool.checkpoints.checkpoint import Checkpoint
from gentool.checkpoints.training_data import load_training_set
from gentool.data.examples import TrainingSet
from gentool.data.sources import DataSets
from gentool.records.recipe import Recipe
from gentool.sharpness.functional import FunctionalNetwork, functional_network


@dataclass(frozen=True)
class SharpnessInputs:
    """A checkpoint made ready: what is perturbed, and the examples that it was trained on.

    `recipe` is the checkpoint's, with the facts of the draw where another program trained it.
    """

    checkpoint: Checkpoint
    recipe: Recipe
    network: FunctionalNetwork
    sets: TrainingSet


def load_inputs(
    checkpoint: Checkpoint,
    *,
    fold_batch_norm: bool,
    data: str | None,
    device: torch.device,
    data_sets: DataSets,
) -> SharpnessInputs:
    """Make a checkpoint ready; GentoolError where it or the data do not fit its recipe."""
    recipe, sets = load_training_set(checkpoint, device, data_sets, data=data)
    perturbed = functional_network(
        checkpoint.model(), recipe.input_shape, fold_batch_norm=fold_batch_norm
    )
    return SharpnessInputs(checkpoint, recipe, perturbed, sets)
