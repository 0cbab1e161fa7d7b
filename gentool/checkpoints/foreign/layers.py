"""The layers that a state dict's tensors belong to, by their names and shapes."""

import re
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from gentool.checkpoints.foreign.reading import COUNTER
from gentool.common.errors import GentoolError

_LEAVES = ("weight", "bias", "running_mean", "running_var", COUNTER)
_KINDS = {2: "linear", 4: "conv2d"}


@dataclass(frozen=True, eq=False)
class ForeignLayer:
    """One layer with tensors: a convolution, a linear layer, or batch norm (`kind` is `norm`)."""

    name: str
    kind: str
    tensors: dict[str, Tensor]

    @property
    def outputs(self) -> int:
        return self._main.shape[0]

    @property
    def inputs(self) -> int:
        return self._main.shape[1]

    @property
    def kernel(self) -> tuple[int, ...]:
        return tuple(self._main.shape[2:])

    @property
    def container(self) -> str:
        """The name of the module that holds this layer; `` for the network itself."""
        return self.name.rpartition(".")[0]

    @property
    def index(self) -> int | None:
        """Its place in an nn.Sequential, where its name is a number."""
        number = self.name.rpartition(".")[2]
        return int(number) if re.fullmatch(r"[0-9]{1,6}", number) else None

    @property
    def numbers(self) -> tuple[int, ...]:
        """All numbers in its name."""
        return tuple(map(int, re.findall(r"[0-9]{1,9}", self.name)))

    @property
    def template(self) -> str:
        """Its name with # for the numbers: layers of one template are counted in order."""
        return re.sub(r"[0-9]+", "#", self.name)

    @property
    def _main(self) -> Tensor:
        return self.tensors["running_mean" if self.kind == "norm" else "weight"]


def layers_of(tensors: dict[str, Tensor]) -> list[ForeignLayer]:
    """The layers of a state dict, in its order.

    Raises GentoolError, naming the tensor, for one of a layer that is none of those known.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, leaf = name.rpartition(".")
        if leaf not in _LEAVES:
            raise GentoolError(
                f"tensor {name!r} is of no convolution, linear layer or batch norm; only VGGs and "
                "MLPs are read"
            )
        if not name.isprintable():
            raise GentoolError(f"tensor {name[:80]!r} has a name that cannot be printed")
        if not layer:
            raise GentoolError(
                f"tensor {name!r} has no layer's name before it; save the state dict of a network, "
                "not of one layer"
            )
        layers.setdefault(layer, {})[leaf] = tensor
    return [_part(name, leaves) for name, leaves in layers.items()]


def norms_after(
    layers: list[ForeignLayer], parts: list[ForeignLayer], in_file_order: bool
) -> dict[str, ForeignLayer]:
    """The batch norm after each of `layers`, by the layer's name.

    In an nn.Sequential it is the one at the next index; elsewhere the one of the same numbers in
    its name (bn2 after fc2), or the only one of its size, or, where the order of the file means
    something, the next in it. Raises GentoolError where that leaves one without a layer, or of
    another size than its layer.
    """
    found: dict[str, ForeignLayer] = {}
    for before, norm in pairwise([parts[0], *parts]):
        if norm.kind != "norm":
            continue
        layer = _before(norm, [layer for layer in layers if layer.name not in found])
        if layer is None and in_file_order and before in layers and norm.index is None:
            layer = before
        if layer is None:
            raise GentoolError(
                f"batch norm {norm.name!r} ({norm.outputs} channels) directly follows no layer "
                "that its name tells; a .pt file keeps the order of the layers and may tell"
            )
        if layer.outputs != norm.outputs:
            raise GentoolError(
                f"batch norm {norm.name!r} has {norm.outputs} channels, layer {layer.name!r} "
                f"before it puts out {layer.outputs}"
            )
        found[layer.name] = norm
    return found


def _before(norm: ForeignLayer, layers: list[ForeignLayer]) -> ForeignLayer | None:
    """The layer that a batch norm follows, if one does."""
    if norm.index is not None:
        together = [layer for layer in layers if layer.container == norm.container]
        if together:
            return next((layer for layer in together if layer.index == norm.index - 1), None)
    fitting = [layer for layer in layers if layer.outputs == norm.outputs]
    numbered = [layer for layer in fitting if layer.numbers == norm.numbers]
    if len(numbered) == 1 and norm.numbers:
        return numbered[0]
    return fitting[0] if len(fitting) == 1 else None


def _part(name: str, leaves: dict[str, Tensor]) -> ForeignLayer:
    if "running_mean" in leaves or "running_var" in leaves:
        return _norm(name, leaves)
    weight = leaves.get("weight")
    if weight is None:
        raise GentoolError(f"layer {name!r} has {', '.join(leaves)} and no weight")
    if weight.dim() not in _KINDS:
        raise GentoolError(
            f"the weight of layer {name!r} has shape {tuple(weight.shape)}; a convolution's has "
            "four sizes, a linear layer's two, and batch norm comes with running statistics"
        )
    return _fitting(ForeignLayer(name, _KINDS[weight.dim()], leaves))


def _norm(name: str, leaves: dict[str, Tensor]) -> ForeignLayer:
    if missing := {"running_mean", "running_var"} - set(leaves):
        raise GentoolError(f"batch norm {name!r} has no {missing.pop()}")
    if leaves["running_mean"].dim() != 1:
        shape = tuple(leaves["running_mean"].shape)
        raise GentoolError(f"the running_mean of {name!r} has shape {shape}, not one size")
    if ("weight" in leaves) != ("bias" in leaves):
        raise GentoolError(f"batch norm {name!r} has a weight or a bias, and not both")
    if bool((leaves["running_var"] < 0).any()):
        raise GentoolError(
            f"batch norm {name!r} has a negative running variance; the checkpoint is damaged"
        )
    return _fitting(ForeignLayer(name, "norm", leaves))


def _fitting(part: ForeignLayer) -> ForeignLayer:
    """The part itself; GentoolError where a vector of it is not one number an output."""
    vectors = {leaf for leaf in part.tensors if leaf != COUNTER}
    for leaf in vectors - ({"weight"} if part.kind != "norm" else set()):
        shape = tuple(part.tensors[leaf].shape)
        if shape != (part.outputs,):
            raise GentoolError(
                f"the {leaf} of layer {part.name!r} has shape {shape}; its outputs are "
                f"{part.outputs}"
            )
    return part
