"""From the tensors of a foreign checkpoint to its recipe, which says what was inferred."""

import torch
from torch import Tensor

from gentool.checkpoints.foreign.layer_builder import state_dict_of
from gentool.checkpoints.foreign.layers import layers_of
from gentool.checkpoints.foreign.mlp import infer_mlp
from gentool.checkpoints.foreign.reading import checked_weights
from gentool.checkpoints.foreign.vgg import infer_vgg
from gentool.checkpoints.hints import Hints
from gentool.common.errors import GentoolError, UsageError
from gentool.networks.layer_list import chain
from gentool.networks.layer_shapes import output_shapes
from gentool.records.recipe import Recipe


def infer_recipe(
    tensors: dict[str, Tensor], hints: Hints, file: str, sha256: str, is_ordered: bool
) -> tuple[Recipe, dict[str, Tensor]]:
    """The recipe and the state dict of a foreign checkpoint.

    `is_ordered` tells whether the tensors come in the order in which the network was defined.
    Raises UsageError where an option has to say what the file does not, GentoolError where it holds
    no VGG and no MLP.
    """
    parts = layers_of(checked_weights(tensors))
    has_convolutions = any(part.kind == "conv2d" for part in parts)
    if not has_convolutions and not any(part.kind == "linear" for part in parts):
        raise GentoolError("it holds no convolution and no linear layer")
    if hints.model is not None and (hints.model == "mlp") == has_convolutions:
        kind = "has convolutions" if has_convolutions else "has linear layers only"
        raise UsageError(f"--model is {hints.model}, but the network {kind}")
    infer = infer_vgg if has_convolutions else infer_mlp
    found = infer(parts, hints, is_ordered)
    if found.classes < 2:
        raise GentoolError("the network has one output; measures of margins need two classes")
    with torch.device("meta"):
        model = chain(found.layers)
    output_shapes(model, found.input_shape)
    recipe = Recipe.of_foreign(
        batch_norm=any(part.kind == "norm" for part in parts),
        input_shape=found.input_shape,
        classes=found.classes,
        layers=tuple(found.layers),
        origin={
            "file": file,
            "sha256": sha256,
            "said": hints.architecture(),
            "inferred": found.words,
        },
    )
    return recipe, state_dict_of(parts)
