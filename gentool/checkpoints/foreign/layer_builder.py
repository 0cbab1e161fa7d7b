"""Build the list of layers of a recipe, with names for layers that have no tensors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gentool.checkpoints.foreign.layers import ForeignLayer
from gentool.checkpoints.foreign.reading import COUNTER
from gentool.common.json import Json


@dataclass(frozen=True)
class InferredNetwork:
    """Hold an inferred network: its layers, and in words the facts that no tensor holds.

    `input_shape` is None if the network takes images of any size, and nothing tells theirs.
    """

    layers: list[Json]
    input_shape: tuple[int, int, int] | None
    classes: int
    words: list[str]
    order: tuple[ForeignLayer, ...] = ()  # those with weights, from first to last


class LayerBuilder:
    """Collect layers from first to last, each as in a recipe.

    A layer without tensors gets the next index of the nn.Sequential of the layer before it
    (`features.1`) if that name is free, else a name by its kind (`relu1`).
    """

    def __init__(self, foreign_layers: list[ForeignLayer]) -> None:
        self.layers: list[Json] = []
        self._taken = {
            name for layer in foreign_layers for name in _name_and_containers(layer.name)
        }
        self._latest: tuple[str, int] | None = None

    def add_weight_layer(
        self, layer: ForeignLayer, norm: ForeignLayer | None, **options: object
    ) -> None:
        """Add a convolution or a linear layer, and its batch norm if it has one."""
        names = ("in_features", "out_features")
        if layer.kind == "conv2d":
            names = ("in_channels", "out_channels")
            options = {"kernel_size": list(layer.kernel)} | options
        sizes = dict(zip(names, (layer.inputs, layer.outputs), strict=True))
        self._add(layer.name, layer.kind, **sizes, **options, bias="bias" in layer.tensors)
        self._set_latest(layer)
        if norm is not None:
            self.add_batch_norm(norm, layer.kind)

    def add_batch_norm(self, norm: ForeignLayer, kind: str) -> None:
        """Add a batch norm of the outputs of a layer of this kind."""
        kind = "batch_norm2d" if kind == "conv2d" else "batch_norm1d"
        is_affine = "weight" in norm.tensors
        self._add(norm.name, kind, num_features=norm.outputs, eps=1e-5, affine=is_affine)
        self._set_latest(norm)

    def add_in_container(self, kind: str, **options: object) -> None:
        """Add a layer without tensors to the container of the layer before it."""
        name = None
        if self._latest is not None:
            container, index = self._latest
            self._latest = (container, index + 1)
            name = f"{container}.{index + 1}".lstrip(".")
        if name is None or name in self._taken:
            name = self._free_name(kind.removesuffix("2d"))
        self._add(name, kind, **options)

    def add_between_containers(self, kind: str, name: str, **options: object) -> None:
        """Add a layer without tensors between two containers, under a free name."""
        self._latest = None
        self._add(self._free_name(name, 0), kind, **options)

    def _set_latest(self, layer: ForeignLayer) -> None:
        self._latest = None if layer.index is None else (layer.container, layer.index)

    def _free_name(self, name: str, count: int = 1) -> str:
        while (numbered := f"{name}{count or ''}") in self._taken:
            count += 1
        return numbered

    def _add(self, name: str, kind: str, **options: object) -> None:
        self._taken.add(name)
        self.layers.append({"name": name, "type": kind, **options})


def state_dict_of(layers: list[ForeignLayer]) -> dict[str, Tensor]:
    """Return the state dict of layers, with the counters of batch norm that a file may lack."""
    tensors: dict[str, Tensor] = {}
    for layer in layers:
        if layer.kind == "norm":
            layer.tensors.setdefault(COUNTER, torch.zeros((), dtype=torch.int64))
        tensors |= {f"{layer.name}.{leaf}": tensor for leaf, tensor in layer.tensors.items()}
    return tensors


def _name_and_containers(name: str) -> list[str]:
    words = name.split(".")
    return [".".join(words[:length]) for length in range(1, len(words) + 1)]
