"""The canonical network: the layers of a trained network as an explicit list, batch norm folded in.

Every measure is of this network, so that one w means one thing throughout. It is the same function
as the trained network in evaluation mode: dropout is the identity there, and batch norm an affine
map with fixed statistics, which is folded into the weight layer before it. The trap: folding holds
in evaluation mode only, and only for batch norm that directly follows a weight layer; anything else
is refused by name rather than treated approximately.
"""

import copy
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, fx, nn

from gentool import matrices
from gentool.errors import GentoolError
from gentool.operator_norm import Bounds, spectral_norm
from gentool.operators import Operator

WEIGHT_LAYERS = (nn.Conv2d, nn.Linear)
POOLING_LAYERS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
EXACT_LAYERS = (*WEIGHT_LAYERS, *POOLING_LAYERS, nn.ReLU, nn.Flatten)
_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)
_IDENTITY_IN_EVALUATION = (
    nn.Dropout,
    nn.Dropout2d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.Identity,
)


@dataclass(frozen=True)
class Layer:
    """One layer of the canonical network: a torch module of a type in EXACT_LAYERS, in float64.

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
        """The kernel view: the weight as (out, in), of a convolution (out, in/groups * k * k)."""
        return self.module.weight.detach().flatten(1)

    @cached_property
    def frobenius(self) -> float:
        """Frobenius norm of the weight; NaN or infinite where a weight is."""
        return matrices.frobenius(self.matrix)

    @cached_property
    def spectral(self) -> float:
        """Spectral norm of the weight as a matrix; NaN where a weight is NaN or infinite."""
        return matrices.spectral(self.matrix)

    @cached_property
    def frobenius_operator(self) -> float:
        """Frobenius norm of the layer as a linear map; of a linear layer that of its weight."""
        operator = self._operator
        return self.frobenius if operator is None else operator.frobenius()

    @cached_property
    def spectral_operator(self) -> Bounds:
        """Spectral norm of the layer as a linear map, from below and from above.

        Of a linear layer it is that of its weight, exact to rounding.
        """
        operator = self._operator
        return Bounds(self.spectral, self.spectral) if operator is None else spectral_norm(operator)

    @property
    def _operator(self) -> Operator | None:
        """The convolution as a linear map; None for a linear layer, whose weight is its matrix."""
        if isinstance(self.module, nn.Linear):
            return None
        return Operator.of(self.module, self.in_shape, self.out_shape)

    @property
    def channels(self) -> int:
        """Outputs in the kernel view: channels of a convolution, outputs of a linear layer."""
        return self.module.weight.shape[0]

    @property
    def units(self) -> int:
        """All output units: channels times height times width for a convolution."""
        return torch.Size(self.out_shape).numel()


@dataclass(frozen=True)
class Network:
    """The canonical network: an explicit chain of layers; an example has `input_shape`."""

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

    def module(self) -> nn.Sequential:
        """A fresh copy as one torch module, in float64, whose parameters a caller may change."""
        modules = {
            layer.name.replace(".", "_"): copy.deepcopy(layer.module) for layer in self.layers
        }
        return nn.Sequential(modules)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of images of shape (n, *input_shape), both in the layers' precision."""
        with torch.inference_mode():
            for layer in self.layers:
                images = layer.module(images)
        return images

    def to(self, device: torch.device | str) -> "Network":
        """The same network on another device."""
        layers = (
            replace(layer, module=copy.deepcopy(layer.module).to(device)) for layer in self.layers
        )
        return replace(self, layers=tuple(layers))


def canonical(model: nn.Module, input_shape: tuple[int, int, int]) -> Network:
    """The canonical network of a trained model, which is left as it is.

    `model` is any module that is a plain chain of convolutions, linear layers, batch norm after
    those, ReLU, max, average and adaptive average pooling, flattening and dropout. `input_shape` is
    (channels, height, width).

    Raises GentoolError, naming the layer, where the model has one that cannot be treated exactly,
    is not a chain, does not fit the input shape, or computes something that its layers do not
    account for.
    """
    steps = _chain(copy.deepcopy(model).to("cpu", torch.float64).eval())
    layers = _with_shapes(_fold_batch_norm(steps), input_shape)
    network = Network(layers, tuple(input_shape))
    _check_same_function(model, network)
    return network


