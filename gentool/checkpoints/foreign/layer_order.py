"""Which linear layer follows which: safetensors keep no order, and names need not tell it."""

from collections.abc import Iterator
from itertools import pairwise

from gentool.checkpoints.foreign.layers import ForeignLayer
from gentool.common.errors import GentoolError, UsageError

_LOOKS = 2_000_000


def linears_in_order(
    layers: list[ForeignLayer], asked: tuple[str, ...] | None, in_file_order: bool
) -> tuple[list[ForeignLayer], str]:
    """The linear layers from first to last, and how that was found.

    It is what was asked for; or the only order in which the outputs of each are the inputs of the
    next and the numbers in names of one kind go up; or the order of the file, where that means
    something (`in_file_order`). UsageError where several orders fit, GentoolError where none does.
    """
    if asked is not None:
        return _named_order(layers, asked), "the order asked for"
    fitting = [order for order, _ in zip(_orders(layers), range(2), strict=False)]
    if len(fitting) == 1:
        return fitting[0], "the only order that fits the sizes and the numbers in the names"
    if in_file_order and _is_chain(layers):
        return layers, "the order of the file"
    if not fitting:
        sizes = ", ".join(f"{layer.name} {layer.inputs} to {layer.outputs}" for layer in layers)
        raise GentoolError(f"the linear layers do not fit one after the other ({sizes})")
    raise _ambiguous(layers)


def _ambiguous(layers: list[ForeignLayer]) -> UsageError:
    names = ",".join(layer.name for layer in layers)
    return UsageError(
        "the linear layers fit together in more than one order; name them from first to last with "
        f"--order, as --order {names}"
    )


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
                f"--order: {before.name} puts out {before.outputs}, {after.name} takes "
                f"{after.inputs}"
            )
    return order


def _is_chain(layers: list[ForeignLayer]) -> bool:
    return all(before.outputs == after.inputs for before, after in pairwise(layers))


def _orders(layers: list[ForeignLayer]) -> Iterator[list[ForeignLayer]]:
    """Every order that fits, by depth-first search.

    Raises UsageError after _LOOKS looks at a layer: a chain needs few, a puzzle is asked about.
    """
    looks = 0
    stack: list[tuple[list[ForeignLayer], list[ForeignLayer]]] = [
        ([], sorted(layers, key=lambda p: p.numbers))
    ]
    while stack:
        order, rest = stack.pop()
        looks += len(rest)
        if looks > _LOOKS:
            raise _ambiguous(layers)
        if not rest:
            yield order
        seen = set()
        for layer in rest:
            is_first_of_its_kind = layer.template not in seen
            seen.add(layer.template)
            if is_first_of_its_kind and (not order or order[-1].outputs == layer.inputs):
                stack.append(([*order, layer], [other for other in rest if other is not layer]))
