"""Infer the recipe of a foreign checkpoint from its tensors."""

import torch
from torch import Tensor

from gentool.checkpoints.foreign.assumptions import ACTIVATION, assumptions
from gentool.checkpoints.foreign.layer_builder import state_dict_of
from gentool.checkpoints.foreign.layers import layers_of
from gentool.checkpoints.foreign.mlp import RELU_BETWEEN, infer_mlp
from gentool.checkpoints.foreign.reading import checked_weights
from gentool.checkpoints.foreign.vgg import RELU_ALL, infer_vgg
from gentool.checkpoints.hints import Hints
from gentool.common.errors import GentoolError, UsageError
from gentool.networks.layer_list import chain
from gentool.networks.layer_shapes import output_shapes, some_shape
from gentool.records.recipe import Recipe


def infer_recipe(
    tensors: dict[str, Tensor],
    hints: Hints,
    file: str,
    sha256: str,
    is_ordered: bool,
    is_activation_told: bool = False,
) -> tuple[Recipe, dict[str, Tensor]]:
    """Return the recipe and the state dict of a foreign checkpoint.

    With `is_ordered`, the tensors come in the order in which the network was defined. Raise
    UsageError if an option has to name a fact that the file does not hold, GentoolError if the file
    holds neither a VGG nor an MLP.
    """
    tensors, left_out = _without(checked_weights(tensors), hints.leave_out or ())
    layers = layers_of(tensors)
    has_convolutions = any(layer.kind == "conv2d" for layer in layers)
    if not has_convolutions and not any(layer.kind == "linear" for layer in layers):
        raise GentoolError("it holds no convolution and no linear layer")
    if hints.model is not None and (hints.model == "mlp") == has_convolutions:
        kind = "has convolutions" if has_convolutions else "has linear layers only"
        raise UsageError(f"--model is {hints.model}, but the network {kind}")
    infer = infer_vgg if has_convolutions else infer_mlp
    network = infer(layers, hints, is_ordered)
    with torch.device("meta"):
        model = chain(network.layers)
    output_shapes(model, network.input_shape or some_shape(model.eval()))
    recipe = Recipe.of_foreign(
        batch_norm=any(layer.kind == "norm" for layer in layers),
        input_shape=network.input_shape,
        classes=network.classes,
        layers=tuple(network.layers),
        origin={
            "file": file,
            "sha256": sha256,
            "said": hints.architecture(),
            "inferred": network.words + left_out,
            "assumed": assumptions(network.order, network.layers, hints, is_activation_told),
        },
    )
    return recipe, state_dict_of(layers)


def inferred_in_words(recipe: Recipe) -> str:
    """Return what was inferred, for people: activations that no option said are assumed."""
    words = recipe.origin["inferred"]
    if ACTIVATION in recipe.origin.get("assumed", ()):
        words = [word + " (assumed)" * word.endswith((RELU_BETWEEN, RELU_ALL)) for word in words]
    return "; ".join(words)


def _without(
    tensors: dict[str, Tensor], names: tuple[str, ...]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors that are in none of these layers or modules, and the rest in words.

    Raise UsageError if a name is of no layer and no module.
    """
    for name in names:
        rest = {key: tensor for key, tensor in tensors.items() if not key.startswith(f"{name}.")}
        if len(rest) == len(tensors):
            known = ", ".join(dict.fromkeys(key.rpartition(".")[0] for key in tensors))
            raise UsageError(f"--leave-out names {name!r}; the file has the layers {known}")
        tensors = rest
    if not tensors:
        raise UsageError(f"--leave-out {','.join(names)} leaves no layer")
    return tensors, [f"left out: {', '.join(names)}"] if names else []
