"""Infer the layers of an MLP from linear layers under any names."""

import math
from itertools import pairwise

from gentool.checkpoints.foreign.layer_builder import InferredNetwork, LayerBuilder
from gentool.checkpoints.foreign.layer_order import linears_in_order
from gentool.checkpoints.foreign.layers import ForeignLayer, norms_after
from gentool.checkpoints.hints import Hints
from gentool.common.errors import GentoolError, UsageError


def infer_mlp(layers: list[ForeignLayer], hints: Hints, in_file_order: bool) -> InferredNetwork:
    """Infer an MLP: flattening, then linear layers, with their batch norm if any, and ReLU.

    Raise UsageError if an option has to name a fact that the file does not hold, GentoolError if
    the shapes do not fit.
    """
    if hints.pool is not None:
        raise UsageError(f"--pool is {hints.pool}, but the network has linear layers only")
    linears = [layer for layer in layers if layer.kind == "linear"]
    order, how = linears_in_order(linears, hints.order, in_file_order)
    shape = _input_shape(order[0].inputs, hints)
    norms = norms_after(order, layers, in_file_order)
    check_room_for_relu(order, norms, hints)
    builder = LayerBuilder(layers)
    builder.add_between_containers("flatten", "flatten")
    add_linears(builder, order, norms)
    words = [f"mlp of {len(order)} linear layers ({_sizes(order)})", "ReLU between them"]
    if len(order) > 1:
        words.append(f"in {how}")
    if norms:
        words.append(f"batch norm before ReLU on {len(norms)}, eps 1e-5")
    if hints.input_shape is None:
        words.append(f"inputs are vectors of {order[0].inputs}")
    return InferredNetwork(builder.layers, shape, order[-1].outputs, words)


def add_linears(
    builder: LayerBuilder, order: list[ForeignLayer], norms: dict[str, ForeignLayer]
) -> None:
    """Add linear layers with their batch norm, and ReLU after all but the last."""
    for linear in order:
        builder.add_weight_layer(linear, norms.get(linear.name))
        if linear is not order[-1]:
            builder.add_in_container("relu")


def check_room_for_relu(
    order: list[ForeignLayer], norms: dict[str, ForeignLayer], hints: Hints
) -> None:
    """Raise UsageError if the indices of two layers leave no place for a ReLU between them.

    In an nn.Sequential there is no ReLU then; after an nn.ModuleList the forward pass may call one.
    """
    if hints.model is not None:
        return
    for before, after in pairwise(order):
        last = norms.get(before.name, before)
        is_same_container = last.index is not None and last.container == after.container
        if is_same_container and after.index is not None and after.index == last.index + 1:
            raise UsageError(
                f"the indices of {last.name!r} and {after.name!r} leave no place for a ReLU "
                "between; if the forward pass calls one there, name --model mlp (or vgg11 ...)"
            )


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
