"""Describe a network in memory as a checkpoint, so that its records are those of a file.

The trap avoided: a record that says less than a measure file does could be neither saved, plotted
nor merged with another one of the same network.
"""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from gentool.checkpoints.checkpoint import Checkpoint, apart
from gentool.checkpoints.load import TrainedNetwork
from gentool.common.errors import GentoolError, UsageError, unknown
from gentool.common.json import Json
from gentool.data.arrays import Arrays, Batches, Normalisation, example_batches, joined
from gentool.data.examples import Examples, TrainingSet
from gentool.networks.canonical import Network, canonical
from gentool.networks.layer_list import describe
from gentool.networks.same_function import copied, without_numbers
from gentool.networks.tracing import BATCH_NORM, steps_of, unwrapped
from gentool.records import ranges
from gentool.records.recipe import Recipe, Role

ImageShape = tuple[int, int, int]
Facts = Mapping[str, object]
"""What the user knows of a network's training, as fields of a recipe: `{"labels": "random"}`."""
Pair = tuple[Arrays, Arrays]

_NOT_FACTS = ("model", "layers")


@dataclass(frozen=True)
class ModuleInMemory(Checkpoint):
    """Hold a module of the user as a checkpoint; `sha256` is over its weights and its layers.

    `network` is the canonical network that the layers were found with, where it is kept.
    """

    module: nn.Module | None = None
    network: Network | None = field(default=None, repr=False, compare=False)

    def model(self) -> nn.Module:
        return copied(self.module).cpu().eval()

    def empty_model(self) -> nn.Module:
        return self.model()


def checkpoint_in_memory(
    module: nn.Module | TrainedNetwork,
    input_shape: ImageShape | None,
    name: str | None,
    facts: Facts | None,
    *,
    keep_network: bool = False,
) -> Checkpoint:
    """Return a module as a checkpoint; `name` takes the place of a file name.

    With `keep_network` it holds the canonical network, a copy of all weights. A loaded network is
    its own; it has images given only if its own data is unknown. Raise GentoolError, naming the
    layer, if a layer cannot be treated exactly; UsageError for a fact that is not a field of a
    recipe or is out of range. Without `input_shape` the weights are measured.
    """
    if isinstance(module, TrainedNetwork):
        return _without_data(module, input_shape, name, facts)
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"the network is a {type(module).__name__}; give a torch.nn.Module or a network of "
            "gentool.load"
        )
    input_shape = None if input_shape is None else tuple(input_shape)
    if input_shape is not None and not ranges.SHAPE.includes(input_shape):
        raise UsageError(f"input_shape is {input_shape}; it is (channels, height, width)")
    facts = checked_facts(facts)
    module = unwrapped(module)
    network = canonical(module, input_shape)
    input_shape, classes = network.input_shape, network.classes
    steps = steps_of(without_numbers(module).eval())
    tensors = apart(module.state_dict())
    words = {"layers": f"{input_shape} {steps}"}
    digest = hashlib.sha256(save(tensors, words)).hexdigest()
    kind = type(module).__name__
    name = name or f"{kind}-{digest[:8]}"
    origin = {
        "file": name,
        "sha256": digest,
        "said": {key: _plain(value) for key, value in facts.items()},
        "inferred": [f"layers as the forward pass of {kind} calls them"],
    }
    known = {"batch_norm": any(isinstance(part, BATCH_NORM) for part in module.modules())} | facts
    recipe = Recipe.of_foreign(
        **known, input_shape=input_shape, classes=classes, layers=_layers(steps), origin=origin
    )
    checkpoint = ModuleInMemory(Path(name), digest, tensors, recipe, None, "memory", module=module)
    return replace(checkpoint, network=network) if keep_network else checkpoint


def canonical_network(checkpoint: Checkpoint) -> Network:
    """Return the canonical network of a checkpoint, of a module in memory the one that is there."""
    if isinstance(checkpoint, ModuleInMemory) and checkpoint.network is not None:
        return checkpoint.network
    return canonical(checkpoint.model(), checkpoint.recipe.input_shape)