def _chain(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The leaf modules of a model in the order of its forward pass, dropout left out."""
    if type(model) in EXACT_LAYERS:
        name = type(model).__name__.lower()
        _check_exact(name, model)
        return [(name, model)]
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # tracing runs the model's own code, which may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GentoolError(f"cannot list the layers of {type(model).__name__}: {reason}") from error
    steps: list[tuple[str, nn.Module]] = []
    previous: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "placeholder" and previous is None:
            previous = node
            continue
        if node.op == "get_attr" or _is_shape_arithmetic(node):
            continue
        data_inputs = [
            argument for argument in node.all_input_nodes if not _is_shape_arithmetic(argument)
        ]
        if data_inputs != [previous]:
            raise GentoolError(
                f"{node.name!r} does not follow the layer before it: not a chain of layers"
            )
        if node.op == "output":
            break
        steps += _step(node, model)
        previous = node
    return _with_own_names(steps)


class _Tracer(fx.Tracer):
    """A tracer that also takes subclasses of layers as one step, to refuse them by name."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_layer = isinstance(m, (*EXACT_LAYERS, *_BATCH_NORM))
        return is_layer or super().is_leaf_module(m, module_qualified_name)


def _with_own_names(steps: list[tuple[str, nn.Module]]) -> list[tuple[str, nn.Module]]:
    """A module that is used again, as one ReLU often is, gets a name of its own each time."""
    names = [name for name, _ in steps]
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        names[i] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return [(name, module) for name, (_, module) in zip(names, steps, strict=True)]


def _is_shape_arithmetic(node: fx.Node) -> bool:
    """Whether a node of the graph handles sizes, as the argument of a `view` does, and not data."""
    if node.op == "call_method":
        return node.target == "size"
    if node.op == "call_function" and node.target is getattr:
        return node.args[1] == "shape"
    return node.op == "call_function" and node.target is operator.getitem


def _step(node: fx.Node, model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layer, if any, that a node of the graph stands for."""
    if node.op == "call_module":
        module = model.get_submodule(node.target)
        if isinstance(module, _IDENTITY_IN_EVALUATION):
            return []
        _check_exact(node.target, module)
        return [(node.target, module)]
    function = _FUNCTIONS.get(node.target)
    if function is not None:
        return [(node.name, function())]
    name = getattr(node.target, "__name__", node.target)
    raise GentoolError(
        f"{name!r} is called as a function, not held as a layer; make it a module of torch.nn to "
        "measure this model"
    )


def _check_exact(name: str, module: nn.Module) -> None:
    """Raise GentoolError, naming the layer, unless it is exactly what its type says.

    By the exact type: a subclass may compute something else from the same weight, as PyTorch's
    parametrizations do, and so may a hook.
    """
    if type(module) not in (*EXACT_LAYERS, *_BATCH_NORM):
        raise GentoolError(
            f"layer {name!r} is a {type(module).__name__}, which cannot be treated exactly"
        )
    if getattr(module, "padding_mode", "zeros") != "zeros":
        raise GentoolError(
            f"layer {name!r} pads with {module.padding_mode!r}; only zeros are exact"
        )
    if module._forward_hooks or module._forward_pre_hooks:
        raise GentoolError(
            f"layer {name!r} has a hook on its forward pass, which cannot be treated exactly"
        )


# Functions that the forward passes of published VGGs and MLPs call without a module, by what they
# are. `view` and `reshape` are taken for the flattening that they nearly always are: the check of
# the whole function, below, would find one that is not.
_FUNCTIONS: dict[Callable[..., object] | str, Callable[[], nn.Module]] = {
    torch.flatten: nn.Flatten,
    "flatten": nn.Flatten,
    "view": nn.Flatten,
    "reshape": nn.Flatten,
    torch.relu: nn.ReLU,
    "relu": nn.ReLU,
    nn.functional.relu: nn.ReLU,
}


def _fold_batch_norm(steps: list[tuple[str, nn.Module]]) -> list[tuple[str, nn.Module]]:
    """Batch norm folded into the layer before it: W' = s W, b' = s (b - mean) + shift."""
    folded: list[tuple[str, nn.Module]] = []
    for name, module in steps:
        if not isinstance(module, _BATCH_NORM):
            folded.append((name, module))
            continue
        if not folded or not isinstance(folded[-1][1], WEIGHT_LAYERS):
            raise GentoolError(
                f"batch norm {name!r} does not directly follow a weight layer and cannot be folded"
            )
        folded[-1] = (folded[-1][0], _folded(folded[-1][1], module, name))
    return folded


@torch.no_grad()
def _folded(layer: nn.Module, norm: nn.Module, name: str) -> nn.Module:
    """A copy of a weight layer that computes what it and the batch norm after it compute."""
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


def _with_shapes(
    steps: list[tuple[str, nn.Module]], input_shape: tuple[int, ...]
) -> tuple[Layer, ...]:
    """The layers with the shapes that an example of `input_shape` has before and after each."""
    layers = []
    example = torch.zeros(1, *input_shape, dtype=torch.float64)
    for name, module in steps:
        try:
            with torch.inference_mode():
                output = module(example)
        except (RuntimeError, ValueError) as error:
            shape = "x".join(map(str, example.shape[1:]))
            raise GentoolError(
                f"layer {name!r} ({module}) does not accept an input of shape {shape}"
            ) from error
        layers.append(Layer(name, module, tuple(example.shape[1:]), tuple(output.shape[1:])))
        example = output
    if not any(layer.has_weight for layer in layers):
        raise GentoolError("the model has no convolution and no linear layer")
    return tuple(layers)


def _check_same_function(model: nn.Module, network: Network) -> None:
    """Compare the logits of the model and of its layers on random images: omissions show here."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, *network.input_shape, generator=generator, dtype=torch.float64)
    reference = copy.deepcopy(model).to("cpu", torch.float64).eval()
    with torch.inference_mode():
        expected = reference(images)
    found = network(images)
    if not bool(expected.isfinite().all()):
        return  # NaN or infinite weights compare with nothing; the measures report them
    scale = expected.abs().amax().clamp_min(torch.finfo(torch.float64).tiny)
    if found.shape != expected.shape or bool((found - expected).abs().amax() > 1e-8 * scale):
        raise GentoolError(
            f"{type(model).__name__} computes something that its layers do not account for; "
            "every step of its forward pass has to be a module of torch.nn"
        )
