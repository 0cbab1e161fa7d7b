"""Infer the layers of a VGG: stacks of 3x3 convolutions with poolings, then linear layers.

The tensors do not hold three facts. *Places and kinds of the poolings*: see `vgg_poolings`. *Stride
and padding*: see `windows`. *Size of the images*: the side of the first linear layer's map times
the poolings. A VGG that pools its last map to 7x7 accepts images of any size: with 1000 classes
they are ImageNet's, 224x224; else theirs is that of the data or of --input-shape, or unknown.
"""

import math

from gentool.checkpoints.foreign.activations import activations_after
from gentool.checkpoints.foreign.batch_norms import BatchNorms, batch_norms
from gentool.checkpoints.foreign.layer_builder import InferredNetwork, LayerBuilder
from gentool.checkpoints.foreign.layers import ForeignLayer
from gentool.checkpoints.foreign.mlp import add_activation, add_linears
from gentool.checkpoints.foreign.vgg_parts import VGGParts, vgg_parts
from gentool.checkpoints.foreign.vgg_poolings import ADAPTED, PoolingPlan, pooling_plan
from gentool.checkpoints.foreign.windows import Windows, map_sizes, windows
from gentool.checkpoints.hints import Hints
from gentool.common.errors import UsageError

_IMAGENET = (1000, 224)
RELU_ALL = "ReLU between all"
UNKNOWN_SIZE = "the size of the images is unknown, as it takes all (--input-shape names it)"


def infer_vgg(layers: list[ForeignLayer], hints: Hints, in_file_order: bool) -> InferredNetwork:
    """Infer a VGG, as described at the top of this file, or another chain of convolutions.

    Raise UsageError if an option has to name a fact that the file does not hold, GentoolError if
    the shapes do not fit.
    """
    net = vgg_parts(layers, hints, in_file_order)
    plan = pooling_plan(net, [layer for layer in layers if layer.kind == "norm"], hints)
    is_vgg = plan.model is not None
    order = net.weight_layers
    norms = batch_norms(order, layers, hints, in_file_order, is_vgg=is_vgg)
    activations = activations_after(order, norms, hints, is_vgg=is_vgg)
    where = windows(net, plan, hints)
    shape = hints.input_shape or _input_shape(net, plan.sizes)
    builder = LayerBuilder(layers)
    for i, convolution in enumerate(net.body):
        norm = norms.before_activation(convolution)
        stride = {} if where.strides[i] == 1 else {"stride": where.strides[i]}
        builder.add_weight_layer(convolution, norm, padding=list(where.paddings[i]), **stride)
        add_activation(builder, convolution, norms, activations)
        if (pooling := plan.after[i]) is not None:
            size = {"kernel_size": pooling.size, "stride": pooling.size}
            builder.add_in_container(f"{pooling.kind}_pool2d", **size)
    map_size = None if shape is None else map_sizes(net, plan, where, shape)
    head_words = _add_head(builder, net, norms, activations, map_size, is_known=is_vgg)
    words = [*_in_words(net, plan, where, norms, activations), *head_words]
    if shape is None:
        words.append(UNKNOWN_SIZE)
    elif hints.input_shape is None:
        smallest = "" if net.side == ADAPTED else ", the smallest square that fits"
        words.append(f"input shape {'x'.join(map(str, shape))}{smallest}")
    return InferredNetwork(
        builder.layers, shape, net.linears[-1].outputs, words, tuple(net.weight_layers)
    )


def _input_shape(net: VGGParts, sizes: list[int]) -> tuple[int, int, int] | None:
    """Return the smallest square input whose map has the size that the classifier takes.

    None if the network pools its map to 7x7 and so takes images of any size. Raise UsageError if
    the map is no square, so that --input-shape is needed.
    """
    side, channels = net.side, net.body[0].inputs
    classes, imagenet_side = _IMAGENET
    if side == ADAPTED and net.linears[-1].outputs == classes:
        return (channels, imagenet_side, imagenet_side)
    if side == ADAPTED:
        return None
    if side != int(side):
        raise UsageError(
            "the size of the images does not follow from the shapes; name it with --input-shape, "
            f"as --input-shape {channels}x32x32"
        )
    total = int(side) * math.prod(sizes)
    return (channels, total, total)


def _add_head(
    builder: LayerBuilder,
    net: VGGParts,
    norms: BatchNorms,
    activations: dict[str, str],
    map_size: list[int] | None,
    *,
    is_known: bool,
) -> list[str]:
    """Add the layers after the convolutions; return a description of those without tensors.

    `map_size` is the height and width of the map after the convolutions. Known VGGs pool it to 7x7,
    which changes nothing for images of 224x224; timm's do so only if it is smaller, which is left
    out if the size is unknown.
    """
    words = []
    is_small = map_size is not None and min(map_size) < ADAPTED
    if is_known and net.side == ADAPTED and (not net.head or is_small):
        size = [max(ADAPTED, side) for side in map_size] if net.head else [ADAPTED, ADAPTED]
        builder.add_between_containers("adaptive_avg_pool2d", "avgpool", output_size=size)
        words.append(f"adaptive average pooling to {size[0]}x{size[1]} before the classifier")
    for convolution in net.head:
        builder.add_weight_layer(convolution, norms.before_activation(convolution))
        add_activation(builder, convolution, norms, activations)
    if net.head:
        builder.add_between_containers("adaptive_avg_pool2d", "global_pool", output_size=1)
        words.append("global average pooling before the last layer")
    builder.add_between_containers("flatten", "flatten")
    add_linears(builder, net.linears, norms, activations)
    return words


def _in_words(
    net: VGGParts, plan: PoolingPlan, where: Windows, norms: BatchNorms, activations: dict[str, str]
) -> list[str]:
    on = sum(layer.name in norms.of for layer in net.body)
    last, pooled = plan.sizes[-1], plan.kinds
    kind = pooled[0] if len(set(pooled)) == 1 else ",".join(pooled)
    window = "padded to keep their size, stride 1"
    if not where.keep_size(net):
        paddings = "x".join(map(str, where.paddings[0]))
        if len(set(where.paddings)) > 1 or where.paddings[0][0] != where.paddings[0][1]:
            paddings = ",".join("x".join(map(str, padding)) for padding in where.paddings)
        else:
            paddings = str(where.paddings[0][0])
        strides = ",".join(map(str, where.strides))
        strides = str(where.strides[0]) if len(set(where.strides)) == 1 else strides
        window = f"padding {paddings}, stride {strides}"
    kinds = [activations.get(layer.name, "none") for layer in net.weight_layers[:-1]]
    between = RELU_ALL
    if set(kinds) != {"relu"}:
        between = f"activations between all: {', '.join(kinds)}"
    late = sum(layer.name in norms.late for layer in net.body)
    return [
        f"{plan.model or 'a VGG'} of {len(net.body)} convolutions, {window}",
        (f"batch norm on {on} of them, eps 1e-5" if on else "no batch norm")
        + (f", after ReLU on {late}" if late else ""),
        f"{kind} pooling after {len(pooled)} of them, "
        + (f"{last}x{last} after the last" if last > 1 else "none after the last")
        if pooled
        else "no pooling",
        f"layers in the classifier: {len(net.head) + len(net.linears)}; {between}",
    ]