def _without_data(
    network: TrainedNetwork,
    input_shape: ImageShape | None,
    name: str | None,
    facts: Facts | None,
) -> Checkpoint:
    """Return the checkpoint of a loaded network that images in memory are given for."""
    if network.has_data:
        raise UsageError(
            f"the network was trained on {network.data or network.recipe.data}; leave out images "
            "and labels, or give its .module with them"
        )
    checkpoint = network.checkpoint
    known = checked_facts(facts)
    if input_shape is not None:
        known["input_shape"] = tuple(input_shape)
    path = checkpoint.path if name is None else Path(name)
    return replace(checkpoint, path=path, recipe=replace(checkpoint.recipe, **known))


def check_alone(network: TrainedNetwork, *options: object) -> None:
    """Raise UsageError if options about a module are given for a network that knows them."""
    if any(option is not None for option in options):
        raise UsageError(
            f"{network.checkpoint.path.name} brings its recipe and its data; leave out "
            "input_shape, test, mean, std, recipe and name, or give its .module with images"
        )


def checked_facts(facts: Facts | None) -> dict[str, object]:
    """Return facts about a training; raise UsageError for one that is no field of a recipe."""
    names = [
        field.name
        for field in fields(Recipe)
        if field.name not in _NOT_FACTS and Role.DERIVED not in field.metadata["roles"]
    ]
    for name in facts or {}:
        if name not in names:
            raise unknown("field of a recipe", name, names)
    return dict(facts or {})


def with_training_set(
    checkpoint: Checkpoint, images: int, normalisation: Normalisation | None
) -> Recipe:
    """Return the recipe of a network with the facts of its training set in memory.

    Raise UsageError if it was said to have another number of images.
    """
    recipe = checkpoint.recipe
    if recipe.subset not in (None, images):
        raise UsageError(
            f"there are {images} images, but the recipe says subset {recipe.subset}; leave out one"
        )
    mean, std = normalisation or (recipe.mean, recipe.std)
    return replace(recipe, subset=images, mean=mean, std=std)


def training_set_in_memory(
    checkpoint: Checkpoint,
    images: Arrays | Batches,
    labels: Arrays | None,
    test: Pair | Batches | None,
    normalisation: Normalisation | None,
    device: torch.device,
) -> tuple[Recipe, TrainingSet]:
    """Return the recipe of a network with the facts of the arrays, and these as a training set."""
    shape, classes = checkpoint.recipe.input_shape, checkpoint.recipe.classes
    subset = joined(example_batches(images, labels, shape, classes, normalisation))
    subset = on_device(subset, device)
    none = replace(subset, images=subset.images[:0], labels=subset.labels[:0])
    tests = test_examples(checkpoint, test, normalisation)
    sets = TrainingSet(subset, none, none if tests is None else on_device(tests, device))
    return with_training_set(checkpoint, len(subset), normalisation), sets


def test_examples(
    checkpoint: Checkpoint, test: Pair | Batches | None, normalisation: Normalisation | None
) -> Examples | None:
    """Return a test set in memory: a pair of images and labels, or a DataLoader of both."""
    if test is None:
        return None
    is_pair = isinstance(test, tuple | list) and len(test) == 2
    images, labels = test if is_pair else (test, None)
    recipe = checkpoint.recipe
    parts = example_batches(images, labels, recipe.input_shape, recipe.classes, normalisation)
    return joined(parts)


def warn(record: Json) -> Json:
    """Warn, as Python does, if a loaded network may not be the one trained; return its record."""
    for warning in (record["evaluation"] or {}).get("warnings", ()):
        warnings.warn(f"{record['checkpoint']['file']}: {warning}", stacklevel=3)
    return record


def on_device(examples: Examples, device: torch.device) -> Examples:
    """Return examples on a device."""
    parts = {part.name: getattr(examples, part.name).to(device) for part in fields(Examples)}
    return Examples(**parts)


def _layers(steps: list[tuple[str, nn.Module]]) -> tuple[Json, ...] | None:
    """Return the list of layers of a recipe; None if a layer has no place in such a list."""
    try:
        return tuple(describe(steps))
    except GentoolError:
        return None


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, Tensor) else value
