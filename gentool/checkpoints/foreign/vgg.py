"""The layers of a VGG: stacks of 3x3 convolutions with poolings, then linear layers.

What the tensors do not hold is found thus. *Where the poolings are*: from gaps in the numbers of
`features.N`, as `vgg_poolings` tells. *Whether they take the maximum*: as the known
VGGs do, unless --pool says otherwise. *How large the images are*: what the first linear layer
takes, times the poolings; where the map is pooled to 7x7 whatever comes in, that tells nothing, and
--input-shape has to say, save for the thousand classes of ImageNet.
"""

import math

from gentool.checkpoints.foreign.layer_builder import InferredNetwork, LayerBuilder
from gentool.checkpoints.foreign.layers import ForeignLayer
from gentool.checkpoints.foreign.mlp import add_linears
from gentool.checkpoints.foreign.vgg_parts import VGGParts, vgg_parts
from gentool.checkpoints.foreign.vgg_poolings import ADAPTED, poolings
from gentool.checkpoints.hints import Hints
from gentool.common.errors import UsageError

_IMAGENET = (1000, 224)


def infer_vgg(parts: list[ForeignLayer], hints: Hints, in_file_order: bool) -> InferredNetwork:
    """A VGG, as the module says.

    Raises UsageError where an option has to say what the file does not, GentoolError where the
    shapes do not fit.
    """
    net = vgg_parts(parts, hints, in_file_order)
    model, sizes = poolings(net, hints)
    pool = hints.pool or "max"
    shape = hints.input_shape or _input_shape(net, sizes)
    builder = LayerBuilder(parts)
    for convolution, size in zip(net.body, sizes, strict=True):
        padding = [side // 2 for side in convolution.kernel]
        builder.weight(convolution, net.norms.get(convolution.name), padding=padding)
        builder.between("relu")
        if size > 1:
            builder.between(f"{pool}_pool2d", kernel_size=size, stride=size)
    arriving = [side // math.prod(sizes) for side in shape[1:]]
    adapted = _add_head(builder, net, arriving, is_known=model is not None)
    words = [*_in_words(net, model, sizes, pool), *adapted]
    if hints.input_shape is None:
        smallest = "" if net.side == ADAPTED else ", the smallest square that fits"
        words.append(f"input shape {'x'.join(map(str, shape))}{smallest}")
    return InferredNetwork(builder.layers, shape, net.linears[-1].outputs, words)


def _input_shape(net: VGGParts, sizes: list[int]) -> tuple[int, int, int]:
    """The smallest square input with the map that the classifier takes.

    Raises UsageError where --input-shape has to say.
    """
    side, channels = net.side, net.body[0].inputs
    classes, imagenet_side = _IMAGENET
    if side == ADAPTED and net.linears[-1].outputs == classes:
        return (channels, imagenet_side, imagenet_side)
    if side == ADAPTED or side != int(side):
        raise UsageError(
            "the size of the images does not follow from the shapes; name it with --input-shape, "
            f"as --input-shape {channels}x32x32"
        )
    total = int(side) * math.prod(sizes)
    return (channels, total, total)


def _add_head(
    builder: LayerBuilder, net: VGGParts, arriving: list[int], *, is_known: bool
) -> list[str]:
    """Add what follows the convolutions; returns in words what of it no tensor shows.

    `arriving` is the height and width of the map that arrives there. Known VGGs pool to 7x7, which
    at 224x224 changes nothing.
    """
    words = []
    if is_known and net.side == ADAPTED and (not net.head or min(arriving) < ADAPTED):
        size = [max(ADAPTED, side) for side in arriving] if net.head else [ADAPTED, ADAPTED]
        builder.apart("adaptive_avg_pool2d", "avgpool", output_size=size)
        words.append(f"adaptive average pooling to {size[0]}x{size[1]} before the classifier")
    for convolution in net.head:
        builder.weight(convolution, None)
        builder.between("relu")
    if net.head:
        builder.apart("adaptive_avg_pool2d", "global_pool", output_size=1)
        words.append("global average pooling before the last layer")
    builder.apart("flatten", "flatten")
    add_linears(builder, net.linears, net.norms)
    return words


def _in_words(net: VGGParts, model: str | None, sizes: list[int], pool: str) -> list[str]:
    on = sum(part.name in net.norms for part in net.body)
    last = f"{sizes[-1]}x{sizes[-1]} after the last" if sizes[-1] > 1 else "none after the last"
    return [
        f"{model or 'a VGG'} of {len(net.body)} convolutions, padded to keep their size, stride 1",
        f"batch norm on {on} of them, eps 1e-5" if on else "no batch norm",
        f"{pool} pooling after {sum(size > 1 for size in sizes)} of them, {last}",
        f"layers in the classifier: {len(net.head) + len(net.linears)}; ReLU between all",
    ]
