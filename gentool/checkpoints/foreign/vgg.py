"""Infer the layers of a VGG: stacks of 3x3 convolutions with poolings, then linear layers.

The tensors do not hold three facts. *Places of the poolings*: inferred from gaps in the numbers of
`features.N`, see `vgg_poolings`. *Kind of pooling*: maximum, as in the known VGGs, unless --pool is
given. *Size of the images*: the side of the first linear layer's map times the poolings. A VGG that
pools its last map to 7x7 accepts images of any size, so --input-shape has to name theirs, except
for the 1000 classes of ImageNet (224x224).
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


def infer_vgg(layers: list[ForeignLayer], hints: Hints, in_file_order: bool) -> InferredNetwork:
    """Infer a VGG, as described at the top of this file.

    Raise UsageError if an option has to name a fact that the file does not hold, GentoolError if
    the shapes do not fit.
    """
    net = vgg_parts(layers, hints, in_file_order)
    model, sizes = poolings(net, hints)
    pool = hints.pool or "max"
    shape = hints.input_shape or _input_shape(net, sizes)
    builder = LayerBuilder(layers)
    for convolution, size in zip(net.body, sizes, strict=True):
        padding = [side // 2 for side in convolution.kernel]
        builder.add_weight_layer(convolution, net.norms.get(convolution.name), padding=padding)
        builder.add_in_container("relu")
        if size > 1:
            builder.add_in_container(f"{pool}_pool2d", kernel_size=size, stride=size)
    map_size = [side // math.prod(sizes) for side in shape[1:]]
    head_words = _add_head(builder, net, map_size, is_known=model is not None)
    words = [*_in_words(net, model, sizes, pool), *head_words]
    if hints.input_shape is None:
        smallest = "" if net.side == ADAPTED else ", the smallest square that fits"
        words.append(f"input shape {'x'.join(map(str, shape))}{smallest}")
    return InferredNetwork(builder.layers, shape, net.linears[-1].outputs, words)


def _input_shape(net: VGGParts, sizes: list[int]) -> tuple[int, int, int]:
    """Return the smallest square input whose map has the size that the classifier takes.

    Raise UsageError if the shapes do not show it, so that --input-shape is needed.
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
    builder: LayerBuilder, net: VGGParts, map_size: list[int], *, is_known: bool
) -> list[str]:
    """Add the layers after the convolutions; return a description of those without tensors.

    `map_size` is the height and width of the map after the convolutions. Known VGGs pool it to 7x7,
    which changes nothing for images of 224x224.
    """
    words = []
    if is_known and net.side == ADAPTED and (not net.head or min(map_size) < ADAPTED):
        size = [max(ADAPTED, side) for side in map_size] if net.head else [ADAPTED, ADAPTED]
        builder.add_between_containers("adaptive_avg_pool2d", "avgpool", output_size=size)
        words.append(f"adaptive average pooling to {size[0]}x{size[1]} before the classifier")
    for convolution in net.head:
        builder.add_weight_layer(convolution, None)
        builder.add_in_container("relu")
    if net.head:
        builder.add_between_containers("adaptive_avg_pool2d", "global_pool", output_size=1)
        words.append("global average pooling before the last layer")
    builder.add_between_containers("flatten", "flatten")
    add_linears(builder, net.linears, net.norms)
    return words


def _in_words(net: VGGParts, model: str | None, sizes: list[int], pool: str) -> list[str]:
    on = sum(layer.name in net.norms for layer in net.body)
    last = f"{sizes[-1]}x{sizes[-1]} after the last" if sizes[-1] > 1 else "none after the last"
    return [
        f"{model or 'a VGG'} of {len(net.body)} convolutions, padded to keep their size, stride 1",
        f"batch norm on {on} of them, eps 1e-5" if on else "no batch norm",
        f"{pool} pooling after {sum(size > 1 for size in sizes)} of them, {last}",
        f"layers in the classifier: {len(net.head) + len(net.linears)}; ReLU between all",
    ]
