"""Inspect a checkpoint: compute sizes without loading its weights into a network."""

import math

from torch import Tensor, nn

from gentool.checkpoints.checkpoint import Checkpoint, training_as_json
from gentool.checkpoints.record import heading
from gentool.common.json import Json
from gentool.networks.layer_list import TYPES
from gentool.networks.layer_shapes import output_shapes, some_shape

_NAMES = {module: name for name, (module, _) in TYPES.items()}


def inspect_checkpoint(checkpoint: Checkpoint, evaluation: Json | None = None) -> Json:
    """Return the content of a checkpoint as JSON: layers, recipe, outcome, digest and versions.

    `evaluation` holds loss and error on its data, None without data.

    Raise GentoolError if the tensors do not fit the recipe's model, or the model its input shape.
    """
    model = checkpoint.empty_model()
    shape = checkpoint.recipe.input_shape
    shapes = output_shapes(model, shape or some_shape(model.eval()))
    if shape is None:  # of vectors alone
        shapes = {name: size if len(size) == 1 else None for name, size in shapes.items()}
    layers = [_layer(name, model.get_submodule(name), size) for name, size in shapes.items()]
    return {
        **heading(checkpoint, {"name": "inspect"}),
        "kind": checkpoint.kind,
        **training_as_json(checkpoint.recipe, checkpoint.outcome),
        "evaluation": evaluation,
        "layers": layers,
        "parameters": sum(layer["parameters"] for layer in layers),
        "dtypes": sorted({_dtype(tensor) for tensor in checkpoint.tensors.values()}),
        "not_finite": [
            name for name, tensor in checkpoint.tensors.items() if not tensor.isfinite().all()
        ],
        "versions": checkpoint.versions,
    }


def _layer(name: str, module: nn.Module, shape: tuple[int, ...] | None) -> Json:
    """Return one layer: type, shape of the weight, shape and number of outputs, parameters.

    Shape and number of outputs are None where the size of the images is unknown. Running statistics
    of batch norm are not parameters.
    """
    weight = getattr(module, "weight", None)
    return {
        "name": name,
        "type": _NAMES.get(type(module), type(module).__name__.lower()),
        "options": module.extra_repr(),
        "shape": list(weight.shape) if weight is not None else None,
        "output_shape": None if shape is None else list(shape),
        "units": None if shape is None else math.prod(shape),
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
    }


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
