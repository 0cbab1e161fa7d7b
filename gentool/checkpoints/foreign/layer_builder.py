"""The list of layers while it is being inferred, with names for those that have no tensors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gentool.checkpoints.foreign.layers import ForeignLayer
from gentool.checkpoints.foreign.reading import COUNTER
from gentool.common.json import Json


@dataclass(frozen=True)
class InferredNetwork:
    """A network as it was inferred: its layers, and in words what no tensor says."""

    layers: list[Json]
    input_shape: tuple[int, int, int]
    classes: int
    words: list[str]


class LayerBuilder:
    """Layers one after the other, each as a recipe holds it.

    A layer without tensors gets the next index of the nn.Sequential that it must be in
    (`features.1`), where that is free, and a name of its own elsewhere (`relu1`).
    """

    def __init__(self, parts: list[ForeignLayer]) -> None:
        self.layers: list[Json] = []
        self._taken = {name for part in parts for name in _name_and_containers(part.name)}
        self._latest: tuple[str, int] | None = None

    def weight(self, part: ForeignLayer, norm: ForeignLayer | None, **options: object) -> None:
        """Add a convolution or a linear layer, and its batch norm if it has one."""
        names = ("in_features", "out_features")
        if part.kind == "conv2d":
            names = ("in_channels", "out_channels")
            options = {"kernel_size": list(part.kernel)} | options
        sizes = dict(zip(names, (part.inputs, part.outputs), strict=True))
        self._add(part.name, part.kind, **sizes, **options, bias="bias" in part.tensors)
        if norm is not None:
            kind = "batch_norm2d" if part.kind == "conv2d" else "batch_norm1d"
            is_affine = "weight" in norm.tensors
            self._add(norm.name, kind, num_features=norm.outputs, eps=1e-5, affine=is_affine)
        latest = norm or part
        self._latest = None if latest.index is None else (latest.container, latest.index)

    def between(self, kind: str, **options: object) -> None:
        """Add a layer without tensors that follows the one before it in the same container."""
        name = None
        if self._latest is not None:
            container, index = self._latest
            self._latest = (container, index + 1)
            name = f"{container}.{index + 1}".lstrip(".")
        if name is None or name in self._taken:
            name = self._free_name(kind.removesuffix("2d"))
        self._add(name, kind, **options)

    def apart(self, kind: str, name: str, **options: object) -> None:
        """Add a layer without tensors that stands between two containers."""
        self._latest = None
        self._add(self._free_name(name, 0), kind, **options)

    def _free_name(self, name: str, count: int = 1) -> str:
        while (found := f"{name}{count or ''}") in self._taken:
            count += 1
        return found

    def _add(self, name: str, kind: str, **options: object) -> None:
        self._taken.add(name)
        self.layers.append({"name": name, "type": kind, **options})


def state_dict_of(parts: list[ForeignLayer]) -> dict[str, Tensor]:
    """The state dict of the parts, with the counters of batch norm that a file may leave out."""
    tensors: dict[str, Tensor] = {}
    for part in parts:
        if part.kind == "norm":
            part.tensors.setdefault(COUNTER, torch.zeros((), dtype=torch.int64))
        tensors |= {f"{part.name}.{leaf}": tensor for leaf, tensor in part.tensors.items()}
    return tensors


def _name_and_containers(name: str) -> list[str]:
    folders = name.split(".")
    return [".".join(folders[:length]) for length in range(1, len(folders) + 1)]
