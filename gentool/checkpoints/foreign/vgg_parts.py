"""Put the layers of a VGG in order: convolutions, then linear layers."""

import math
from dataclasses import dataclass
from itertools import pairwise

from gentool.checkpoints.foreign.layer_order import in_order
from gentool.checkpoints.foreign.layers import ForeignLayer
from gentool.checkpoints.hints import Hints
from gentool.common.errors import GentoolError, UsageError


@dataclass(frozen=True)
class VGGParts:
    """Hold the layers of a VGG that have weights, each list from first to last.

    `head` holds the convolutions of timm's classifier, which are linear layers in other programs.
    """

    body: list[ForeignLayer]
    head: list[ForeignLayer]
    linears: list[ForeignLayer]

    @property
    def weight_layers(self) -> list[ForeignLayer]:
        return [*self.body, *self.head, *self.linears]

    @property
    def is_numbered(self) -> bool:
        """Return whether all convolutions are in one nn.Sequential, by their names."""
        is_one = len({layer.container for layer in self.body}) == 1
        return is_one and all(layer.index is not None for layer in self.body)

    @property
    def is_published(self) -> bool:
        """Return whether the names are those of torchvision's or timm's VGGs.

        All of their versions end the convolutions with a max pooling, then pool to 7x7. The
        classifier that takes the 7x7 map may be another, as after fine-tuning.
        """
        names = [layer.name for layer in self.linears]
        heads = [layer.name for layer in self.head]
        containers = {layer.container for layer in self.linears}
        is_torchvision = not heads and containers == {"classifier"} and names[0] == "classifier.0"
        is_timm = heads == ["pre_logits.fc1", "pre_logits.fc2"] and names == ["head.fc"]
        is_features = all(layer.container == "features" for layer in self.body)
        return is_features and self.side == 7 and (is_torchvision or is_timm)

    @property
    def side(self) -> float:
        """Return the side of the map that the classifier takes, assuming a square."""
        if self.head:
            return self.head[0].kernel[0]
        return math.sqrt(self.linears[0].inputs / self.body[-1].outputs)


def vgg_parts(layers: list[ForeignLayer], hints: Hints, in_file_order: bool) -> VGGParts:
    """Return the weight layers of a VGG, or of another chain of convolutions, in order.

    Raise UsageError if an option has to name the order, GentoolError if sizes do not fit.
    """
    convolutions = [layer for layer in layers if layer.kind == "conv2d"]
    head = [layer for layer in convolutions if layer.container.endswith("pre_logits")]
    body = [layer for layer in convolutions if layer not in head]
    linears = [layer for layer in layers if layer.kind == "linear"]
    if not body or not linears:
        raise GentoolError("a VGG has convolutions and then linear layers; one of them is missing")
    body, linears = _in_order(body, linears, hints, in_file_order)
    net = VGGParts(body, sorted(head, key=lambda layer: layer.name), linears)
    _check_sizes(net)
    return net


def _in_order(
    body: list[ForeignLayer], linears: list[ForeignLayer], hints: Hints, in_file_order: bool
) -> tuple[list[ForeignLayer], list[ForeignLayer]]:
    """Return convolutions and linear layers from first to last; --order may name both or linears.

    Raise UsageError if names and sizes leave several orders, or the file has another.
    """
    names = hints.order
    if names is not None and any(layer.name in names for layer in body):
        count = len(body)
        body, _ = in_order(body, names[:count], in_file_order)
        return body, in_order(linears, names[count:], in_file_order)[0]
    if len({layer.template for layer in body}) == 1:
        numbered = sorted(body, key=lambda layer: layer.numbers)
        if in_file_order and numbered != body:
            order = ",".join(layer.name for layer in [*numbered, *linears])
            raise UsageError(
                "the convolutions stand in the file in another order than the numbers in their "
                f"names; name all layers from first to last with --order, as --order {order}"
            )
        body = numbered
    else:
        body, _ = in_order(body, None, in_file_order)
    return body, in_order(linears, names, in_file_order)[0]


def _check_sizes(net: VGGParts) -> None:
    """Raise GentoolError if the inputs of a layer are not the outputs of the layer before it."""
    for before, after in pairwise([*net.body, *net.head]):
        if after.inputs != before.outputs:
            raise GentoolError(
                f"layer {after.name!r} takes {after.inputs} channels, {before.name!r} before it "
                f"has {before.outputs} outputs; if the file holds several networks, leave out all "
                f"but one, as --leave-out {after.container or after.name}"
            )
    last, first = [*net.body, *net.head][-1].outputs, net.linears[0]
    if first.inputs % last or (net.head and first.inputs != last):
        raise GentoolError(
            f"layer {first.name!r} takes {first.inputs} numbers, which is no multiple of the "
            f"{last} channels before it"
        )


def check_kernels(net: VGGParts) -> None:
    """Raise GentoolError if a convolution is none of a known VGG."""
    for layer in net.body:
        if layer.kernel not in ((3, 3), (1, 1)):
            kernel = "x".join(map(str, layer.kernel))
            raise GentoolError(
                f"layer {layer.name!r} is a {kernel} convolution, and a VGG has 3x3; name its "
                "padding with --padding"
            )
