"""Infer the places, sizes and kinds of the poolings of a VGG, or take them from options.

`features.N` counts modules, also those without tensors. A gap between two convolutions has room for
batch norm and ReLU, and, if it is larger by one, for a pooling or a dropout. It is taken for a
pooling if the channels are those of VGG-11, 13, 16 or 19 and the gaps are exactly at the poolings
of that VGG. For other networks --pool has to name the places.

No gap shows the last pooling, which some programs call in the forward pass. Whether there is one
follows from the size of the images. Its kind is asked for, since both kinds are common, unless the
names are those of torchvision or timm.
"""

import math
from dataclasses import dataclass
from itertools import accumulate, pairwise

from gentool.checkpoints.foreign.layers import ForeignLayer
from gentool.checkpoints.foreign.vgg_parts import VGGParts, check_kernels
from gentool.checkpoints.hints import Hints, Pooling
from gentool.common.errors import UsageError
from gentool.networks.models import STACKS, poolings_of

_KNOWN = ("vgg11", "vgg13", "vgg16", "vgg19")
_EXAMPLE = "2:max2,4:max2"
ADAPTED = 7
"""The side of the map to which the VGGs of torchvision and timm pool images of any size."""


@dataclass(frozen=True)
class PoolingPlan:
    """Hold the pooling after each convolution, None without one, and the name of a known VGG."""

    model: str | None
    after: list[Pooling | None]

    @property
    def sizes(self) -> list[int]:
        """Return the size of the pooling after each convolution, 1 without a pooling."""
        return [1 if pooling is None else pooling.size for pooling in self.after]

    @property
    def kinds(self) -> list[str]:
        """Return the kinds of the poolings from first to last."""
        return [pooling.kind for pooling in self.after if pooling is not None]


def pooling_plan(net: VGGParts, norms: list[ForeignLayer], hints: Hints) -> PoolingPlan:
    """Return the poolings of a network whose batch norms are `norms`.

    Raise UsageError if an option has to name the poolings, GentoolError if the options do not fit
    the network.
    """
    poolings = hints.poolings
    model = hints.model
    if model is not None:
        _check_model(net, norms, model)
    if poolings is not None and (not poolings or poolings[0].place is not None):
        return PoolingPlan(model, _at_places(net, poolings))
    if model is None:
        model = _known_vgg(net, norms)
    if model is None:
        raise UsageError(_missing(net, hints))
    if hints.padding is None:
        check_kernels(net)
    return PoolingPlan(model, _of_known_vgg(net, _plan(model), hints))


def _at_places(net: VGGParts, poolings: tuple[Pooling, ...]) -> list[Pooling | None]:
    """Return the poolings that --pool names by place, of size 2 if it names none."""
    after: list[Pooling | None] = [None] * len(net.body)
    for pooling in poolings:
        if pooling.place > len(after):
            raise UsageError(
                f"--pool names convolution {pooling.place}, the network has {len(after)}"
            )
        after[pooling.place - 1] = Pooling(pooling.kind, pooling.size or 2)
    return after


def _of_known_vgg(net: VGGParts, sizes: list[int], hints: Hints) -> list[Pooling | None]:
    """Return the poolings of a known VGG; the last is there or not, see the top of this file."""
    places = [i for i, size in enumerate(sizes) if size > 1]
    said = hints.poolings or ()
    if not _has_last(net, sizes, hints, len(places)):
        places = places[:-1]
    if len(said) == 1:
        said = said * len(places)
    kinds = [Pooling("max")] * len(places) if not said else list(said)
    after: list[Pooling | None] = [None] * len(sizes)
    for place, pooling in zip(places, kinds, strict=True):
        after[place] = Pooling(pooling.kind, pooling.size or sizes[place])
    if after[-1] is None:
        return after
    if not said and not net.is_published:
        listed = ["max"] * (len(places) - 1)
        raise UsageError(
            f"the map that {net.linears[0].name!r} takes is {_side(net)}, and nothing shows which "
            "pooling made it; name the kinds one by one, as --pool "
            f"{','.join([*listed, 'max'])} or --pool {','.join([*listed, 'avg'])}"
            + ("" if hints.input_shape else _without_last(net, sizes, listed))
        )
    if said[-1:] and said[-1].size is None:
        after[-1] = Pooling(after[-1].kind, _size_of_last(net, after, hints))
    return after


def _without_last(net: VGGParts, sizes: list[int], listed: list[str]) -> str:
    side = int(net.side * math.prod(sizes[:-1]))
    return f", or --pool {','.join(listed)} if none follows the last convolution ({side}x{side})"


def _side(net: VGGParts) -> str:
    side = net.side
    return f"{int(side)}x{int(side)}" if side == int(side) else "no square"


def _has_last(net: VGGParts, sizes: list[int], hints: Hints, count: int) -> bool:
    """Return whether a pooling follows the last convolution of a known VGG.

    A list of kinds says so by its length; else the input shape shows it. Raise UsageError if
    neither is given and the map has a size that is possible for images of two sizes.
    """
    said = len(hints.poolings or ())
    if said > 1:
        if said not in (count, count - 1):
            raise UsageError(
                f"--pool names {said} poolings; the network has {count}, or {count - 1} if none "
                "follows the last convolution"
            )
        return said == count
    if net.side == ADAPTED or (net.side == 1 and hints.input_shape is None):
        return True
    if hints.input_shape is None:
        raise UsageError(
            "whether a pooling follows the last convolution depends on the size of the images; "
            f"name it with --input-shape, as --input-shape {net.body[0].inputs}x32x32"
        )
    return _side_after([*sizes[:-1], 1], hints.input_shape) != net.side


