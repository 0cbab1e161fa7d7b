"""Group the tensors of a state dict into layers, by their names and shapes."""

import re
from dataclasses import dataclass

from torch import Tensor

from gentool.checkpoints.foreign.reading import COUNTER
from gentool.common.errors import GentoolError

_LEAVES = ("weight", "bias", "running_mean", "running_var", COUNTER)
_RESIDUAL = re.compile(
    r"(^|[._])(res|resnet|resblock|res_block|residual|shortcut|downsample|skip)s?\d*[._]|"
    r"(^|\.)layer\d+\.\d+\.(conv|bn)\d"
)
_KINDS = {2: "linear", 4: "conv2d"}


@dataclass(frozen=True, eq=False)
class ForeignLayer:
    """Hold the tensors of one layer; `kind` is conv2d, linear or norm (batch norm)."""

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
        """Return the name of the module that holds this layer; empty for the network itself."""
        return self.name.rpartition(".")[0]

    @property
    def index(self) -> int | None:
        """Return the index in an nn.Sequential: the end of the name if that is a number."""
        number = self.name.rpartition(".")[2]
        return int(number) if re.fullmatch(r"[0-9]{1,6}", number) else None

    @property
    def numbers(self) -> tuple[int, ...]:
        """Return all numbers in the name."""
        return tuple(map(int, re.findall(r"[0-9]{1,9}", self.name)))

    @property
    def template(self) -> str:
        """Return the name with # for its numbers: layers of one template are numbered in order."""
        return re.sub(r"[0-9]+", "#", self.name)

    @property
    def _main(self) -> Tensor:
        return self.tensors["running_mean" if self.kind == "norm" else "weight"]


def layers_of(tensors: dict[str, Tensor]) -> list[ForeignLayer]:
    """Return the layers of a state dict, in its order.

    Raise GentoolError, naming the tensor, if it belongs to a layer of another kind.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    _check_no_residual_names(tensors)
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
    return [_layer(name, leaves) for name, leaves in layers.items()]


def _check_no_residual_names(tensors: dict[str, Tensor]) -> None:
    """Raise GentoolError if a name is of a residual network, which is no chain of layers."""
    for name in tensors:
        if _RESIDUAL.search(name.lower()):
            raise GentoolError(
                f"tensor {name[:80]!r} is of a residual network, not of a chain of layers; only "
                "VGGs and MLPs are read, whatever --model says"
            )


def _layer(name: str, leaves: dict[str, Tensor]) -> ForeignLayer:
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
    return _with_checked_vectors(ForeignLayer(name, _KINDS[weight.dim()], leaves))


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
    return _with_checked_vectors(ForeignLayer(name, "norm", leaves))


def _with_checked_vectors(layer: ForeignLayer) -> ForeignLayer:
    """Return the layer. Raise GentoolError if a vector of it is not one number an output."""
    vectors = {leaf for leaf in layer.tensors if leaf != COUNTER}
    is_transposed = layer.kind == "conv2d" and layer.outputs != layer.inputs
    if is_transposed and "bias" in vectors and layer.tensors["bias"].shape == (layer.inputs,):
        raise GentoolError(
            f"layer {layer.name!r} is a transposed convolution: its bias has {layer.inputs} "
            f"numbers and its weight shape {tuple(layer.tensors['weight'].shape)}; only VGGs "
            "and MLPs are read"
        )
    for leaf in vectors - ({"weight"} if layer.kind != "norm" else set()):
        shape = tuple(layer.tensors[leaf].shape)
        if shape != (layer.outputs,):
            raise GentoolError(
                f"the {leaf} of layer {layer.name!r} has shape {shape}, but it has "
                f"{layer.outputs} outputs"
            )
    return layer
