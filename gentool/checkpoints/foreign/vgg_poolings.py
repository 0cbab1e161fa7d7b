"""Infer the places and sizes of the poolings of a VGG from gaps between the layers' numbers.

`features.N` counts modules, also those without tensors. A gap between two convolutions has room for
batch norm and ReLU, and, if it is larger by one, for a pooling or a dropout. It is taken for a
pooling if the channels are those of VGG-11, 13, 16 or 19 and the gaps are exactly at the poolings
of that VGG. For other networks, options have to name the poolings.
"""

import math
from itertools import accumulate, pairwise

from gentool.checkpoints.foreign.vgg_parts import VGGParts
from gentool.checkpoints.hints import Hints
from gentool.common.errors import GentoolError, UsageError
from gentool.networks.models import STACKS, poolings_of

_KNOWN = ("vgg11", "vgg13", "vgg16", "vgg19")
ADAPTED = 7
"""The side of the map to which the VGGs of torchvision and timm pool images of any size."""


def poolings(net: VGGParts, hints: Hints) -> tuple[str | None, list[int]]:
    """Return the name of a known VGG, or None, and the size of the pooling after each convolution.

    The size is 1 without a pooling. Raise UsageError if an option has to name the poolings,
    GentoolError if the options do not fit the network.
    """
    if hints.model is not None:
        return hints.model, _plan_of_named_model(net, hints.model)
    model = _known_vgg(net)
    if model is None:
        return None, _from_gaps(net, hints)
    return model, _with_or_without_last(net, _plan(model), hints)


def _with_or_without_last(net: VGGParts, sizes: list[int], hints: Hints) -> list[int]:
    """Return the pooling sizes of a known VGG, with or without the last, which no gap shows.

    The input shape decides. Without it, a map of 1x1 is taken for 32x32 images after all poolings.
    Raise UsageError for other maps, which are possible for images of two sizes.
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
    """Return the VGG with the same channels, up to a common factor, and the same gaps, or None.

    Raise UsageError if only the channels are those of a VGG.
    """
    channels = [layer.outputs for layer in net.body]
    for model in _KNOWN:
        plan = [channel for stack in STACKS[model] for channel in stack]
        ratios = [channel * plan[0] for channel in channels]
        if len(channels) != len(plan) or ratios != [channel * channels[0] for channel in plan]:
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
    """Count the modules other than batch norm and ReLU between each two convolutions."""
    return [
        after.index - before.index - 2 - (before.name in net.norms)
        for before, after in pairwise(net.body)
    ]


def _plan(model: str) -> list[int]:
    """Return the size of the pooling after each convolution of a VGG, 1 without a pooling."""
    if model not in STACKS:
        known = ", ".join(["mlp", *STACKS])
        raise UsageError(f"--model is {model!r}; a foreign checkpoint can be: {known}")
    stacks = zip(STACKS[model], poolings_of(model), strict=True)
    return [size for stack, pooling in stacks for size in [1] * (len(stack) - 1) + [pooling]]


def _plan_of_named_model(net: VGGParts, model: str) -> list[int]:
    """Return the pooling sizes of the VGG that --model names.

    Raise UsageError if the network has another number of convolutions, or no gap for a pooling.
    """
    sizes = _plan(model)
    if len(sizes) != len(net.body):
        raise UsageError(
            f"--model {model} has {len(sizes)} convolutions, the network {len(net.body)}"
        )
    if len({layer.container for layer in net.body}) == 1 and net.body[0].index is not None:
        for layer, size, gap in zip(net.body, sizes, _gaps(net), strict=False):
            if size > 1 > gap:
                raise UsageError(
                    f"--model {model} pools after {layer.name!r}, where the indices leave no place"
                )
    return sizes


def _from_gaps(net: VGGParts, hints: Hints) -> list[int]:
    """Return the size of the pooling after each convolution of an unknown VGG.

    Each gap is taken for a pooling of 2x2. The input shape has to confirm it; it also shows whether
    a pooling follows the last convolution.
    """
    gaps = _gaps(net)
    if hints.input_shape is None or hints.pool is None or not set(gaps) <= {0, 1}:
        raise UsageError(
            "the convolutions are not those of a known VGG; name --input-shape and --pool, and "
            "every gap of one in their numbers is taken for a 2x2 pooling, or name the model with "
            f"--model ({', '.join(STACKS)})"
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
    """Return the side of the map after poolings, like `VGGParts.side`: the root of its area."""
    height, width = (list(accumulate(sizes, lambda a, b: a // b, initial=n))[-1] for n in shape[1:])
    return math.sqrt(height * width)
