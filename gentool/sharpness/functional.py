"""Represent a network as a function of one vector: all its parameters, biases included.

By default these are the parameters of the canonical network, batch norm folded in; the same
function with other parameters has another box around it, and so another sharpness.

The vector owns the numbers, and the parameters of the module are views of it: a large network is in
memory once in each precision, see "Memory" in the page of this room.
"""

import copy
import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gentool.common.errors import GentoolError
from gentool.networks.canonical import Network, canonical
from gentool.networks.class_logits import ClassLogits
from gentool.networks.layer_list import Chain
from gentool.networks.layer_shapes import layer_shapes
from gentool.networks.same_function import copied
from gentool.networks.tracing import WEIGHT_LAYERS, steps_of
from gentool.numerics.memory import is_large

ImageShape = tuple[int, int, int]

OWN_OUTPUT = (*WEIGHT_LAYERS, nn.MaxPool2d)  # a ReLU may overwrite their output in place


@dataclass(frozen=True)
class FunctionalNetwork:
    """Hold a network in float64 and in evaluation mode, to be perturbed around its parameters.

    `module` maps images of shape (n, *input_shape) to logits (n, classes); no value of it changes.
    A network with one output f has the two logits (0, f), see `networks.class_logits`.

    A large network in another precision keeps no weights of its own: those of its `source` are
    converted where they are asked for, and the parameters of its module are without values.
    """

    module: nn.Module
    input_shape: ImageShape
    is_folded: bool
    source: "FunctionalNetwork | None" = None
    dtype: torch.dtype = torch.float64

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
    def size(self) -> int:
        """Return P, the number of parameters."""
        return sum(self.sizes)

    @property
    def device(self) -> torch.device:
        return self.weights.device if self.source is None else self.source.device

    @property
    def weights(self) -> Tensor:
        """Return w: all parameters as one vector, shape (P,), which then are views of it."""
        return self._own_weights if self.source is None else self.source.weights.to(self.dtype)

    @cached_property
    def _own_weights(self) -> Tensor:
        with torch.inference_mode(False):  # the cached tensor must be usable outside of it
            parameters = list(self.module.parameters())
            w = parameters[0].new_empty(self.size, requires_grad=False)
            for parameter, part in zip(parameters, w.split(self.sizes), strict=True):
                view = part.view(parameter.shape)
                view.copy_(parameter.detach())
                parameter.data = view
            return w

    @property
    def pixels(self) -> int:
        return torch.Size(self.input_shape).numel()

    @cached_property
    def activations(self) -> int:
        """Return how many numbers the layers put out for one image, its own pixels included."""
        if self.source is not None:
            return self.source.activations
        shapes = layer_shapes(self.module, self.input_shape)
        return self.pixels + sum(math.prod(layer.out_shape) for layer in shapes)

    @cached_property
    def has_one_output(self) -> bool:
        """Return whether one output stands for two classes, as `ClassLogits` says."""
        return any(isinstance(module, ClassLogits) for module in self.module.modules())

    @cached_property
    def classes(self) -> int:
        if self.source is not None:
            return self.source.classes
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
        w = self.weights
        with torch.inference_mode():
            return functional_call(self.module, self.named(w), (images.to(w),))

    def named(self, vectors: Tensor) -> dict[str, Tensor]:
        """Return the parameters by name, as views of vectors of shape (..., P)."""
        parts = vectors.split(self.sizes, dim=-1)
        return {
            name: part.unflatten(-1, shape)
            for name, part, shape in zip(self.names, parts, self.shapes, strict=True)
        }

    def to(self, device: torch.device, dtype: torch.dtype = torch.float64) -> "FunctionalNetwork":
        """Return the network on a device, in a precision: itself if it is there, else a copy."""
        device = torch.device(device)
        if _is_there(self.weights, device, dtype):
            return self
        is_source = is_large(self.size) and self.source is None and _is_on(self.weights, device)
        w = self.weights.to("meta" if is_source else device, dtype, copy=True)
        memo: dict[int, object] = {id(b): _moved(b, device, dtype) for b in self.module.buffers()}
        for parameter, part in zip(self.module.parameters(), w.split(self.sizes), strict=True):
            memo[id(parameter)] = nn.Parameter(part.view(parameter.shape), requires_grad=False)
        module = copy.deepcopy(self.module, memo)
        if is_source:
            return replace(self, module=module, source=self, dtype=dtype)
        network = replace(self, module=module, source=None, dtype=dtype)
        vars(network)["_own_weights"] = w
        return network


