"""Put the layers of a VGG in order: convolutions, then linear layers, each with its batch norm."""

import math
from dataclasses import dataclass
from itertools import pairwise

from gentool.checkpoints.foreign.layer_order import linears_in_order
from gentool.checkpoints.foreign.layers import ForeignLayer, norms_after
from gentool.checkpoints.foreign.mlp import check_room_for_relu
from gentool.checkpoints.hints import Hints
from gentool.common.errors import GentoolError, UsageError
from gentool.networks.models import STACKS


@dataclass(frozen=True)
class VGGParts:
    """Hold the layers of a VGG that have weights, each list from first to last.

    `head` holds the convolutions of timm's classifier, which are linear layers in other programs.
    """

    body: list[ForeignLayer]
    head: list[ForeignLayer]
    linears: list[ForeignLayer]
    norms: dict[str, ForeignLayer]

    @property
    def side(self) -> float:
        """Return the side of the map that the classifier takes, assuming a square."""
        if self.head:
            return self.head[0].kernel[0]
        return math.sqrt(self.linears[0].inputs / self.body[-1].outputs)


def vgg_parts(layers: list[ForeignLayer], hints: Hints, in_file_order: bool) -> VGGParts:
    """Return the layers of a VGG in order.

    Raise UsageError if an option has to name the order, GentoolError if sizes do not fit.
    """
    convolutions = [layer for layer in layers if layer.kind == "conv2d"]
    head = [layer for layer in convolutions if layer.container.endswith("pre_logits")]
    body = [layer for layer in convolutions if layer not in head]
    linears = [layer for layer in layers if layer.kind == "linear"]
    if not body or not linears:
        raise GentoolError("a VGG has convolutions and then linear layers; one of them is missing")
    if len({layer.container for layer in body}) > 1 or any(layer.index is None for layer in body):
        if hints.model is None:
            raise UsageError(
                "the convolutions are not numbered as in features.N, so that nothing shows where "
                f"the poolings are; name the model with --model ({', '.join(STACKS)})"
            )
        body = body if in_file_order else sorted(body, key=lambda layer: layer.numbers)
    else:
        body = sorted(body, key=lambda layer: layer.index)
    linears, _ = linears_in_order(linears, hints.order, in_file_order)
    norms = norms_after([*body, *linears], layers, in_file_order)
    _check_sizes(body, head, linears)
    check_room_for_relu([*body, *linears], norms, hints)
    return VGGParts(body, sorted(head, key=lambda layer: layer.name), linears, norms)


def _check_sizes(
    body: list[ForeignLayer], head: list[ForeignLayer], linears: list[ForeignLayer]
) -> None:
    """Raise GentoolError if the inputs of a layer are not the outputs of the layer before it."""
    for before, after in pairwise([*body, *sorted(head, key=lambda layer: layer.name)]):
        if after.inputs != before.outputs:
            raise GentoolError(
                f"layer {after.name!r} takes {after.inputs} channels, {before.name!r} before it "
                f"has {before.outputs} outputs"
            )
    for layer in body:
        if layer.kernel not in ((3, 3), (1, 1)):
            kernel = "x".join(map(str, layer.kernel))
            raise GentoolError(
                f"layer {layer.name!r} is a {kernel} convolution, whose stride and padding cannot "
                "be inferred; a VGG has 3x3"
            )
    last = [*body, *head][-1].outputs
    if linears[0].inputs % last or (head and linears[0].inputs != last):
        raise GentoolError(
            f"layer {linears[0].name!r} takes {linears[0].inputs} numbers, which is no multiple of "
            f"the {last} channels before it"
        )
