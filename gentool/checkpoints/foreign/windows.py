"""Find stride and padding of convolutions: of a known VGG, said, or the only ones that fit."""

from dataclasses import dataclass

from gentool.checkpoints.foreign.vgg_parts import VGGParts
from gentool.checkpoints.foreign.vgg_poolings import PoolingPlan
from gentool.checkpoints.hints import Hints
from gentool.common.errors import GentoolError, UsageError

_Choice = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Windows:
    """Hold the padding and stride of each convolution, (height, width) and one number."""

    paddings: list[tuple[int, int]]
    strides: list[int]

    def keep_size(self, net: VGGParts) -> bool:
        """Return whether every convolution keeps the size of its map."""
        kept = [tuple(side // 2 for side in layer.kernel) for layer in net.body]
        return self.paddings == kept and self.strides == [1] * len(kept)


def windows(net: VGGParts, plan: PoolingPlan, hints: Hints) -> Windows:
    """Return padding and stride of the convolutions.

    In a known VGG they keep the size of the map. Elsewhere the stride is 1 unless --stride says
    another, and the padding is what --padding says, else the only choice of none or of half the
    kernel, for each convolution, with which the map has the size that the next layer takes. Raise
    UsageError if several choices fit, GentoolError if none does.
    """
    count = len(net.body)
    strides = _each(hints.stride or (1,), count, "--stride")
    halves = [(layer.kernel[0] // 2, layer.kernel[1] // 2) for layer in net.body]
    if hints.padding is not None:
        said = _each(hints.padding, count, "--padding")
        return Windows([(padding, padding) for padding in said], strides)
    if plan.model is not None:
        return Windows(halves, strides)
    if hints.input_shape is None:
        raise UsageError(
            "the size of the images does not follow from the shapes; name it with --input-shape, "
            f"as --input-shape {net.body[0].inputs}x32x32"
        )
    fitting = _fitting(net, plan.sizes, strides, hints.input_shape)
    if not fitting:
        raise GentoolError(
            f"with these poolings and stride {','.join(map(str, sorted(set(strides))))}, "
            f"--input-shape gives no map of the {net.linears[0].inputs} numbers that "
            f"{net.linears[0].name!r} takes; name all poolings with --pool, and --stride and "
            "--padding, a number or one for each convolution"
        )
    if len(fitting) > 1:
        raise UsageError(
            "several paddings of the convolutions fit the sizes; name it with --padding, as "
            f"--padding {halves[0][0]}, or one for each convolution, as --padding "
            f"{','.join(str(height) for height, _ in fitting[0])}"
        )
    return Windows(list(fitting[0]), strides)


def map_sizes(
    net: VGGParts, plan: PoolingPlan, where: Windows, shape: tuple[int, ...]
) -> list[int]:
    """Return the height and width of the map after the last pooling."""
    size = (shape[1], shape[2])
    for i, pooling in enumerate(plan.sizes):
        size = _next(size, net.body[i].kernel, where.paddings[i], where.strides[i], pooling)
    return list(size)


def _fitting(
    net: VGGParts, poolings: list[int], strides: list[int], shape: tuple[int, ...]
) -> list[_Choice]:
    """Return up to two choices of paddings with which the last map has the size that is taken."""
    choices: dict[tuple[int, int], list[_Choice]] = {(shape[1], shape[2]): [()]}
    for layer, pooling, stride in zip(net.body, poolings, strides, strict=True):
        following: dict[tuple[int, int], list[_Choice]] = {}
        for size, ways in choices.items():
            for padding in {(0, 0), (layer.kernel[0] // 2, layer.kernel[1] // 2)}:
                after = _next(size, layer.kernel, padding, stride, pooling)
                if min(after) > 0:
                    following.setdefault(after, []).extend((*way, padding) for way in ways)
        choices = {size: sorted(ways, reverse=True)[:2] for size, ways in following.items()}
    area = net.linears[0].inputs // net.body[-1].outputs
    return [
        way for (height, width), ways in choices.items() if height * width == area for way in ways
    ]


def _next(
    size: tuple[int, int],
    kernel: tuple[int, ...],
    padding: tuple[int, int],
    stride: int,
    pooling: int,
) -> tuple[int, int]:
    """Return the size of the map after a convolution and a pooling."""
    height, width = (
        ((side + 2 * pad - window) // stride + 1) // pooling
        for side, pad, window in zip(size, padding, kernel, strict=True)
    )
    return height, width


def _each(values: tuple[int, ...], count: int, option: str) -> list[int]:
    """Return one value for each convolution."""
    if len(values) not in (1, count):
        raise UsageError(
            f"{option} has {len(values)} values; it needs one, or one for each of {count} "
            "convolutions"
        )
    return list(values) * (count if len(values) == 1 else 1)
