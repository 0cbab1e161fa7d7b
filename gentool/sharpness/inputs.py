"""Load a checkpoint and the examples it was trained on, as the network to perturb."""

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
    """Hold a checkpoint with the network to perturb and the examples that it was trained on.

    `recipe` is the checkpoint's; if another program trained it, with the facts of the draw.
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
    """Load the network and examples of a checkpoint.

    Raise GentoolError if the checkpoint or the data do not fit its recipe.
    """
    recipe, sets = load_training_set(checkpoint, device, data_sets, data=data)
    perturbed = functional_network(
        checkpoint.model(), recipe.input_shape, fold_batch_norm=fold_batch_norm
    )
    return SharpnessInputs(checkpoint, recipe, perturbed, sets)
