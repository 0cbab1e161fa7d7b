"""From a checkpoint to its measure record: canonical network, margins, measures, JSON values."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from gentool import __version__
from gentool.checkpoint import Checkpoint, read
from gentool.data import DataSet, DataSets
from gentool.device import describe, in_double_precision, versions
from gentool.errors import GentoolError, UsageError
from gentool.foreign.training_data import asked_recipe, fitted
from gentool.hints import NO_HINTS, Hints, as_options
from gentool.measures import MEASURES, Measured, evaluate, margins
from gentool.measures.measured import margin_rank
from gentool.measures.registry import Measure
from gentool.models import initial_digest, initialised
from gentool.network import Layer, Network, canonical
from gentool.operator_norm import Bounds
from gentool.recipe import Json, Recipe
from gentool.training_set import Examples, TrainingSet, training_set

FORMAT = 1
MARGIN_BATCH = 250
HISTOGRAM_BINS = 50


Progress = Callable[[str, float], None]
"""Told what is being computed, and which fraction of that is done."""


@dataclass(frozen=True)
class MeasureOptions:
    """What `gentool measure` was asked for.

    `only` None means all measures; `data` None means the recipe's; `initial` is a checkpoint of the
    network before training, None where gentool trained it and can draw its initial weights again.
    """

    only: tuple[str, ...] | None = None
    use_data: bool = True
    epsilon: float = 0.05
    biases: bool = True
    data: str | None = None
    initial: Path | None = None
    hints: Hints = NO_HINTS

    def to_json(self) -> Json:
        return {
            "name": "measure",
            "only": list(self.only) if self.only is not None else None,
            "use_data": self.use_data,
            "epsilon": self.epsilon,
            "biases": self.biases,
            "data": self.data,
            "initial": str(self.initial) if self.initial is not None else None,
            **self.hints.given(),
        }


def measure(
    module: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    only: Iterable[str] | None = None,
    epsilon: float = 0.05,
    biases: bool = True,
    initial: nn.Module | None = None,
) -> Json:
    """Measure a network in memory, which is left as it is; the public `gentool.measure`.

    `module` is any chain of convolutions, linear layers, batch norm, ReLU, max, average and
    adaptive average pooling, flattening and dropout; `input_shape` is (channels, height, width).
    `images` (m, *input_shape), as the network takes them, and `labels` (m,) give it margins;
    without them the measures that need one are None. `only` names the measures, None means all;
    `initial` is the network before training.

    Returns `measures` and `log10` by name, `layers`, `margin` and `notes`, as a measure file has
    them. Raises GentoolError, naming the layer, for a network that cannot be treated exactly, and
    UsageError for an unknown measure.
    """
    selected = MEASURES.select(only)
    if (images is None) != (labels is None):
        raise UsageError("images and labels go together; give both or neither")
    network = canonical(module, input_shape)
    found = None if images is None else margins(network(images.double().cpu()), labels.cpu())
    before = None if initial is None else canonical(initial, input_shape)
    return _evaluated(Measured(network, found, epsilon, biases, lambda: before), selected)


def measure_checkpoint(
    checkpoint: Checkpoint,
    options: MeasureOptions,
    *,
    device: torch.device,
    data_sets: DataSets,
    on_progress: Progress = lambda what, fraction: None,
) -> Json:
    """The measure record of a checkpoint, all of it computed in float64 on the canonical network.

    Raises GentoolError where the checkpoint does not fit its recipe, or the data differs from what
    it was trained on, and UsageError for an unknown measure.
    """
    began = time.perf_counter()
    selected = MEASURES.select(options.only)
    device = in_double_precision(device)
    recipe, sets = checkpoint.recipe, None
    if options.use_data and (options.data or recipe.data):
        recipe, sets = trained_on(
            checkpoint,
            device,
            data_sets,
            data=options.data,
            hints=options.hints,
        )
    elif unused := options.hints.data():
        raise UsageError(f"{as_options(unused)} needs the training data; name it with --data")
    network = canonical(checkpoint.model(), recipe.input_shape).to(device)
    found = None if sets is None else training_margins(network, sets.subset, on_progress)
    initial = cache(lambda: _initial(recipe, options, network))
    net = Measured(network, found, options.epsilon, options.biases, initial)
    return {
        "format": FORMAT,
        "gentool": __version__,
        "command": options.to_json(),
        "checkpoint": {"file": checkpoint.path.name, "sha256": checkpoint.sha256},
        "recipe": recipe.to_json(),
        "outcome": checkpoint.outcome.to_json() if checkpoint.outcome is not None else None,
        **_evaluated(net, selected, on_progress),
        "seconds": round(time.perf_counter() - began, 3),
        "device": describe(device),
        "versions": versions(),
    }


def _evaluated(
    net: Measured, selected: list[Measure], on_progress: Progress = lambda what, fraction: None
) -> Json:
    """What a record says of a measured network: measures, log10, layers, margin, notes."""
    layers = net.network.weight_layers
    has_operators = any("spectral" in m.name and "_operator" in m.name for m in selected)
    if has_operators:
        for i, layer in enumerate(layers, start=1):
            _ = layer.spectral_operator  # is kept, for the measures and the table
            on_progress("operator norms", i / len(layers))
    values = evaluate(net, selected)
    return {
        "measures": values.measures,
        "log10": values.log10,
        "layers": layer_table(net.network, has_operators),
        "margin": margin_summary(net),
        "notes": values.notes,
    }


def _initial(recipe: Recipe, options: MeasureOptions, network: Network) -> Network | None:
    """The canonical network before training; None where it is not known.

    Raises GentoolError where --initial names a network of other layers.
    """
    if options.initial is None:
        if recipe.initial_digest is None or initial_digest(recipe) != recipe.initial_digest:
            return None
        return canonical(initialised(recipe).eval(), recipe.input_shape).to(network.device)
    model = read(options.initial, options.hints).model()
    initial = canonical(model, recipe.input_shape).to(network.device)
    shapes = [[layer.matrix.shape for layer in n.weight_layers] for n in (network, initial)]
    if shapes[0] != shapes[1]:
        raise GentoolError(f"{options.initial} has other layers than the network; name another")
    return initial


def trained_on(
    checkpoint: Checkpoint,
    device: torch.device,
    data_sets: DataSets,
    *,
    data: str | None,
    hints: Hints = NO_HINTS,
) -> tuple[Recipe, TrainingSet]:
    """The examples that a checkpoint was trained on, and its recipe with the facts about them.

    `data` and `hints` say what the recipe of a foreign checkpoint does not. GentoolError where the
    data differs from what it was trained on, UsageError where nothing says what that was.
    """
    recipe, source = source_of(checkpoint, data_sets, data, hints)
    drawn, sets = training_set(recipe, source, device)
    return replace(drawn, classes=checkpoint.recipe.classes), sets


def source_of(
    checkpoint: Checkpoint,
    data_sets: DataSets,
    data: str | None,
    hints: Hints = NO_HINTS,
) -> tuple[Recipe, DataSet]:
    """The data set that a checkpoint's training set is drawn from, and the recipe to draw it by."""
    recipe = asked_recipe(checkpoint.recipe, data, hints)
    source = data_sets.load(recipe.data)
    if recipe.origin is not None:
        recipe = fitted(recipe, source, hints)
    return recipe, source


