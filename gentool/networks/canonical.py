"""Build the canonical network: a trained network as a list of layers, batch norm folded in.

Every measure is of this network, so that w means the same everywhere. It is the same function as
the trained network in evaluation mode: dropout is the identity there, and batch norm an affine map
with fixed statistics, which is folded into the weight layer before it; after an activation, into
the weight layer after it. A final softmax or log-softmax is left out: the network has logits. The
trap: folding holds in evaluation mode only, and forward only where no zero padding stands between;
anything else is refused by name rather than treated approximately.
"""

import copy
import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from gentool.common.errors import GentoolError
from gentool.networks.convolution import Operator
from gentool.networks.layer_shapes import shapes_and_outputs, some_shape
from gentool.networks.operator_norm import Bounds, spectral_norm
from gentool.networks.same_function import check_same_outputs, copied, random_images
from gentool.networks.tracing import (
    ACTIVATIONS,
    BATCH_NORM,
    OUTPUT_SOFTMAX,
    WEIGHT_LAYERS,
    Step,
    steps_of,
    unwrapped,
)
from gentool.numerics import matrix_norms


@dataclass(frozen=True)
class Layer:
    """Hold a layer of the canonical network: a torch module of a type in EXACT_LAYERS, in float64.

    `in_shape` and `out_shape` are the shapes of one example, without the batch dimension; None for
    maps whose size is unknown.
    """

    name: str
    module: nn.Module
    in_shape: tuple[int, ...] | None
    out_shape: tuple[int, ...] | None

    @property
    def has_weight(self) -> bool:
        return type(self.module) in WEIGHT_LAYERS

    @cached_property
    def matrix(self) -> Tensor:
        """Return the weight as a matrix (out, in); of a convolution (out, in/groups * k * k)."""
        return self.module.weight.detach().flatten(1)

    @cached_property
    def row_norms(self) -> Tensor:
        """Return the norms of the rows of the matrix, (out,), of which two norms are made."""
        return matrix_norms.row_norms(self.matrix)

    @cached_property
    def frobenius(self) -> float:
        """Frobenius norm of the weight; NaN or infinite if an entry is."""
        return matrix_norms.norm_of_rows(self.row_norms)

    @cached_property
    def spectral(self) -> float:
        """Spectral norm of the weight as a matrix; NaN if an entry is NaN or infinite."""
        return matrix_norms.spectral(self.matrix)

    @cached_property
    def frobenius_operator(self) -> float:
        """Frobenius norm of the layer as a linear map; of a linear layer the norm of its weight.

        NaN for maps of an unknown size.
        """
        if self.in_shape is None:
            return math.nan
        operator = self._operator
        return self.frobenius if operator is None else operator.frobenius()

    @cached_property
    def spectral_operator(self) -> Bounds:
        """Bounds of the spectral norm of the layer as a linear map.

        For a linear layer both are the norm of its weight, exact to rounding; NaN for maps of an
        unknown size.
        """
        if self.in_shape is None:
            return Bounds(math.nan, math.nan)
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
    def units(self) -> int | None:
        """Return the number of output units: channels x height x width for a convolution.

        None for maps of an unknown size.
        """
        return None if self.out_shape is None else torch.Size(self.out_shape).numel()

    def without_map_size(self) -> "Layer":
        """Return the layer with the shapes of vectors alone, as the size of maps is unknown."""
        shapes = (shape if len(shape) == 1 else None for shape in (self.in_shape, self.out_shape))
        return Layer(self.name, self.module, *shapes)


@dataclass(frozen=True)
class Network:
    """Hold the canonical network: a chain of layers for inputs of `input_shape`, None if unknown.

    `notes` say what was left out of the model, for the record.
    """

    layers: tuple[Layer, ...]
    input_shape: tuple[int, int, int] | None
    notes: tuple[str, ...] = ()

    @cached_property
    def weight_layers(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.has_weight)

    @cached_property
    def activations(self) -> tuple[nn.Module, ...]:
        return tuple(layer.module for layer in self.layers if type(layer.module) in ACTIVATIONS)

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
        """Return the network on a device: itself if it is there, else a copy."""
        device = torch.device(device)
        if device.type == self.device.type and device.index in (None, self.device.index):
            return self
        layers = (
            replace(layer, module=copy.deepcopy(layer.module).to(device)) for layer in self.layers
        )
        return replace(self, layers=tuple(layers))


