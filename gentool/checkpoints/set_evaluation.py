"""Evaluate a checkpoint on its training set, its confusion set and its test set."""

import copy
from collections.abc import Callable

import torch
from torch import nn

from gentool.checkpoints.checkpoint import Checkpoint
from gentool.checkpoints.evaluation import Evaluated, LossAndError, evaluate, evaluation_record
from gentool.checkpoints.hints import NO_HINTS, Hints
from gentool.checkpoints.training_data import assumed_facts, load_training_set
from gentool.common.json import Json
from gentool.data.examples import TrainingSet
from gentool.data.sources import DataSets
from gentool.networks.canonical import Network, canonical
from gentool.numerics.device import in_double_precision

BATCH = 250
Progress = Callable[[str, float], None]
"""Called with the name of the computation and the fraction of it that is done."""


def evaluate_checkpoint(
    checkpoint: Checkpoint,
    *,
    device: torch.device,
    data_sets: DataSets,
    data: str | None,
    hints: Hints = NO_HINTS,
    on_progress: Progress = lambda what, fraction: None,
) -> Json:
    """Return the `evaluation` of a checkpoint as in a record; `data` and `hints` name its data.

    Raise GentoolError if the network or the data do not fit the recipe, UsageError if nothing names
    the data.
    """
    device = in_double_precision(device)
    recipe, sets = load_training_set(checkpoint, device, data_sets, data=data, hints=hints)
    network = canonical(checkpoint.model(), recipe.input_shape).to(device)
    train = evaluate(
        network,
        sets.subset,
        torch.float64,
        BATCH,
        lambda fraction: on_progress("training set", fraction),
    )
    evaluation = evaluation_record(
        checkpoint,
        recipe,
        sets,
        assumed_facts(checkpoint.recipe, data, hints),
        evaluate_others(network, sets, train, on_progress),
        network,
    )
    return evaluation | {"warnings": [*evaluation["warnings"], *sets.notes]}


def evaluate_others(
    network: Network, sets: TrainingSet, train: LossAndError, on_progress: Progress
) -> Evaluated:
    """Return losses and errors on all sets; those of the training set are known already.

    The test set is evaluated in float32, which is several times as fast and as exact as needed.
    """
    is_confused = len(sets.confusion) > 0
    single = nn.Sequential(*(copy.deepcopy(layer.module).float() for layer in network.layers))
    return Evaluated(
        train,
        evaluate(network, sets.confusion, torch.float64, BATCH) if is_confused else None,
        evaluate(
            single,
            sets.test,
            torch.float32,
            BATCH,
            lambda fraction: on_progress("test set", fraction),
        )
        if len(sets.test)
        else None,
    )
