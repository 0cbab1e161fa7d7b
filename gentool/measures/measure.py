"""Measure a checkpoint: canonical network, margins, measures, record."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import nn

from gentool.checkpoints.checkpoint import Checkpoint, read
from gentool.checkpoints.evaluation import Tally, evaluation_record
from gentool.checkpoints.hints import NO_HINTS, Hints, as_options
from gentool.checkpoints.record import assemble
from gentool.checkpoints.set_evaluation import evaluate_others
from gentool.checkpoints.training_data import assumed_facts, load_training_set
from gentool.common.errors import GentoolError, UsageError
from gentool.common.json import Json
from gentool.data.sources import DataSets
from gentool.measures.invariance import invariance
from gentool.measures.margin import Progress, margin_summary, training_margins
from gentool.measures.measured import REL_ERROR, Measured
from gentool.measures.registry import MEASURES, Measure, evaluate_measures
from gentool.networks.canonical import Layer, Network, canonical
from gentool.networks.layer_table import layer_table
from gentool.networks.models import known_initial
from gentool.networks.operator_norm import TOLERANCE
from gentool.numerics.device import in_double_precision
from gentool.records.recipe import Recipe


@dataclass(frozen=True)
class MeasureOptions:
    """Hold the options of `gentool measure`.

    `only` None means all cheap measures; it may name groups, as "@norms". `data` None means the
    data of the recipe; `initial` is a checkpoint of the network before training, or a module in
    memory. Without it, the initial weights of a network that gentool trained are drawn again.
    `first_epoch` is that of the network after the first epoch, None if it is unknown.
    `sampling_seed` and `rel_error` are those of measures that are estimated by sampling.
    """

    only: tuple[str, ...] | None = None
    use_data: bool = True
    epsilon: float = 0.05
    biases: bool = True
    data: str | None = None
    initial: Path | nn.Module | None = None
    hints: Hints = NO_HINTS
    sampling_seed: int = 0
    rel_error: float = REL_ERROR
    first_epoch: Path | nn.Module | None = None
    invariance: bool = False

    def to_json(self) -> Json:
        return {
            "name": "measure",
            "only": list(self.only) if self.only is not None else None,
            "use_data": self.use_data,
            "epsilon": self.epsilon,
            "biases": self.biases,
            "data": self.data,
            "initial": _in_words(self.initial),
            **({"first_epoch": _in_words(self.first_epoch)} if self.first_epoch else {}),
            "sampling_seed": self.sampling_seed,
            "rel_error": self.rel_error,
            "invariance": self.invariance,
            **self.hints.to_json(),
        }


def _in_words(source: Path | nn.Module | None) -> str | None:
    if isinstance(source, nn.Module):
        return type(source).__name__
    return None if source is None else str(source)


def measure_checkpoint(
    checkpoint: Checkpoint,
    options: MeasureOptions,
    *,
    device: torch.device,
    data_sets: DataSets,
    on_progress: Progress = lambda what, fraction: None,
) -> Json:
    """Return the measure record of a checkpoint, computed in float64 on its canonical network.

    Raise GentoolError if the checkpoint does not fit its recipe, or if the data differs from its
    training data; UsageError if a measure is unknown.
    """
    began = time.perf_counter()
    selected = MEASURES.select(options.only)
    device = in_double_precision(device)
    recipe, sets = checkpoint.recipe, None
    if options.use_data and (options.data or recipe.data):
        recipe, sets = load_training_set(
            checkpoint,
            device,
            data_sets,
            data=options.data,
            hints=options.hints,
        )
    elif unused := options.hints.data():
        raise UsageError(f"{as_options(unused)} needs the training data; name it with --data")
    network = canonical(checkpoint.model(), recipe.input_shape).to(device)
    of_data, evaluation = None, None
    if sets is not None:
        tally = Tally()
        of_data = training_margins(network, sets.subset, on_progress, tally)
        evaluation = evaluation_record(
            checkpoint,
            recipe,
            sets,
            assumed_facts(checkpoint.recipe, options.data, options.hints),
            evaluate_others(network, sets, tally.mean, on_progress),
            network,
        )
    initial = cache(lambda: initial_network(recipe, options, network))
    net = Measured(
        network,
        of_data,
        options.epsilon,
        options.biases,
        initial,
        sets=sets,
        seed=options.sampling_seed,
        rel_error=options.rel_error,
        outcome=checkpoint.outcome,
        first_epoch=cache(lambda: first_epoch_network(recipe, options, network)),
    )
    parts = measured_parts(net, selected, on_progress, options.invariance)
    if sets is not None:
        parts["notes"] = [*parts["notes"], *(f"data: {note}" for note in sets.notes)]
    return assemble(
        checkpoint,
        recipe=recipe,
        device=device,
        command=options.to_json(),
        began=began,
        evaluation=evaluation,
        **parts,
    )


def measured_parts(
    net: Measured,
    selected: list[Measure],
    on_progress: Progress = lambda what, fraction: None,
    has_invariance: bool = False,
) -> Json:
    """Return the parts of a record that are measured: measures, log10, layers, margin, notes.

    With `has_invariance`, also how each measure changes at the same function.
    """
    layers = net.network.weight_layers
    needs_operators = any("spectral" in m.name and "_operator" in m.name for m in selected)
    if needs_operators and net.network.input_shape is not None:
        for i, layer in enumerate(layers, start=1):
            _ = layer.spectral_operator  # a cached property, so that progress can be shown
            on_progress("operator norms", i / len(layers))
    values = evaluate_measures(net, selected, on_progress)
    parts = {
        "measures": values.measures,
        "log10": values.log10,
        "layers": layer_table(net.network, net.of_layers, only_computed=True),
        "margin": margin_summary(net),
        "notes": [*net.network.notes, *values.notes, *_imprecise_norms(layers, needs_operators)],
    }
    if has_invariance:
        parts["invariance"] = invariance(net, selected, values, on_progress)
    return parts


def _imprecise_norms(layers: Sequence[Layer], has_operators: bool) -> list[str]:
    """Return a note for each layer whose operator norm is less exact than TOLERANCE."""
    if not has_operators:
        return []
    errors = [(layer.name, layer.spectral_operator.error) for layer in layers]
    return [
        f"spectral_operator: layer {name!r} is known to a relative {error:.1g} only: the iteration "
        "ended at its last step"
        for name, error in errors
        if error > TOLERANCE
    ]


def initial_network(recipe: Recipe, options: MeasureOptions, network: Network) -> Network | None:
    """Return the canonical network before training, None if it is unknown.

    Raise GentoolError if --initial names a network with other layers.
    """
    if options.initial is None:
        before = known_initial(recipe)
        if before is None:
            return None
        return canonical(before, recipe.input_shape).to(network.device)
    return _alike(options.initial, recipe, options, network)


def first_epoch_network(
    recipe: Recipe, options: MeasureOptions, network: Network
) -> Network | None:
    """Return the canonical network after the first epoch, None if nobody named it.

    Raise GentoolError if --first-epoch names a network with other layers.
    """
    if options.first_epoch is None:
        return None
    return _alike(options.first_epoch, recipe, options, network)


def _alike(
    source: Path | nn.Module, recipe: Recipe, options: MeasureOptions, network: Network
) -> Network:
    """Return a network that has to have the layers of the measured one."""
    is_module = isinstance(source, nn.Module)
    model = source if is_module else read(source, options.hints).model()
    other = canonical(model, recipe.input_shape).to(network.device)
    shapes = [[layer.matrix.shape for layer in n.weight_layers] for n in (network, other)]
    if shapes[0] != shapes[1]:
        raise GentoolError(f"{_in_words(source)} has other layers than the network; name another")
    return other
