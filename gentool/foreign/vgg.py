"""The layers of a VGG: stacks of 3x3 convolutions with poolings, then linear layers.

What the tensors do not hold is found thus. *Where the poolings are*: `features.N` counts modules,
so a gap in its numbers has room for a ReLU and, if it is larger, for a pooling or a dropout; it is
taken for a pooling where the channels are those of VGG-11, 13, 16 or 19 and the gaps are just where
that one pools, which also tells the pooling after the last convolution, that no number shows.
Otherwise options have to say. *Whether they take the maximum*: as these VGGs do, unless --pool says
otherwise. *How large the images are*: what the first linear layer takes, times the poolings.
"""

import math
from dataclasses import dataclass
from itertools import accumulate, pairwise

from gentool.errors import GentoolError, UsageError
from gentool.foreign.listing import Inferred, Listing
from gentool.foreign.mlp import add_linears, check_room_for_relu
from gentool.foreign.order import in_order
from gentool.foreign.parts import Part, norms_after
from gentool.hints import Hints
from gentool.models import STACKS, poolings_of

_KNOWN = ("vgg11", "vgg13", "vgg16", "vgg19")
_SIDE = 7  # of the map that torchvision's and timm's VGGs pool to, whatever comes in
_IMAGENET = (1000, 224)


@dataclass(frozen=True)
class Sorted:
    """The layers with weights of a VGG, each list from first to last.

    `head` holds the convolutions of timm's classifier, which others have as linear layers.
    """

    body: list[Part]
    head: list[Part]
    linears: list[Part]
    norms: dict[str, Part]

    @property
    def side(self) -> float:
        """The side of the map that the classifier takes, if that is square."""
        if self.head:
            return self.head[0].kernel[0]
        return math.sqrt(self.linears[0].inputs / self.body[-1].outputs)


