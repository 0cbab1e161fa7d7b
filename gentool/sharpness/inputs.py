"""Load a checkpoint and the examples it was trained on, as the network to perturb."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from gentool.checkpoints.checkpoint import Checkpoint
from gentool.checkpoints.evaluation import (
    Evaluated,
    LossAndError,
    evaluation_of_arrays,
    evaluation_record,
)
from gentool.checkpoints.hints import NO_HINTS, Hints
from gentool.checkpoints.training_data import assumed_facts, load_training_set
from gentool.common.errors import GentoolError
from gentool.common.json import Json
from gentool.data.examples import Examples, TrainingSet
from gentool.data.sources import DataSets
from gentool.networks.canonical import Network, canonical
from gentool.networks.layer_table import layer_table
from gentool.networks.models import known_initial
from gentool.records.recipe import Recipe
from gentool.sharpness.evaluate import evaluate_point
from gentool.sharpness.functional import (
    FunctionalNetwork,
    ImageShape,
    functional_network,
    functional_of,
)
from gentool.sharpness.prepared import check_float64


@dataclass(frozen=True)
class SharpnessInputs:
    """Hold a checkpoint with the network to perturb and the examples that it was trained on.

    `recipe` is the checkpoint's; if another program trained it, with the facts of the draw.
    `assumed` names those facts that nobody said. `is_in_memory` is true of arrays that were given
    in Python, about which the recipe knows what the user said. `initial` is the network before
    training, if the user gave it; else it is drawn again from the recipe's seed. `canonical` shares
    its weights with the network to perturb, where batch norm is folded in.
    """

    checkpoint: Checkpoint
    recipe: Recipe
    network: FunctionalNetwork
    sets: TrainingSet
    assumed: tuple[str, ...] = ()
    is_in_memory: bool = False
    initial: nn.Module | None = None
    canonical: Network | None = None

    @cached_property
    def initial_weights(self) -> Tensor | None:
        """Return the parameters before training, shape (P,), float64; None if they are unknown.

        Raise GentoolError if the network that the user gave has other layers.
        """
        before = self.initial
        if before is None and not self.is_in_memory:
            before = known_initial(self.recipe)
        if before is None:
            return None
        weights = functional_network(
            before, self.network.input_shape, fold_batch_norm=self.network.is_folded
        ).weights
        if weights.shape == self.network.weights.shape:
            return weights
        if self.initial is not None:
            raise GentoolError("initial has other layers than the network; give another")
        return None

    @cached_property
    def layers(self) -> list[Json]:
        """Return the table of layers of a record."""
        network = self.canonical
        if network is None:
            network = canonical(self.checkpoint.model(), self.recipe.input_shape)
        return layer_table(network)

    def without_tensors(self) -> "SharpnessInputs":
        """Return the same inputs, evaluated, without the weights as they were read.

        A large network is then in memory as the network to perturb alone.
        """
        about = {"evaluation": self.evaluation, "layers": self.layers}
        bare = replace(self, checkpoint=replace(self.checkpoint, tensors={}), canonical=None)
        vars(bare).update(about)
        return bare

    @cached_property
    def evaluation(self) -> Json:
        """Return losses and errors before any perturbation, as in a record.

        Raise GentoolError on a device without float64.
        """
        device = self.sets.subset.labels.device
        check_float64(device)
        here = self.network.to(device)

        def of(examples: Examples) -> LossAndError | None:
            if not len(examples):
                return None
            point = evaluate_point(here, examples, here.weights)
            return LossAndError(point.loss, point.error)

        evaluated = Evaluated(of(self.sets.subset), of(self.sets.confusion), of(self.sets.test))
        if self.is_in_memory:
            evaluation = evaluation_of_arrays(self.recipe, len(self.sets.subset), evaluated)
        else:
            evaluation = evaluation_record(
                self.checkpoint, self.recipe, self.sets, self.assumed, evaluated, here.module
            )
        return evaluation | {"warnings": [*evaluation["warnings"], *self.sets.notes]}


def load_inputs(
    checkpoint: Checkpoint,
    *,
    fold_batch_norm: bool,
    data: str | None,
    device: torch.device,
    data_sets: DataSets,
    hints: Hints = NO_HINTS,
) -> SharpnessInputs:
    """Load the network and examples of a checkpoint; `hints` describe the data of a foreign one.

    Raise GentoolError if the checkpoint or the data do not fit its recipe.
    """
    recipe, sets = load_training_set(checkpoint, device, data_sets, data=data, hints=hints)
    perturbed, network = networks_of(checkpoint, recipe.input_shape, fold_batch_norm)
    assumed = assumed_facts(checkpoint.recipe, data, hints)
    return SharpnessInputs(checkpoint, recipe, perturbed, sets, assumed, canonical=network)


def networks_of(
    checkpoint: Checkpoint, input_shape: ImageShape, fold_batch_norm: bool
) -> tuple[FunctionalNetwork, Network | None]:
    """Return the network to perturb; and the canonical one, if the two share their weights."""
    if not fold_batch_norm:
        return functional_network(checkpoint.model(), input_shape, fold_batch_norm=False), None
    network = canonical(checkpoint.model(), input_shape)
    return functional_of(network), network