def _moved(buffer: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return a copy of a buffer on a device; if it is of floats, in a precision."""
    return buffer.to(device, dtype if buffer.is_floating_point() else buffer.dtype, copy=True)


def _is_there(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> bool:
    return _is_on(tensor, device) and tensor.dtype == dtype


def _is_on(tensor: Tensor, device: torch.device) -> bool:
    return tensor.device.type == device.type and device.index in (None, tensor.device.index)


def functional_network(
    model: nn.Module, input_shape: ImageShape, *, fold_batch_norm: bool = True
) -> FunctionalNetwork:
    """Return the network to perturb; `model` is left as it is.

    With `fold_batch_norm` the canonical network; without it the model's own parameters, with batch
    norm and dropout in evaluation mode and the running statistics left as they are.

    Raise GentoolError if the model has no canonical network.
    """
    if fold_batch_norm:
        return functional_of(canonical(model, input_shape))
    return _functional(copied(model, torch.float64).eval(), input_shape, is_folded=False)


def functional_of(network: Network) -> FunctionalNetwork:
    """Return a canonical network as the network to perturb; the two share their weights."""
    module = nn.Sequential(OrderedDict(_with_cheaper_relus(network)))
    return _functional(module, network.input_shape, is_folded=True)


def _functional(
    module: nn.Module, input_shape: ImageShape, *, is_folded: bool
) -> FunctionalNetwork:
    """Return a module in float64 as the network to perturb, its weights in one vector."""
    with torch.inference_mode():
        outputs = module(torch.zeros(1, *input_shape, dtype=torch.float64)).shape[-1]
    if outputs == 1:
        module = _with_class_logits(module)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    network = FunctionalNetwork(module, tuple(input_shape), is_folded)
    assert network.weights is not None  # so that nothing holds the weights as they were
    return network


def _with_class_logits(module: nn.Module) -> nn.Module:
    """Return a network with one output as one with two logits, its parameters under their names."""
    if isinstance(module, Chain):
        module.append("class_logits", ClassLogits())
        return module
    return nn.Sequential(OrderedDict([*module.named_children(), ("class_logits", ClassLogits())]))


def _with_cheaper_relus(network: Network) -> list[tuple[str, nn.Module]]:
    """Return the layers by name, each ReLU in place, and after a max pooling, not before.

    The same function with the same gradients, to the bit: neither changes which number of a window
    is the largest, and nothing else reads what a weight layer or a pooling puts out. Layers are
    copied, but for weights that no other layer has.
    """
    modules: list[tuple[str, nn.Module]] = []
    seen: set[nn.Parameter] = set()
    for layer in network.layers:
        parameters = set(layer.module.parameters())
        is_own = bool(parameters) and not parameters & seen
        seen |= parameters
        module = layer.module if is_own else copy.deepcopy(layer.module)
        is_late = modules and type(modules[-1][1]) is nn.ReLU and type(layer.module) is nn.MaxPool2d
        relu = [modules.pop()] if is_late else []
        modules += [(layer.name.replace(".", "_"), module), *relu]
    for (_, before), (_, module) in pairwise([("", None), *modules]):
        if type(module) is nn.ReLU:
            module.inplace = isinstance(before, OWN_OUTPUT)
    return modules
