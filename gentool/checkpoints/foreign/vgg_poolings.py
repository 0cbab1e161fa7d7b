"""Where the poolings of a VGG are, and how large: no tensor shows them, gaps in numbers may.

`features.N` counts modules. A gap between two convolutions has room for batch norm, ReLU, and, if
it is larger by one, for a pooling or a dropout. It is taken for a pooling where the channels are
those of VGG-11, 13, 16 or 19 and the gaps are just where that one pools; elsewhere options say.
"""

import math
from itertools import accumulate, pairwise

from gentool.checkpoints.foreign.vgg_parts import VGGParts
from gentool.checkpoints.hints import Hints
from gentool.common.errors import GentoolError, UsageError
from gentool.networks.models import STACKS, poolings_of

_KNOWN = ("vgg11", "vgg13", "vgg16", "vgg19")
ADAPTED = 7
"""The side of the map that torchvision's and timm's VGGs pool to, whatever comes in."""


def poolings(net: VGGParts, hints: Hints) -> tuple[str | None, list[int]]:
    """The VGG that this is, if a known one, and the size of the pooling after each convolution.

    1 where there is none. Raises UsageError where an option has to say it, GentoolError where what
    options say does not fit.
    """
    if hints.model is not None:
        return hints.model, _plan_of_named_model(net, hints.model)
    model = _known_vgg(net)
    if model is None:
        return None, _from_gaps(net, hints)
    return model, _with_or_without_last(net, _plan(model), hints)


def _with_or_without_last(net: VGGParts, sizes: list[int], hints: Hints) -> list[int]:
    """The plan of a VGG, or that without the last pooling, which no number shows.

    The input shape tells which. Without it, a map of 1x1 is what is left of 32x32 images by the
    whole plan. Raises UsageError for other maps, which may come from images of two sizes.
    """
    if net.side == ADAPTED or (net.side == 1 and hints.input_shape is None):
        return sizes
    if hints.input_shape is None:
        raise UsageError(
            "whether a pooling follows the last convolution depends on the size of the images; "
            f"name it with --input-shape, as --input-shape {net.body[0].inputs}x32x32"
        )
    without = [*sizes[:-1], 1]
    return without if _side_after(without, hints.input_shape) == net.side else sizes


def _known_vgg(net: VGGParts) -> str | None:
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


def _gaps(net: VGGParts) -> list[int]:
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


def _plan_of_named_model(net: VGGParts, model: str) -> list[int]:
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


def _from_gaps(net: VGGParts, hints: Hints) -> list[int]:
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
    """The side of the map after poolings, as `VGGParts.side` is: a root of the area."""
    height, width = (list(accumulate(sizes, lambda a, b: a // b, initial=n))[-1] for n in shape[1:])
    return math.sqrt(height * width)
