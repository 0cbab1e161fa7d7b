"""Represent a network as a function of one vector: all its parameters, biases included.

By default these are the parameters of the canonical network, batch norm folded in; the same
function with other parameters has another box around it, and so another sharpness.
"""

import copy
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor, nn

from gentool.common.errors import GentoolError
from gentool.networks.canonical import Layer, canonical
from gentool.networks.class_logits import ClassLogits
from gentool.networks.layer_list import Chain
from gentool.networks.layer_shapes import layer_shapes
from gentool.networks.tracing import WEIGHT_LAYERS, steps_of

ImageShape = tuple[int, int, int]

OWN_OUTPUT = (*WEIGHT_LAYERS, nn.MaxPool2d)  # a ReLU may overwrite their output in place


@dataclass(frozen=True)
class FunctionalNetwork:
    """Hold a network in float64 and in evaluation mode, to be perturbed around its parameters.

    `module` maps images of shape (n, *input_shape) to logits (n, classes); it is never changed. A
    network with one output f has the two logits (0, f), see `networks.class_logits`.
    """

    module: nn.Module
    input_shape: ImageShape
    is_folded: bool

    @cached_property
    def names(self) -> list[str]:
        return [name for name, _ in self.module.named_parameters()]

    @cached_property
    def shapes(self) -> list[torch.Size]:
        return [parameter.shape for parameter in self.module.parameters()]

    @cached_property
    def sizes(self) -> list[int]:
        return [shape.numel() for shape in self.shapes]

    @cached_property
    def weights(self) -> Tensor:
        """Return w: all parameters as one vector, shape (P,), float64."""
        with torch.inference_mode(False):  # the cached tensor must be usable outside of it
            return torch.cat([p.detach().flatten() for p in self.module.parameters()])

    @property
    def pixels(self) -> int:
        return torch.Size(self.input_shape).numel()

    @cached_property
    def activations(self) -> int:
        """Return how many numbers the layers put out for one image, its own pixels included."""
        shapes = layer_shapes(self.module, self.input_shape)
        return self.pixels + sum(math.prod(layer.out_shape) for layer in shapes)

    @cached_property
    def has_one_output(self) -> bool:
        """Return whether one output stands for two classes, as `ClassLogits` says."""
        return any(isinstance(module, ClassLogits) for module in self.module.modules())

    @cached_property
    def classes(self) -> int:
        return self.logits(torch.zeros(1, *self.input_shape)).shape[1]

    @cached_property
    def mlp_layers(self) -> list[tuple[str, bool]] | None:
        """Return an MLP's linear layers by name, and whether a ReLU follows; None if not an MLP.

        A raw network may have dropout between them, which does nothing in evaluation mode.
        """
        module = self.module
        if self.has_one_output and isinstance(module, nn.Sequential):
            module = module[:-1]
        try:
            (_, first), *steps = steps_of(module)
        except GentoolError:
            return None
        layers: list[tuple[str, bool]] = []
        for name, module in steps:
            if type(module) is nn.Linear and f"{name}.weight" in self.names:
                layers.append((name, False))
            elif type(module) is nn.ReLU and layers:
                layers[-1] = (layers[-1][0], True)
            else:  # anything else, or weights that two layers share
                return None
        is_plain = type(first) is nn.Flatten and (first.start_dim, first.end_dim) == (1, -1)
        return layers if is_plain and layers else None

    @property
    def is_mlp(self) -> bool:
        """Return whether the network has flattening, linear layers and ReLU only, not even dropout.

        Bounds and enumeration ask this: a raw network with dropout has neither in its record.
        """
        leaves = [m for m in self.module.modules() if not list(m.children())]
        plain = (nn.Flatten, nn.Linear, nn.ReLU, ClassLogits)
        is_plain = all(isinstance(leaf, plain) for leaf in leaves)
        return is_plain and self.mlp_layers is not None

    @cached_property
    def units(self) -> int:
        """Return the number of outputs of an MLP's linear layers together, for one image."""
        weights = (self.module.get_parameter(f"{name}.weight") for name, _ in self.mlp_layers)
        return sum(W.shape[0] for W in weights)

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits of the unperturbed network."""
        with torch.inference_mode():
            return self.module(images.to(self.weights))

    def named(self, vectors: Tensor) -> dict[str, Tensor]:
        """Return the parameters by name, as views of vectors of shape (..., P)."""
        parts = vectors.split(self.sizes, dim=-1)
        return {
            name: part.unflatten(-1, shape)
            for name, part, shape in zip(self.names, parts, self.shapes, strict=True)
        }

    def to(self, device: torch.device, dtype: torch.dtype = torch.float64) -> "FunctionalNetwork":
        """Return the network on a device, in a precision: itself if it is there, else a copy."""
        tensors = [*self.module.parameters(), *self.module.buffers()]
        device = torch.device(device)
        if all(_is_there(tensor, device, dtype) for tensor in tensors):
            return self
        # Each tensor is converted by itself: with many parameters a second copy would not fit.
        moved = {id(tensor): _moved(tensor, device, dtype) for tensor in tensors}
        module = copy.deepcopy(self.module, moved)
        return FunctionalNetwork(module, self.input_shape, self.is_folded)


def _is_there(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> bool:
    is_same = tensor.device.type == device.type and device.index in (None, tensor.device.index)
    return is_same and (tensor.dtype == dtype or not tensor.is_floating_point())


def _moved(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return a copy of a parameter or buffer on a device; if it is of floats, in a precision."""
    copied = tensor.detach().to(
        device, dtype if tensor.is_floating_point() else tensor.dtype, copy=True
    )
    is_parameter = isinstance(tensor, nn.Parameter)
    return nn.Parameter(copied, requires_grad=tensor.requires_grad) if is_parameter else copied


