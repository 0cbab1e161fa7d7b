"""The layers of a VGG in their order: convolutions, then linear layers, and batch norm on them."""

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
    """The layers with weights of a VGG, each list from first to last.

    `head` holds the convolutions of timm's classifier, which others have as linear layers.
    """

    body: list[ForeignLayer]
    head: list[ForeignLayer]
    linears: list[ForeignLayer]
    norms: dict[str, ForeignLayer]

    @property
    def side(self) -> float:
        """The side of the map that the classifier takes, if that is square."""
        if self.head:
            return self.head[0].kernel[0]
        return math.sqrt(self.linears[0].inputs / self.body[-1].outputs)


def vgg_parts(parts: list[ForeignLayer], hints: Hints, in_file_order: bool) -> VGGParts:
    """The layers of a VGG in their order.

    Raises UsageError where an option has to tell it, GentoolError where sizes do not fit.
    """
    convolutions = [part for part in parts if part.kind == "conv2d"]
    head = [part for part in convolutions if part.container.endswith("pre_logits")]
    body = [part for part in convolutions if part not in head]
    linears = [part for part in parts if part.kind == "linear"]
    if not body or not linears:
        raise GentoolError("a VGG has convolutions and then linear layers; one of them is missing")
    if len({part.container for part in body}) > 1 or any(part.index is None for part in body):
        if hints.model is None:
            raise UsageError(
                "the convolutions are not numbered as in features.N, so that nothing shows where "
                f"the poolings are; name the model with --model ({', '.join(STACKS)})"
            )
        body = body if in_file_order else sorted(body, key=lambda part: part.numbers)
    else:
        body = sorted(body, key=lambda part: part.index)
    linears, _ = linears_in_order(linears, hints.order, in_file_order)
    norms = norms_after([*body, *linears], parts, in_file_order)
    _check(body, head, linears)
    check_room_for_relu([*body, *linears], norms, hints)
    return VGGParts(body, sorted(head, key=lambda part: part.name), linears, norms)


def _check(body: list[ForeignLayer], head: list[ForeignLayer], linears: list[ForeignLayer]) -> None:
    """Raise GentoolError where a layer does not take what the one before it puts out."""
    for before, after in pairwise([*body, *sorted(head, key=lambda part: part.name)]):
        if after.inputs != before.outputs:
            raise GentoolError(
                f"layer {after.name!r} takes {after.inputs} channels, {before.name!r} before it "
                f"puts out {before.outputs}"
            )
    for part in body:
        if part.kernel not in ((3, 3), (1, 1)):
            kernel = "x".join(map(str, part.kernel))
            raise GentoolError(
                f"layer {part.name!r} is a {kernel} convolution, whose stride and padding cannot "
                "be told; a VGG has 3x3"
            )
    last = [*body, *head][-1].outputs
    if linears[0].inputs % last or (head and linears[0].inputs != last):
        raise GentoolError(
            f"layer {linears[0].name!r} takes {linears[0].inputs} numbers, which is no multiple of "
            f"the {last} channels before it"
        )