def canonical(model: nn.Module, input_shape: tuple[int, int, int] | None) -> Network:
    """Return the canonical network of a trained model, which is not changed.

    `model` is any module that is a plain chain of convolutions, linear layers, batch norm,
    activations, max, average and adaptive average pooling, flattening and dropout; a softmax or
    log-softmax at the end is left out. `input_shape` is (channels, height, width); without it the
    network is checked on images of some size, and the sizes of its maps are unknown.

    Raise GentoolError, naming the layer, if a layer cannot be treated exactly or does not accept
    its input, if the model is not a chain, or if it computes something beside its layers.
    """
    model = unwrapped(model)
    reference = copied(model, torch.float64).eval()  # layers without batch norm keep its weights
    steps, output = _without_softmax(steps_of(reference))
    steps = _fold_batch_norm(steps)
    shape = tuple(input_shape or some_shape(nn.Sequential(*(module for _, module in steps))))
    images = random_images(shape)
    layers, outputs = _with_shapes(steps, images.clone())  # a ReLU may overwrite its input
    check_same_outputs(reference, images, outputs if output is None else output(outputs))
    notes = () if output is None else (_softmax_note(output),)
    network = Network(layers, shape, notes)
    if input_shape is not None or len(layers[0].in_shape) == 1:
        return network
    return Network(tuple(layer.without_map_size() for layer in layers), None, notes)


def _without_softmax(steps: list[Step]) -> tuple[list[Step], nn.Module | None]:
    """Split off a final softmax or log-softmax; raise GentoolError if one stands elsewhere."""
    for name, module in steps[:-1]:
        if isinstance(module, OUTPUT_SOFTMAX):
            raise GentoolError(
                f"{name!r} is a softmax before the output; only a final one is exact"
            )
    if not steps or not isinstance(steps[-1][1], OUTPUT_SOFTMAX):
        return steps, None
    return steps[:-1], steps[-1][1]


def _softmax_note(output: nn.Module) -> str:
    """Return the note about a final layer that was left out.

    A log-softmax takes the same number off all logits of an image, so that no margin changes.
    """
    if isinstance(output, nn.LogSoftmax):
        return "network: the final log-softmax is left out, which changes no margin and no loss"
    return "network: the final softmax is left out; margins and losses are of the logits before it"


def _fold_batch_norm(steps: list[Step]) -> list[Step]:
    """Fold each batch norm into the layer before it: W' = s W, b' = s (b - mean) + shift.

    One that follows no weight layer goes into the next: W' = W s, b' = b + W shift.
    """
    folded: list[Step] = []
    waiting: tuple[str, Tensor, Tensor] | None = None  # name, scale and shift of a channel
    for name, module in steps:
        if isinstance(module, BATCH_NORM):
            if waiting is not None:
                raise GentoolError(
                    f"batch norm {name!r} follows {waiting[0]!r} without a layer between"
                )
            if folded and isinstance(folded[-1][1], WEIGHT_LAYERS):
                folded[-1] = (folded[-1][0], _with_batch_norm(folded[-1][1], module, name))
            else:
                waiting = (name, *_scale_and_shift(module, name))
            continue
        if waiting is not None:
            module, waiting = _through(waiting, module)
        folded.append((name, module))
    if waiting is not None:
        raise GentoolError(
            f"batch norm {waiting[0]!r} has no weight layer beside it to be folded into"
        )
    return folded


