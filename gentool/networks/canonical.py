"""Build the canonical network: a trained network as a list of layers, batch norm folded in.

Every measure is of this network, so that w means the same everywhere. It is the same function as
the trained network in evaluation mode: dropout is the identity there, and batch norm an affine map
with fixed statistics, which is folded into the weight layer before it. The trap: folding holds in
evaluation mode only, and only for batch norm that directly follows a weight layer; anything else is
refused by name rather than treated approximately.
"""

import copy
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from gentool.common.errors import GentoolError
from gentool.networks.convolution import Operator
from gentool.networks.layer_shapes import layer_shapes
from gentool.networks.operator_norm import Bounds, spectral_norm
from gentool.networks.tracing import BATCH_NORM, WEIGHT_LAYERS, Step, steps_of
from gentool.numerics import matrix_norms


@dataclass(frozen=True)
class Layer:
    """Hold a layer of the canonical network: a torch module of a type in EXACT_LAYERS, in float64.

    `in_shape` and `out_shape` are the shapes of one example, without the batch dimension.
    """

    name: str
    module: nn.Module
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]

    @property
    def has_weight(self) -> bool:
        return type(self.module) in WEIGHT_LAYERS

    @cached_property
    def matrix(self) -> Tensor:
        """Return the weight as a matrix (out, in); of a convolution (out, in/groups * k * k)."""
        return self.module.weight.detach().flatten(1)

    @cached_property
    def frobenius(self) -> float:
        """Frobenius norm of the weight; NaN or infinite if an entry is."""
        return matrix_norms.frobenius(self.matrix)

    @cached_property
    def spectral(self) -> float:
        """Spectral norm of the weight as a matrix; NaN if an entry is NaN or infinite."""
        return matrix_norms.spectral(self.matrix)

    @cached_property
    def frobenius_operator(self) -> float:
        """Frobenius norm of the layer as a linear map; of a linear layer the norm of its weight."""
        operator = self._operator
        return self.frobenius if operator is None else operator.frobenius()

    @cached_property
    def spectral_operator(self) -> Bounds:
        """Bounds of the spectral norm of the layer as a linear map.

        For a linear layer both are the norm of its weight, exact to rounding.
        """
        operator = self._operator
        return Bounds(self.spectral, self.spectral) if operator is None else spectral_norm(operator)

    @property
    def _operator(self) -> Operator | None:
        """Return the convolution as a linear map; None for a linear layer."""
        if isinstance(self.module, nn.Linear):
            return None
        return Operator.of(self.module, self.in_shape, self.out_shape)

    @property
    def channels(self) -> int:
        """Outputs in the kernel view: channels of a convolution, outputs of a linear layer."""
        return self.module.weight.shape[0]

    @property
    def units(self) -> int:
        """Return the number of output units: channels x height x width for a convolution."""
        return torch.Size(self.out_shape).numel()


@dataclass(frozen=True)
class Network:
    """Hold the canonical network: a chain of layers for inputs of `input_shape`."""

    layers: tuple[Layer, ...]
    input_shape: tuple[int, int, int]

    @cached_property
    def weight_layers(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.has_weight)

    @property
    def classes(self) -> int:
        return self.layers[-1].out_shape[0]

    @property
    def device(self) -> torch.device:
        return self.weight_layers[0].module.weight.device

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits of images of shape (n, *input_shape), both in the layers' precision."""
        with torch.inference_mode():
            for layer in self.layers:
                images = layer.module(images)
        return images

    def to(self, device: torch.device | str) -> "Network":
        """Return a copy of the network on another device."""
        layers = (
            replace(layer, module=copy.deepcopy(layer.module).to(device)) for layer in self.layers
        )
        return replace(self, layers=tuple(layers))


def canonical(model: nn.Module, input_shape: tuple[int, int, int]) -> Network:
    """Return the canonical network of a trained model, which is not changed.

    `model` is any module that is a plain chain of convolutions, linear layers, batch norm after
    those, ReLU, max, average and adaptive average pooling, flattening and dropout. `input_shape` is
    (channels, height, width).

    Raise GentoolError, naming the layer, if a layer cannot be treated exactly or does not accept
    its input, if the model is not a chain, or if it computes something beside its layers.
    """
    steps = steps_of(copy.deepcopy(model).to("cpu", torch.float64).eval())
    layers = _with_shapes(_fold_batch_norm(steps), input_shape)
    network = Network(layers, tuple(input_shape))
    _check_same_function(model, network)
    return network


def _fold_batch_norm(steps: list[Step]) -> list[Step]:
    """Fold each batch norm into the layer before it: W' = s W, b' = s (b - mean) + shift."""
    folded: list[Step] = []
    for name, module in steps:
        if not isinstance(module, BATCH_NORM):
            folded.append((name, module))
            continue
        if not folded or not isinstance(folded[-1][1], WEIGHT_LAYERS):
            raise GentoolError(
                f"batch norm {name!r} does not directly follow a weight layer and cannot be folded"
            )
        folded[-1] = (folded[-1][0], _with_batch_norm(folded[-1][1], module, name))
    return folded


@torch.no_grad()
def _with_batch_norm(layer: nn.Module, norm: nn.Module, name: str) -> nn.Module:
    """Return a copy of a weight layer that includes the batch norm after it."""
    if norm.running_mean is None or norm.running_var is None:
        raise GentoolError(
            f"batch norm {name!r} has no running statistics and so no fixed function to measure"
        )
    if bool((norm.running_var < 0).any()):
        raise GentoolError(
            f"batch norm {name!r} has a negative running variance; the checkpoint is damaged"
        )
    scale = torch.rsqrt(norm.running_var + norm.eps)
    shift = -norm.running_mean * scale
    if norm.affine:
        scale = scale * norm.weight
        shift = -norm.running_mean * scale + norm.bias
    layer = copy.deepcopy(layer)
    bias = layer.bias * scale + shift if layer.bias is not None else shift
    layer.weight.mul_(scale.reshape(-1, *[1] * (layer.weight.dim() - 1)))
    layer.bias = nn.Parameter(bias)
    return layer


def _with_shapes(steps: list[Step], input_shape: tuple[int, ...]) -> tuple[Layer, ...]:
    """Return the layers with the shapes of an example of `input_shape` before and after each."""
    chain = nn.Sequential(*(module for _, module in steps))
    shapes = layer_shapes(chain, input_shape, [name for name, _ in steps])
    layers = tuple(
        Layer(name, module, in_shape, out_shape)
        for (name, module), (_, in_shape, out_shape) in zip(steps, shapes, strict=True)
    )
    if not any(layer.has_weight for layer in layers):
        raise GentoolError("the model has no convolution and no linear layer")
    return layers


def _check_same_function(model: nn.Module, network: Network) -> None:
    """Raise GentoolError if the model and its layers have different logits on random images.

    Steps that the list of layers lacks show here.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, *network.input_shape, generator=generator, dtype=torch.float64)
    reference = copy.deepcopy(model).to("cpu", torch.float64).eval()
    with torch.inference_mode():
        expected = reference(images)
    logits = network(images)
    if not bool(expected.isfinite().all()):
        return  # NaN or infinite weights cannot be compared; the measures report them
    scale = expected.abs().amax().clamp_min(torch.finfo(torch.float64).tiny)
    if logits.shape != expected.shape or bool((logits - expected).abs().amax() > 1e-8 * scale):
        raise GentoolError(
            f"{type(model).__name__} computes something that its layers do not account for; "
            "make every step of its forward pass a module of torch.nn"
        )
