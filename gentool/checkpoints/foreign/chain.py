"""Make the recipe of a whole module whose forward pass its file tells, from types and options.

Where a class of its own decides the forward pass, the network is inferred from the tensors as for a
state dict; types that contradict what was inferred are an error.
"""

import math

import torch
from torch import Tensor

from gentool.checkpoints.foreign.layer_builder import InferredNetwork
from gentool.checkpoints.foreign.layers import COUNTER
from gentool.checkpoints.foreign.module_tree import ModuleTree, chain_of
from gentool.checkpoints.foreign.vgg import UNKNOWN_SIZE
from gentool.checkpoints.hints import Hints, as_options
from gentool.common.errors import GentoolError, UsageError
from gentool.common.json import Json
from gentool.networks.layer_list import TYPES, chain
from gentool.networks.layer_shapes import LARGEST_SQUARE, output_shapes, some_shape
from gentool.networks.tracing import ACTIVATIONS
from gentool.records.recipe import Recipe

_NORMS = ("batch_norm1d", "batch_norm2d")
_NEUTRAL = ("Identity", "Dropout", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout", "Flatten")
_LOSSES = ("CrossEntropyLoss", "NLLLoss", "MSELoss", "BCEWithLogitsLoss", "BCELoss")
_COMPARED = ("stride", "padding", "dilation", "groups", "eps")


def recipe_of_chain(
    tree: ModuleTree, tensors: dict[str, Tensor], without: str | None, hints: Hints
) -> tuple[Recipe, dict[str, Tensor]] | None:
    """Return recipe and state dict of a module whose forward pass is known, None for another.

    `without` names its normalising layer, which is no part of the network. Raise UsageError for an
    option that the file answers, or if it does not tell the input shape; GentoolError, naming the
    layer, if a list of layers cannot hold it.
    """
    layers = chain_of(tree, without)
    if layers is None:
        return None
    options = {
        name: value
        for name, value in hints.architecture().items()
        if name not in ("input_shape", "key")
    }
    if options:
        raise UsageError(
            f"the file holds a whole module, which tells its layers; leave out "
            f"{as_options(options)}"
        )
    if not layers:
        raise GentoolError("it holds no convolution and no linear layer")
    state = dict(tensors)
    for layer in layers:
        if layer["type"] in ("conv2d", "linear"):
            layer["bias"] = f"{layer['name']}.bias" in tensors
        if layer["type"] in _NORMS:
            state.setdefault(f"{layer['name']}.{COUNTER}", torch.zeros((), dtype=torch.int64))
    network = _network(layers, hints)
    return Recipe.of_foreign(
        batch_norm=any(layer["type"] in _NORMS for layer in layers),
        input_shape=network.input_shape,
        classes=network.classes,
        layers=tuple(network.layers),
        origin={"said": hints.architecture(), "inferred": network.words},
    ), state


def check_agreement(tree: ModuleTree, recipe: Recipe) -> None:
    """Raise GentoolError if modules that a file tells contradict the layers that were inferred.

    The forward pass of the module's class is code, so that only types and options are compared.
    """
    layers = {layer["name"]: layer for layer in recipe.layers}
    inferred = {layer["type"] for layer in recipe.layers}
    types = {module.__name__: name for name, (module, _) in TYPES.items()}
    remedy = "build the network from its code with --module"
    for name, leaf in tree.leaves():
        kind = leaf.type.rpartition(".")[2]
        if kind in _NEUTRAL or kind in _LOSSES or kind == "LogSoftmax":
            continue
        layer = layers.get(name)
        if layer is None and types.get(kind) in inferred - {"conv2d", "linear", *_NORMS}:
            continue
        if layer is None or TYPES[layer["type"]][0].__name__ != kind:
            raise GentoolError(
                f"the file holds a whole {tree.type}, whose layer {name!r} is a {kind}, which is "
                f"not what its tensors show; {remedy}"
            )
        with torch.device("meta"):
            module = chain([layer]).get_submodule(name)
        for option in _COMPARED:
            told = leaf.options.get(option)
            if told is not None and hasattr(module, option) and told != getattr(module, option):
                raise GentoolError(
                    f"the file holds a whole {tree.type}, whose layer {name!r} has {option} "
                    f"{told}, and not {getattr(module, option)} as its tensors show; {remedy}"
                )


def tells_activation(tree: ModuleTree) -> bool:
    """Return whether activations are among the modules of a file, not in its forward pass alone."""
    names = {activation.__name__ for activation in ACTIVATIONS}
    return any(leaf.type.rpartition(".")[2] in names for _, leaf in tree.leaves())


def _network(layers: list[Json], hints: Hints) -> InferredNetwork:
    first = next((layer for layer in layers if layer["type"] in ("conv2d", "linear")), None)
    if first is None:
        raise GentoolError("it holds no convolution and no linear layer")
    words = [f"{len(layers)} layers with the types, options and order of the module in the file"]
    if first["type"] == "linear" and not any(layer["type"] == "flatten" for layer in layers):
        layers = [{"name": "flatten", "type": "flatten"}, *layers]
    with torch.device("meta"):
        model = chain(layers)
    if hints.input_shape is not None:
        shape = hints.input_shape
    elif first["type"] == "linear":
        shape = (1, 1, first["in_features"])
        words.append(f"inputs are vectors of {shape[2]}")
    else:
        shape = _smallest_square(model, layers, first["in_channels"])
        words.append(
            f"input shape {'x'.join(map(str, shape))}, the smallest square that fits"
            if shape is not None
            else UNKNOWN_SIZE
        )
    last = list(output_shapes(model, shape or some_shape(model.eval())).values())[-1]
    if math.prod(last) != last[0]:
        raise GentoolError(
            f"its last layer gives {'x'.join(map(str, last))} numbers, not one for each class"
        )
    return InferredNetwork(layers, shape, last[0], words)


def _smallest_square(
    model: torch.nn.Module, layers: list[Json], channels: int
) -> tuple[int, int, int] | None:
    """Return the smallest square that a module takes, None if it takes squares of any size."""
    kinds = [layer["type"] for layer in layers]
    if "linear" in kinds and "adaptive_avg_pool2d" not in kinds:
        for size in range(1, LARGEST_SQUARE + 1):
            try:
                output_shapes(model, (channels, size, size))
            except GentoolError:
                continue
            return (channels, size, size)
    return None
