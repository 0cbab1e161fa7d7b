"""Find where activations stand: proved by indices, assumed in a forward pass, or asked for.

Between two layers of one nn.Sequential, a gap in the indices is an activation, and without a gap
there is none. Between layers with names of their own, as fc1 and fc2, the forward pass calls one
nearly always: ReLU is assumed. Between different modules nothing shows whether there is one.
"""

from itertools import pairwise

from gentool.checkpoints.foreign.batch_norms import BatchNorms
from gentool.checkpoints.foreign.layers import ForeignLayer
from gentool.checkpoints.hints import Hints
from gentool.common.errors import UsageError


def activations_after(
    order: list[ForeignLayer], norms: BatchNorms, hints: Hints, *, is_vgg: bool = False
) -> dict[str, str]:
    """Return the activation after each layer that one follows, by the layer's name.

    It is what --activation says, else ReLU. In a known VGG (`is_vgg`) one follows each convolution.
    Raise UsageError if the file does not show whether there is one.
    """
    if hints.activation is not None:
        return _said(order, hints.activation)
    for before, after in pairwise(order):
        if not (is_vgg and before.kind == "conv2d"):
            _check_proved(before, after, order, norms, hints)
    return {layer.name: "relu" for layer in order[:-1]}


def _said(order: list[ForeignLayer], activation: tuple[str, ...]) -> dict[str, str]:
    """Return the activation that --activation says after each layer that one follows."""
    each = activation * (len(order) - 1) if len(activation) == 1 else activation
    if len(each) != len(order) - 1:
        names = ", ".join(layer.name for layer in order[:-1])
        raise UsageError(
            f"--activation has {len(each)} values; it needs one, or one for each of "
            f"{len(order) - 1} layers: {names}"
        )
    pairs = zip(order, each, strict=False)
    return {layer.name: kind for layer, kind in pairs if kind != "none"}


def _check_proved(
    before: ForeignLayer,
    after: ForeignLayer,
    order: list[ForeignLayer],
    norms: BatchNorms,
    hints: Hints,
) -> None:
    """Raise UsageError unless an activation stands between two layers, or may be assumed there."""
    if before.container != after.container:
        raise UsageError(
            f"{before.name!r} and {after.name!r} are in different modules, and nothing shows "
            f"whether an activation is between them; say {_example(order)}; if they are different "
            f"networks or heads, leave one out, as --leave-out {_leave_out(after)}"
        )
    if before.index is None or after.index is None or before.name in norms.late:
        return
    norm = norms.of.get(before.name)
    is_numbered = norm is not None and norm.container == before.container
    last = norm if is_numbered and norm.index is not None else before
    if after.index <= last.index + 1 and hints.model is None:
        raise UsageError(
            f"the indices of {last.name!r} and {after.name!r} leave no place for a ReLU between; "
            f"if the forward pass calls one there, say {_example(order)}"
        )


def _example(order: list[ForeignLayer]) -> str:
    """Return the option --activation for a network, and how to say where there is none."""
    if len(order) == 2:
        return "--activation relu, or --activation none"
    part = ",".join([*["relu"] * (len(order) - 2), "none"])
    if len(order) > 8:
        return "--activation relu, or a list of relu and none, one for each layer but the last"
    return f"--activation relu, or one for each layer but the last, as --activation {part}"


def _leave_out(layer: ForeignLayer) -> str:
    return layer.container or layer.name