def infer_vgg(parts: list[Part], hints: Hints, in_file_order: bool) -> Inferred:
    """A VGG, as the module says.

    Raises UsageError where an option has to say what the file does not, GentoolError where the
    shapes do not fit.
    """
    net = _sorted(parts, hints, in_file_order)
    model = hints.model or _recognised(net)
    pool = hints.pool or "max"
    sizes = _fitting_plan(net, model) if model else _from_gaps(net, hints)
    shape = hints.input_shape or _input_shape(net, sizes, model)
    listing = Listing(parts)
    for convolution, size in zip(net.body, sizes, strict=True):
        padding = [side // 2 for side in convolution.kernel]
        listing.weight(convolution, net.norms.get(convolution.name), padding=padding)
        listing.between("relu")
        if size > 1:
            listing.between(f"{pool}_pool2d", kernel_size=size, stride=size)
    arriving = [side // math.prod(sizes) for side in shape[1:]]
    adapted = _add_head(listing, net, arriving, is_known=model is not None)
    words = [*_in_words(net, model, sizes, pool), *adapted]
    if hints.input_shape is None:
        smallest = "" if net.side == _SIDE else ", the smallest square that fits"
        words.append(f"input shape {'x'.join(map(str, shape))}{smallest}")
    return Inferred(listing.layers, shape, net.linears[-1].outputs, words)


def _sorted(parts: list[Part], hints: Hints, in_file_order: bool) -> Sorted:
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
                f"the poolings are; name the model with --model ({', '.join(_KNOWN)} or vgg)"
            )
        body = body if in_file_order else sorted(body, key=lambda part: part.numbers)
    else:
        body = sorted(body, key=lambda part: part.index)
    linears, _ = in_order(linears, hints.order, in_file_order)
    norms = norms_after([*body, *linears], parts, in_file_order)
    _check(body, head, linears)
    check_room_for_relu([*body, *linears], norms, hints)
    return Sorted(body, sorted(head, key=lambda part: part.name), linears, norms)


def _check(body: list[Part], head: list[Part], linears: list[Part]) -> None:
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


def _recognised(net: Sorted) -> str | None:
    """The VGG whose channels, up to a common factor, and poolings these are, if one is.

    Raises UsageError where the channels are those of a VGG and the gaps are not.
    """
    channels = [part.outputs for part in net.body]
    for model in _KNOWN:
        wanted = [channel for stack in STACKS[model] for channel in stack]
        ratios = [channel * wanted[0] for channel in channels]
        if len(channels) != len(wanted) or ratios != [want * channels[0] for want in wanted]:
            continue
        if _gaps(net) == [int(size > 1) for size in _plan(model)[:-1]]:
            return model
        raise UsageError(
            f"the channels are those of {model}, the gaps between {net.body[0].name!r} and "
            f"{net.body[-1].name!r} are not (dropout may be in them); if it pools as {model} does, "
            f"say --model {model}"
        )
    return None


def _gaps(net: Sorted) -> list[int]:
    """How many modules beside batch norm and ReLU each gap between the convolutions has."""
    return [
        after.index - before.index - 2 - (before.name in net.norms)
        for before, after in pairwise(net.body)
    ]


def _plan(model: str) -> list[int]:
    """The size of the pooling after each convolution of a VGG, 1 where there is none."""
    if model not in STACKS:
        known = ", ".join(["mlp", *STACKS])
        raise UsageError(f"--model is {model!r}; a foreign checkpoint can be: {known}")
    stacks = zip(STACKS[model], poolings_of(model), strict=True)
    return [size for stack, pooling in stacks for size in [1] * (len(stack) - 1) + [pooling]]


def _fitting_plan(net: Sorted, model: str) -> list[int]:
    """The plan of a VGG; UsageError where the network has not as many convolutions or less room."""
    sizes = _plan(model)
    if len(sizes) != len(net.body):
        raise UsageError(
            f"--model {model} has {len(sizes)} convolutions, the network {len(net.body)}"
        )
    if len({part.container for part in net.body}) == 1 and net.body[0].index is not None:
        for part, size, gap in zip(net.body, sizes, _gaps(net), strict=False):
            if size > 1 > gap:
                raise UsageError(
                    f"--model {model} pools after {part.name!r}, where its numbers leave no place"
                )
    return sizes


def _from_gaps(net: Sorted, hints: Hints) -> list[int]:
    """The pooling after each convolution of a VGG that is none of those known.

    The gaps are taken for poolings of 2x2, and the input shape has to confirm it: it also tells
    whether one follows the last convolution.
    """
    gaps = _gaps(net)
    if hints.input_shape is None or hints.pool is None or not set(gaps) <= {0, 1}:
        raise UsageError(
            "the convolutions are of no VGG known here; name --input-shape and --pool, and every "
            "gap of one in their numbers is taken for a 2x2 pooling, or the model with --model "
            f"({', '.join(STACKS)})"
        )
    for last in (1, 2):
        sizes = [*(1 + gap for gap in gaps), last]
        if _side_after(sizes, hints.input_shape) == net.side:
            return sizes
    raise GentoolError(
        f"with a 2x2 pooling in {sum(gaps)} gaps, --input-shape gives no map of the "
        f"{net.linears[0].inputs} numbers that {net.linears[0].name!r} takes; name the model with "
        f"--model ({', '.join(STACKS)})"
    )


def _side_after(sizes: list[int], shape: tuple[int, ...]) -> float:
    """The side of the map after poolings, as `Sorted.side` is: a root of the area."""
    height, width = (list(accumulate(sizes, lambda a, b: a // b, initial=n))[-1] for n in shape[1:])
    return math.sqrt(height * width)


def _input_shape(net: Sorted, sizes: list[int], model: str | None) -> tuple[int, int, int]:
    """The smallest square input with the map that the classifier takes.

    The map of 7x7 that torchvision and timm pool to tells nothing of the images, save for the
    thousand classes of ImageNet. Raises UsageError where --input-shape has to say.
    """
    side, channels = net.side, net.body[0].inputs
    classes, imagenet_side = _IMAGENET
    if side == _SIDE and net.linears[-1].outputs == classes:
        return (channels, imagenet_side, imagenet_side)
    if side == _SIDE or side != int(side):
        raise UsageError(
            "the size of the images does not follow from the shapes; name it with --input-shape, "
            f"as --input-shape {channels}x32x32"
        )
    total = int(side) * math.prod(sizes)
    return (channels, total, total)


def _add_head(listing: Listing, net: Sorted, arriving: list[int], *, is_known: bool) -> list[str]:
    """Add what follows the convolutions; returns in words what of it no tensor shows.

    `arriving` is the height and width of the map that arrives there. Known VGGs pool to 7x7, which
    at 224x224 changes nothing.
    """
    words = []
    if is_known and net.side == _SIDE and (not net.head or min(arriving) < _SIDE):
        size = [max(_SIDE, side) for side in arriving] if net.head else [_SIDE, _SIDE]
        listing.apart("adaptive_avg_pool2d", "avgpool", output_size=size)
        words.append(f"adaptive average pooling to {size[0]}x{size[1]} before the classifier")
    for convolution in net.head:
        listing.weight(convolution, None)
        listing.between("relu")
    if net.head:
        listing.apart("adaptive_avg_pool2d", "global_pool", output_size=1)
        words.append("global average pooling before the last layer")
    listing.apart("flatten", "flatten")
    add_linears(listing, net.linears, net.norms)
    return words


def _in_words(net: Sorted, model: str | None, sizes: list[int], pool: str) -> list[str]:
    on = sum(part.name in net.norms for part in net.body)
    last = f"{sizes[-1]}x{sizes[-1]} after the last" if sizes[-1] > 1 else "none after the last"
    return [
        f"{model or 'a VGG'} of {len(net.body)} convolutions, padded to keep their size, stride 1",
        f"batch norm on {on} of them, eps 1e-5" if on else "no batch norm",
        f"{pool} pooling after {sum(size > 1 for size in sizes)} of them, {last}",
        f"layers in the classifier: {len(net.head) + len(net.linears)}; ReLU between all",
    ]
