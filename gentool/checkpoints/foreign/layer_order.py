"""Put layers in order: safetensors files keep no order, and names need not show it."""

from collections.abc import Iterator
from itertools import pairwise

from gentool.checkpoints.foreign.layers import ForeignLayer
from gentool.common.errors import GentoolError, UsageError

_MOST_LOOKS = 2_000_000
_KINDS = {"linear": "linear layers", "conv2d": "convolutions"}


def in_order(
    layers: list[ForeignLayer], names: tuple[str, ...] | None, in_file_order: bool
) -> tuple[list[ForeignLayer], str]:
    """Return the layers from first to last, and in words the reason for that order.

    It is the order of `names`, if given; else the only order in which the outputs of each layer are
    the inputs of the next and the numbers in names of one template go up. If the order of the file
    is that of definition (`in_file_order`), it has to be the same. Raise UsageError if several
    orders fit or the file has another, GentoolError if none fits.
    """
    if names is not None:
        return _named_order(layers, names), "the order asked for"
    fitting = [order for order, _ in zip(_orders(layers), range(2), strict=False)]
    if not fitting and not (in_file_order and _is_chain(layers)):
        sizes = ", ".join(f"{layer.name} {layer.inputs} to {layer.outputs}" for layer in layers)
        raise GentoolError(
            f"the {_KINDS[layers[0].kind]} do not fit one after the other ({sizes}); if the file "
            "holds several networks or heads, leave out all but one, as --leave-out "
            f"{_part_to_leave_out(layers)}"
        )
    if len(fitting) > 1:
        raise _ambiguous(layers)
    if in_file_order and fitting != [layers]:
        raise UsageError(
            f"the {_KINDS[layers[0].kind]} stand in the file in another order than sizes and "
            f"numbers in the names show; {_remedy(fitting[0] if fitting else layers)}"
        )
    return fitting[0], "the only order that fits the sizes and the numbers in the names"


def _ambiguous(layers: list[ForeignLayer]) -> UsageError:
    return UsageError(
        f"the {_KINDS[layers[0].kind]} fit together in more than one order; {_remedy(layers)}; if "
        "they are several networks or heads, or not all are used, leave out the others, as "
        f"--leave-out {_part_to_leave_out(layers)}"
    )


def _part_to_leave_out(layers: list[ForeignLayer]) -> str:
    """Return an example: the last module if there are several, else a layer in the middle."""
    containers = list(dict.fromkeys(layer.container for layer in layers))
    if len(containers) > 1 and containers[-1]:
        return containers[-1]
    return layers[-2].name if len(layers) > 2 else layers[-1].name


def _remedy(layers: list[ForeignLayer]) -> str:
    names = ",".join(layer.name for layer in layers)
    return f"name them from first to last with --order, as --order {names}"


def _named_order(layers: list[ForeignLayer], names: tuple[str, ...]) -> list[ForeignLayer]:
    by_name = {layer.name: layer for layer in layers}
    if sorted(names) != sorted(by_name):
        raise UsageError(
            f"--order is {','.join(names)}; it has to name each linear layer once: "
            f"{','.join(by_name)}"
        )
    order = [by_name[name] for name in names]
    for before, after in pairwise(order):
        if before.outputs != after.inputs:
            raise UsageError(
                f"--order: {before.name} has {before.outputs} outputs, {after.name} after it has "
                f"{after.inputs} inputs"
            )
    return order


def _is_chain(layers: list[ForeignLayer]) -> bool:
    return all(before.outputs == after.inputs for before, after in pairwise(layers))


def _orders(layers: list[ForeignLayer]) -> Iterator[list[ForeignLayer]]:
    """Yield every order that fits, by depth-first search.

    Raise UsageError after looking at _MOST_LOOKS layers: a chain needs few; where sizes leave more
    choices, the user is asked for --order.
    """
    looks = 0
    stack: list[tuple[list[ForeignLayer], list[ForeignLayer]]] = [
        ([], sorted(layers, key=lambda p: p.numbers))
    ]
    while stack:
        order, rest = stack.pop()
        looks += len(rest)
        if looks > _MOST_LOOKS:
            raise _ambiguous(layers)
        if not rest:
            yield order
        seen = set()
        for layer in rest:
            is_first_of_template = layer.template not in seen
            seen.add(layer.template)
            if is_first_of_template and (not order or order[-1].outputs == layer.inputs):
                stack.append(([*order, layer], [other for other in rest if other is not layer]))