def _size_of_last(net: VGGParts, after: list[Pooling | None], hints: Hints) -> int:
    """Return the size of the last pooling: as planned, or as the input shape shows."""
    planned = after[-1].size
    if hints.input_shape is None or net.side == ADAPTED:
        return planned
    before = [1 if pooling is None else pooling.size for pooling in after[:-1]]
    if _side_after([*before, planned], hints.input_shape) == net.side:
        return planned
    side = _side_after(before, hints.input_shape)
    size = int(side / net.side)
    return size if side == int(side) and size > 1 and side // size == net.side else planned


def fits_channels(net: VGGParts, model: str) -> bool:
    """Return whether the channels are those of a VGG times one factor, rounded."""
    plan = [channels for stack in STACKS[model] for channels in stack]
    channels = [layer.outputs for layer in net.body]
    if len(channels) != len(plan):
        return False
    exact = [c * channels[-1] / plan[-1] for c in plan]
    return all(abs(a - b) < 1 for a, b in zip(channels, exact, strict=True))


def _known_vgg(net: VGGParts, norms: list[ForeignLayer]) -> str | None:
    """Return the VGG with the same channels, up to a common factor, and the same gaps, or None.

    Raise UsageError if only the channels are those of a VGG.
    """
    if not net.is_numbered:
        return None
    for model in _KNOWN:
        if not _has_exact_channels(net, model):
            continue
        if _gaps(net, norms) == [int(size > 1) for size in _plan(model)[:-1]]:
            return model
        raise UsageError(
            f"the channels are those of {model}, the gaps between {net.body[0].name!r} and "
            f"{net.body[-1].name!r} are not (dropout may be in them); if it pools as {model} does, "
            f"say --model {model} and the kinds with --pool, else name the places with --pool, as "
            f"--pool {_EXAMPLE}"
        )
    return None


def _has_exact_channels(net: VGGParts, model: str) -> bool:
    plan = [channels for stack in STACKS[model] for channels in stack]
    channels = [layer.outputs for layer in net.body]
    ratios = [channel * plan[0] for channel in channels]
    return len(channels) == len(plan) and ratios == [c * channels[0] for c in plan]


def _gaps(net: VGGParts, norms: list[ForeignLayer]) -> list[int]:
    """Count the modules other than batch norm and ReLU between each two convolutions."""
    indices = {norm.index for norm in norms if norm.container == net.body[0].container}
    return [
        after.index - before.index - 2 - (before.index + 1 in indices)
        for before, after in pairwise(net.body)
    ]


def _plan(model: str) -> list[int]:
    """Return the size of the pooling after each convolution of a VGG, 1 without a pooling."""
    stacks = zip(STACKS[model], poolings_of(model), strict=True)
    return [size for stack, pooling in stacks for size in [1] * (len(stack) - 1) + [pooling]]


def _check_model(net: VGGParts, norms: list[ForeignLayer], model: str) -> None:
    """Raise UsageError unless convolutions and channels are those of the VGG that --model names.

    Raise it too if the indices leave no place for a pooling.
    """
    if model not in STACKS:
        known = ", ".join(["mlp", *STACKS])
        raise UsageError(f"--model is {model!r}; a foreign checkpoint can be: {known}")
    sizes = _plan(model)
    if len(sizes) != len(net.body):
        raise UsageError(
            f"--model {model} has {len(sizes)} convolutions, the network {len(net.body)}"
        )
    if not fits_channels(net, model):
        plan = ",".join(str(channels) for stack in STACKS[model] for channels in stack)
        channels = ",".join(str(layer.outputs) for layer in net.body)
        raise UsageError(
            f"--model {model} has {plan} channels, or all of them times one factor, the network "
            f"{channels}; leave it out and name the places of the poolings with --pool, as "
            f"--pool {_EXAMPLE}"
        )
    if net.is_numbered:
        for layer, size, gap in zip(net.body, sizes, _gaps(net, norms), strict=False):
            if size > 1 > gap:
                raise UsageError(
                    f"--model {model} pools after {layer.name!r}, where the indices leave no place"
                )


def _missing(net: VGGParts, hints: Hints) -> str:
    """Return the error for a network that is no known VGG: all options that it needs."""
    missing = []
    if hints.input_shape is None:
        missing.append(f"--input-shape, as --input-shape {net.body[0].inputs}x32x32")
    missing.append(
        f"--pool with places, as --pool {_EXAMPLE} for a 2x2 max pooling after the 2nd and the 4th "
        "convolution, or --pool none (a gap in the numbers of layers can be dropout too)"
    )
    if hints.activation is None and len({layer.container for layer in net.weight_layers}) > 1:
        missing.append("--activation, as --activation relu if one is between all layers")
    models = [model for model in STACKS if fits_channels(net, model)]
    known = f"; or name the model, as --model {models[0]}" if models else ""
    return (
        "the convolutions are not those of a known VGG, and nothing shows where the poolings are; "
        f"name {'; '.join(missing)}{known}"
    )


def _side_after(sizes: list[int], shape: tuple[int, ...]) -> float:
    """Return the side of the map after poolings, like `VGGParts.side`: the root of its area."""
    height, width = (list(accumulate(sizes, lambda a, b: a // b, initial=n))[-1] for n in shape[1:])
    return math.sqrt(height * width)