def training_margins(
    network: Network, examples: Examples, on_progress: Progress = lambda what, fraction: None
) -> Tensor:
    """The margin of each example, shape (m,), float64."""
    found = []
    for i, (images, labels) in enumerate(examples.batches(MARGIN_BATCH, torch.float64), start=1):
        found.append(margins(network(images), labels))
        on_progress("margins", min(1.0, i * MARGIN_BATCH / len(examples)))
    return torch.cat(found)


def layer_table(network: Network, has_operators: bool = False) -> list[Json]:
    """One row a weight layer; null for a norm that is not finite, or not wanted."""
    return [_row(layer, has_operators) for layer in network.weight_layers]


def _row(layer: Layer, has_operators: bool) -> Json:
    bounds = layer.spectral_operator if has_operators else Bounds(math.nan, math.nan)
    return {
        "name": layer.name,
        "shape": list(layer.module.weight.shape),
        "channels": layer.channels,
        "units": layer.units,
        "frobenius": _finite(layer.frobenius),
        "spectral": _finite(layer.spectral),
        "frobenius_operator": _finite(layer.frobenius_operator),
        "spectral_operator": _finite(bounds.lower),
        "spectral_operator_upper": _finite(bounds.upper),
    }


def margin_summary(net: Measured) -> Json | None:
    """Gamma, its rank, quantiles and a histogram of the margins; None without finite margins."""
    found = net.margins
    if found is None or not bool(found.isfinite().all()):
        return None
    ordered = found.sort().values.cpu()
    quantiles = _quantile_levels()
    counts, edges = torch.histogram(ordered, HISTOGRAM_BINS)
    return {
        "epsilon": net.epsilon,
        "points": len(ordered),
        "rank": margin_rank(net.epsilon, len(ordered)),
        "gamma": net.gamma,
        "quantiles": {
            f"{level:.2f}": ordered[margin_rank(level, len(ordered)) - 1].item()
            for level in quantiles
        },
        "histogram": {"edges": edges.tolist(), "counts": counts.int().tolist()},
    }


def _quantile_levels() -> Iterable[float]:
    return (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
