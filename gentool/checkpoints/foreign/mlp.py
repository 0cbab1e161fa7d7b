"""Infer the layers of an MLP from linear layers under any names."""

import math

from gentool.checkpoints.foreign.activations import activations_after
from gentool.checkpoints.foreign.batch_norms import BatchNorms, batch_norms
from gentool.checkpoints.foreign.layer_builder import InferredNetwork, LayerBuilder
from gentool.checkpoints.foreign.layer_order import in_order
from gentool.checkpoints.foreign.layers import ForeignLayer
from gentool.checkpoints.hints import Hints
from gentool.common.errors import GentoolError, UsageError

RELU_BETWEEN = "ReLU between them"


def infer_mlp(layers: list[ForeignLayer], hints: Hints, in_file_order: bool) -> InferredNetwork:
    """Infer an MLP: flattening, then linear layers, with their batch norm if any, and ReLU.

    Raise UsageError if an option has to name a fact that the file does not hold, GentoolError if
    the shapes do not fit.
    """
    for name in ("pool", "padding", "stride"):
        if (value := getattr(hints, name)) is not None:
            words = value if isinstance(value, str) else ",".join(map(str, value))
            raise UsageError(f"--{name} is {words}, but the network has linear layers only")
    linears = [layer for layer in layers if layer.kind == "linear"]
    order, how = in_order(linears, hints.order, in_file_order)
    shape = _input_shape(order[0].inputs, hints)
    norms = batch_norms(order, layers, hints, in_file_order)
    activations = activations_after(order, norms, hints)
    builder = LayerBuilder(layers)
    builder.add_between_containers("flatten", "flatten")
    add_linears(builder, order, norms, activations)
    words = [f"mlp of {len(order)} linear layers ({_sizes(order)})"]
    words.append(activations_in_words(order, activations))
    if len(order) > 1:
        words.append(f"in {how}")
    words += norms.in_words()
    if hints.input_shape is None:
        words.append(f"inputs are vectors of {order[0].inputs}")
    return InferredNetwork(builder.layers, shape, order[-1].outputs, words, tuple(order))


def add_linears(
    builder: LayerBuilder, order: list[ForeignLayer], norms: BatchNorms, activations: dict[str, str]
) -> None:
    """Add linear layers, each with its batch norm and its activation."""
    for linear in order:
        builder.add_weight_layer(linear, norms.before_activation(linear))
        add_activation(builder, linear, norms, activations)


def add_activation(
    builder: LayerBuilder, layer: ForeignLayer, norms: BatchNorms, activations: dict[str, str]
) -> None:
    """Add the activation after a layer, if it has one, and the batch norm after that."""
    if layer.name in activations:
        builder.add_in_container(activations[layer.name])
    if (norm := norms.after_activation(layer)) is not None:
        builder.add_batch_norm(norm, layer.kind)


def activations_in_words(order: list[ForeignLayer], activations: dict[str, str]) -> str:
    """Return the activations in words."""
    kinds = [activations.get(layer.name, "none") for layer in order[:-1]]
    if set(kinds) <= {"relu"}:
        return RELU_BETWEEN
    return f"activations between them: {', '.join(kinds)}"


def _input_shape(inputs: int, hints: Hints) -> tuple[int, int, int]:
    if hints.input_shape is None:
        return (1, 1, inputs)
    if math.prod(hints.input_shape) != inputs:
        shape = "x".join(map(str, hints.input_shape))
        raise GentoolError(
            f"--input-shape {shape} has {math.prod(hints.input_shape)} numbers; the first layer "
            f"takes {inputs}"
        )
    return hints.input_shape


def _sizes(order: list[ForeignLayer]) -> str:
    return "-".join(map(str, [order[0].inputs, *(layer.outputs for layer in order)]))
