"""Match each batch norm with the layer before it, before or after that layer's activation.

The trap: the tensors of `norm(relu(fc(x)))` and `relu(norm(fc(x)))` are the same. In an
nn.Sequential the indices tell the two apart; elsewhere the forward pass decides, and is asked for.
"""

from dataclasses import dataclass
from itertools import pairwise

from gentool.checkpoints.foreign.layers import ForeignLayer
from gentool.checkpoints.hints import Hints
from gentool.common.errors import GentoolError, UsageError


@dataclass(frozen=True)
class BatchNorms:
    """Hold the batch norm of each layer by the layer's name; `late` those after the activation."""

    of: dict[str, ForeignLayer]
    late: frozenset[str] = frozenset()

    def before_activation(self, layer: ForeignLayer) -> ForeignLayer | None:
        return None if layer.name in self.late else self.of.get(layer.name)

    def after_activation(self, layer: ForeignLayer) -> ForeignLayer | None:
        return self.of.get(layer.name) if layer.name in self.late else None

    def in_words(self) -> list[str]:
        """Return how many batch norms stand before and after the activation."""
        early = len(self.of) - len(self.late)
        words = [f"batch norm before ReLU on {early}, eps 1e-5"] if early else []
        if self.late:
            words.append(f"batch norm after ReLU on {len(self.late)}, eps 1e-5")
        return words


def batch_norms(
    order: list[ForeignLayer],
    layers: list[ForeignLayer],
    hints: Hints,
    in_file_order: bool,
    *,
    is_vgg: bool = False,
) -> BatchNorms:
    """Return the batch norms of layers with weights, which `order` lists from first to last.

    The convolutions of a known VGG (`is_vgg`) have theirs before the activation. Raise UsageError
    if the file does not show where a batch norm stands, GentoolError if it fits nowhere.
    """
    norms = _norms_after(order, layers, in_file_order)
    late, unknown = set(), []
    for layer, following in pairwise([*order, None]):
        norm = norms.get(layer.name)
        if norm is None:
            continue
        place = _place(layer, norm, following)
        if place is None and is_vgg and layer.kind == "conv2d":
            place = "before"
        if place is None and hints.batch_norm is None:
            unknown.append((layer, norm))
        elif (place or hints.batch_norm) == "after":
            late.add(layer.name)
    if unknown:
        layer, norm = unknown[0]
        raise UsageError(
            f"the file does not show whether batch norm {norm.name!r} stands before or after the "
            f"activation of {layer.name!r}; say --batch-norm before, or --batch-norm after"
        )
    return BatchNorms(norms, frozenset(late))


def _place(layer: ForeignLayer, norm: ForeignLayer, following: ForeignLayer | None) -> str | None:
    """Return "before" or "after" (the activation), or None if the indices do not show it.

    One index after the layer there is no place for an activation between. Later than that, and one
    index before the next layer, the activation can only be between the layer and its batch norm.
    """
    if following is None and norm.container != layer.container:
        return "before"  # after the last layer, where no activation is
    if norm.index is None or layer.index is None or norm.container != layer.container:
        return "before" if following is None and norm.index is None else None
    if norm.index == layer.index + 1:
        return "before"
    if following is None:
        raise GentoolError(
            f"something stands between the last layer {layer.name!r} and batch norm {norm.name!r}, "
            "and nothing shows what"
        )
    is_followed = following.container == norm.container and following.index == norm.index + 1
    return "after" if is_followed else None


def _norms_after(
    layers: list[ForeignLayer], all_layers: list[ForeignLayer], in_file_order: bool
) -> dict[str, ForeignLayer]:
    """Return the batch norm after each convolution or linear layer, by the layer's name.

    In an nn.Sequential it is the next one by index. Elsewhere it is the one with the same numbers
    in its name (bn2 after fc2), or the only one of that size, or the next in the file if its order
    is that of definition. Raise GentoolError if a batch norm is left without a layer, stands before
    its layer in such a file, or its size differs from the layer's.
    """
    norms: dict[str, ForeignLayer] = {}
    for before, norm in pairwise([all_layers[0], *all_layers]):
        if norm.kind != "norm":
            continue
        layer = _before(norm, [layer for layer in layers if layer.name not in norms])
        if layer is None and in_file_order and before in layers and norm.index is None:
            layer = before if before.name not in norms else None
        if layer is None:
            raise GentoolError(
                f"batch norm {norm.name!r} ({norm.outputs} channels) directly follows no layer "
                "that its name shows; a .pt file keeps the order of the layers and may show it"
            )
        if in_file_order and all_layers.index(norm) < all_layers.index(layer):
            raise GentoolError(
                f"batch norm {norm.name!r} stands before {layer.name!r} in the file, and only "
                "batch norm after a layer is read"
            )
        if layer.outputs != norm.outputs:
            raise GentoolError(
                f"batch norm {norm.name!r} has {norm.outputs} channels, layer {layer.name!r} "
                f"before it has {layer.outputs} outputs"
            )
        norms[layer.name] = norm
    return norms


def _before(norm: ForeignLayer, layers: list[ForeignLayer]) -> ForeignLayer | None:
    """Return the layer that a batch norm follows, or None if its name and size do not show it."""
    if norm.index is not None:
        siblings = [layer for layer in layers if layer.container == norm.container]
        indexed = [layer for layer in siblings if layer.index is not None]
        if siblings:
            earlier = [layer for layer in indexed if layer.index < norm.index]
            return max(earlier, key=lambda layer: layer.index, default=None)
    fitting = [layer for layer in layers if layer.outputs == norm.outputs]
    numbered = [layer for layer in fitting if layer.numbers == norm.numbers]
    if len(numbered) == 1 and norm.numbers:
        return numbered[0]
    return fitting[0] if len(fitting) == 1 else None