def functional_network(
    model: nn.Module, input_shape: ImageShape, *, fold_batch_norm: bool = True
) -> FunctionalNetwork:
    """Return the network to perturb; `model` is left as it is.

    With `fold_batch_norm` the canonical network; without it the model's own parameters, with batch
    norm and dropout in evaluation mode and the running statistics left as they are.

    Raise GentoolError if the model has no canonical network.
    """
    if fold_batch_norm:
        layers = canonical(model, input_shape).layers
        module = nn.Sequential(OrderedDict(_with_cheaper_relus(layers)))
    else:
        module = copy.deepcopy(model).to("cpu", torch.float64).eval()
    with torch.inference_mode():
        outputs = module(torch.zeros(1, *input_shape, dtype=torch.float64)).shape[-1]
    if outputs == 1:
        module = _with_class_logits(module)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return FunctionalNetwork(module, tuple(input_shape), fold_batch_norm)


def _with_class_logits(module: nn.Module) -> nn.Module:
    """Return a network with one output as one with two logits, its parameters under their names."""
    if isinstance(module, Chain):
        module.append("class_logits", ClassLogits())
        return module
    return nn.Sequential(OrderedDict([*module.named_children(), ("class_logits", ClassLogits())]))


def _with_cheaper_relus(layers: Sequence[Layer]) -> list[tuple[str, nn.Module]]:
    """Return copies of the layers by name, each ReLU in place, and after a max pooling, not before.

    The same function with the same gradients, to the bit: neither changes which number of a window
    is the largest, and nothing else reads what a weight layer or a pooling puts out.
    """
    modules: list[tuple[str, nn.Module]] = []
    for layer in layers:
        is_late = modules and type(modules[-1][1]) is nn.ReLU and type(layer.module) is nn.MaxPool2d
        relu = [modules.pop()] if is_late else []
        modules += [(layer.name.replace(".", "_"), copy.deepcopy(layer.module)), *relu]
    for (_, before), (_, module) in pairwise([("", None), *modules]):
        if type(module) is nn.ReLU:
            module.inplace = isinstance(before, OWN_OUTPUT)
    return modules