@torch.no_grad()
def _through(
    waiting: tuple[str, Tensor, Tensor], module: nn.Module
) -> tuple[nn.Module, tuple[str, Tensor, Tensor] | None]:
    """Move an affine map of the channels past a layer; a weight layer takes it up.

    Return the layer after which, or in which, the map stands, and the map, None once it is taken
    up. Raise GentoolError if the two orders are not the same function.
    """
    name, scale, shift = waiting
    if isinstance(module, WEIGHT_LAYERS):
        return _with_affine_inputs(module, scale, shift, name), None
    has_padding = _is_padded(module)
    is_average = isinstance(module, (nn.AvgPool2d, nn.AdaptiveAvgPool2d)) and not has_padding
    is_maximum = isinstance(module, nn.MaxPool2d) and bool((scale > 0).all())
    if isinstance(module, nn.Flatten) or is_average or is_maximum:
        return module, waiting
    raise GentoolError(
        f"batch norm {name!r} stands before a {type(module).__name__} and cannot be folded exactly"
    )


def _is_padded(module: nn.Module) -> bool:
    """Return whether a layer adds zeros around its input."""
    padding = getattr(module, "padding", 0)
    if isinstance(padding, str):
        return padding != "valid"
    has_divisor = getattr(module, "divisor_override", None) is not None
    is_uneven = getattr(module, "ceil_mode", False) and isinstance(module, nn.AvgPool2d)
    return bool(torch.tensor(padding).any()) or has_divisor or is_uneven


def _with_affine_inputs(layer: nn.Module, scale: Tensor, shift: Tensor, name: str) -> nn.Module:
    """Return a copy of a weight layer that includes an affine map of its input channels."""
    layer = copy.deepcopy(layer)
    inputs = layer.weight.shape[1] * getattr(layer, "groups", 1)
    repeats = inputs // len(scale)  # units of a channel that was flattened
    if repeats * len(scale) != inputs:
        raise GentoolError(f"batch norm {name!r} does not fit the weight layer after it")
    scale, shift = (value.repeat_interleave(repeats) for value in (scale, shift))
    if isinstance(layer, nn.Conv2d):
        if _is_padded(layer) and bool((shift != 0).any()):
            raise GentoolError(
                f"batch norm {name!r} stands before a convolution with zero padding and cannot be "
                "folded exactly"
            )
        groups = layer.weight.chunk(layer.groups)
        parts = zip(groups, scale.chunk(layer.groups), shift.chunk(layer.groups), strict=True)
        added = torch.cat([(W.sum((2, 3)) * t).sum(1) for W, _, t in parts])
        scales = torch.cat(
            [s.expand(len(W), -1) for W, s in zip(groups, scale.chunk(layer.groups), strict=True)]
        )
        layer.weight.mul_(scales[:, :, None, None])
    else:
        added = layer.weight @ shift
        layer.weight.mul_(scale)
    layer.bias = nn.Parameter(added if layer.bias is None else layer.bias + added)
    return layer


def _scale_and_shift(norm: nn.Module, name: str) -> tuple[Tensor, Tensor]:
    """Return the affine map of each channel that a batch norm is in evaluation mode."""
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
    return scale, shift


@torch.no_grad()
def _with_batch_norm(layer: nn.Module, norm: nn.Module, name: str) -> nn.Module:
    """Return a copy of a weight layer that includes the batch norm after it."""
    scale, shift = _scale_and_shift(norm, name)
    layer = copy.deepcopy(layer)
    bias = layer.bias * scale + shift if layer.bias is not None else shift
    layer.weight.mul_(scale.reshape(-1, *[1] * (layer.weight.dim() - 1)))
    layer.bias = nn.Parameter(bias)
    return layer


def _with_shapes(steps: list[Step], images: Tensor) -> tuple[tuple[Layer, ...], Tensor]:
    """Return the layers with the shapes of an example before and after each, and their outputs."""
    chain = nn.Sequential(*(module for _, module in steps))
    shapes, outputs = shapes_and_outputs(chain, images, [name for name, _ in steps])
    layers = tuple(
        Layer(name, module, in_shape, out_shape)
        for (name, module), (_, in_shape, out_shape) in zip(steps, shapes, strict=True)
    )
    if not any(layer.has_weight for layer in layers):
        raise GentoolError("the model has no convolution and no linear layer")
    return layers, outputs
