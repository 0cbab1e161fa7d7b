"""From a checkpoint to its measure record: canonical network, margins, measures, JSON values."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from gentool import __version__
from gentool.checkpoint import Checkpoint
from gentool.data import load
from gentool.device import describe, versions
from gentool.errors import UsageError
from gentool.foreign.training_data import asked_recipe, fitted
from gentool.hints import NO_HINTS, Hints, as_options
from gentool.measures import MEASURES, Measured, evaluate, margins
from gentool.measures.measured import margin_rank
from gentool.network import Network, canonical
from gentool.recipe import Json, Recipe
from gentool.training_set import Examples, TrainingSet, training_set

FORMAT = 1
MARGIN_BATCH = 250
HISTOGRAM_BINS = 50


@dataclass(frozen=True)
class MeasureOptions:
    """What `gentool measure` was asked for.

    `only` None means all measures; `data` None means the recipe's.
    """

    only: tuple[str, ...] | None = None
    use_data: bool = True
    epsilon: float = 0.05
    data: str | None = None
    hints: Hints = NO_HINTS

    def to_json(self) -> Json:
        return {
            "name": "measure",
            "only": list(self.only) if self.only is not None else None,
            "use_data": self.use_data,
            "epsilon": self.epsilon,
            "data": self.data,
            **self.hints.given(),
        }


def measure_checkpoint(
    checkpoint: Checkpoint,
    options: MeasureOptions,
    *,
    device: torch.device,
    data_dir: Path,
    show_progress: bool = False,
    on_batch: Callable[[float], None] = lambda fraction: None,
) -> Json:
    """The measure record of a checkpoint, all of it computed in float64 on the canonical network.

    `on_batch` is told the fraction of the margins that are computed. Raises GentoolError where the
    checkpoint does not fit its recipe, or the data differs from what it was trained on.
    """
    began = time.perf_counter()
    recipe, sets = checkpoint.recipe, None
    if options.use_data and (options.data or recipe.data):
        recipe, sets = trained_on(
            checkpoint,
            device,
            data_dir,
            data=options.data,
            show_progress=show_progress,
            hints=options.hints,
        )
    elif unused := options.hints.data():
        raise UsageError(f"{as_options(unused)} needs the training data; name it with --data")
    network = canonical(checkpoint.model(), recipe.input_shape).to(device)
    found = None
    if sets is not None:
        found = training_margins(network, sets.subset, on_batch)
    net = Measured(network, found, epsilon=options.epsilon)
    values = evaluate(net, MEASURES.select(options.only))
    return {
        "format": FORMAT,
        "gentool": __version__,
        "command": options.to_json(),
        "checkpoint": {"file": checkpoint.path.name, "sha256": checkpoint.sha256},
        "recipe": recipe.to_json(),
        "outcome": checkpoint.outcome.to_json() if checkpoint.outcome is not None else None,
        "measures": values.measures,
        "log10": values.log10,
        "layers": layer_table(network),
        "margin": margin_summary(net),
        "notes": values.notes,
        "seconds": round(time.perf_counter() - began, 3),
        "device": describe(device),
        "versions": versions(),
    }


def drawn_again(
    checkpoint: Checkpoint,
    device: torch.device,
    data_dir: Path,
    *,
    data: str | None,
    show_progress: bool,
) -> TrainingSet:
    """The examples that a checkpoint was trained on; GentoolError where they differ."""
    return trained_on(checkpoint, device, data_dir, data=data, show_progress=show_progress)[1]


def trained_on(
    checkpoint: Checkpoint,
    device: torch.device,
    data_dir: Path,
    *,
    data: str | None,
    show_progress: bool,
    hints: Hints = NO_HINTS,
) -> tuple[Recipe, TrainingSet]:
    """The examples that a checkpoint was trained on, and its recipe with the facts about them.

    `data` and `hints` say what the recipe of a foreign checkpoint does not. GentoolError where the
    data differs from what it was trained on, UsageError where nothing says what that was.
    """
    recipe = asked_recipe(checkpoint.recipe, data, hints)
    source = load(recipe.data, data_dir, show_progress)
    if recipe.origin is not None:
        recipe = fitted(recipe, source, hints)
    drawn, sets = training_set(recipe, source, device)
    return replace(drawn, classes=checkpoint.recipe.classes), sets


def training_margins(
    network: Network, examples: Examples, on_batch: Callable[[float], None] = lambda fraction: None
) -> Tensor:
    """The margin of each example, shape (m,), float64."""
    found = []
    for i, (images, labels) in enumerate(examples.batches(MARGIN_BATCH, torch.float64), start=1):
        found.append(margins(network(images), labels))
        on_batch(min(1.0, i * MARGIN_BATCH / len(examples)))
    return torch.cat(found)


def layer_table(network: Network) -> list[Json]:
    """One row a weight layer: name, shape, sizes and norms; null for a norm that is not finite."""
    return [
        {
            "name": layer.name,
            "shape": list(layer.module.weight.shape),
            "channels": layer.channels,
            "units": layer.units,
            "frobenius": _finite(layer.frobenius),
            "spectral": _finite(layer.spectral),
        }
        for layer in network.weight_layers
    ]


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
