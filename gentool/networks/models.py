"""Define the models, VGGs and MLPs: one decorated function each, the output layer last."""

import hashlib
import inspect
import math
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gentool.common.errors import GentoolError, UsageError
from gentool.common.registry import FunctionRegistry
from gentool.networks.layer_list import chain
from gentool.records.recipe import LAYERS, Recipe, default_init

MODELS = FunctionRegistry("model")

ImageShape = tuple[int, int, int]
"""Channels, height and width of one input."""

STACKS = {
    "vgg": [[64] * 2, [128] * 2, [256] * 2, [512] * 2],
    # Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015, configurations A, B, D, E
    "vgg11": [[64], [128], [256] * 2, [512] * 2, [512] * 2],
    "vgg13": [[64] * 2, [128] * 2, [256] * 2, [512] * 2, [512] * 2],
    "vgg16": [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3],
    "vgg19": [[64] * 2, [128] * 2, [256] * 4, [512] * 4, [512] * 4],
}
"""The output channels of each VGG's convolutions; a pooling follows each stack."""


def poolings_of(model: str) -> list[int]:
    """Return the pooling size after each stack of a VGG: 2, but 4 after the last of `vgg`."""
    return [2, 2, 2, 4] if model == "vgg" else [2] * len(STACKS[model])


class VGG(nn.Module):
    """Apply stacks of 3x3 convolutions with max pooling after each, then linear layers.

    The last ReLU of a stack comes after its pooling, where it takes less time. Function and
    gradients are the same to the bit, since ReLU does not change which number is the largest.
    """

    def __init__(self, features: nn.Sequential, classifier: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.flatten = nn.Flatten()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.flatten(self.features(images)))


@MODELS.register
def vgg(
    input_shape: ImageShape,
    classes: int,
    *,
    batch_norm: bool | str = True,
    dropout: float = 0.0,
    width: float = 1.0,
    last_pool: str = "max",
) -> nn.Module:
    """Build the paper's VGG: twice 64, 128, 256, 512 channels of 3x3, a hidden layer of 512.

    2x2 max pooling after the first three stacks, 4x4 after the last (the maximum, as in the first
    author's later code, or with `last_pool` "average" the mean); for 32x32 inputs and ten classes
    4.95 million weights. Batch norm is on every convolution, with "hidden" on the hidden layer
    alone, with "all" on both; dropout, where on, is after each stack and before the output.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    stacks = _scaled(STACKS["vgg"], width)
    on_convolutions, on_hidden = batch_norm in (True, "all"), batch_norm in ("hidden", "all")
    poolings = poolings_of("vgg")
    features, outputs = _features(
        input_shape, stacks, poolings, on_convolutions, dropout, last_pool
    )
    [[hidden]] = _scaled([[512]], width)
    norm = [nn.BatchNorm1d(hidden)] if on_hidden else []
    layers = [nn.Linear(outputs, hidden), *norm, nn.ReLU(), *_dropout(dropout)]
    return VGG(features, nn.Sequential(*layers, nn.Linear(hidden, classes)))


def _torchvision_vgg(name: str, stacks: list[list[int]]) -> None:
    """Register a VGG of torchvision's feature stacks with one linear layer after them."""

    def vgg(
        input_shape: ImageShape,
        classes: int,
        *,
        batch_norm: bool = True,
        dropout: float = 0.0,
        width: float = 1.0,
    ) -> nn.Module:
        features, outputs = _features(
            input_shape, _scaled(stacks, width), poolings_of(name), batch_norm, dropout
        )
        return VGG(features, nn.Sequential(*_dropout(dropout), nn.Linear(outputs, classes)))

    vgg.__name__ = name
    MODELS.register(vgg)


for _name in ("vgg11", "vgg13", "vgg16", "vgg19"):
    _torchvision_vgg(_name, STACKS[_name])


@MODELS.register
def mlp(
    input_shape: ImageShape,
    classes: int,
    *,
    batch_norm: bool = False,
    dropout: float = 0.0,
    depth: int = 1,
    hidden: int = 512,
) -> nn.Module:
    """Build an MLP: `depth` hidden layers of `hidden` ReLUs; depth 0 is linear."""
    modules: list[tuple[str, nn.Module]] = [("flatten", nn.Flatten())]
    units = math.prod(input_shape)
    for i in range(1, depth + 1):
        modules.append((f"hidden{i}", nn.Linear(units, hidden)))
        if batch_norm:
            modules.append((f"norm{i}", nn.BatchNorm1d(hidden)))
        modules.append((f"relu{i}", nn.ReLU()))
        if dropout:
            modules.append((f"dropout{i}", nn.Dropout(dropout)))
        units = hidden
    return nn.Sequential(OrderedDict([*modules, ("output", nn.Linear(units, classes))]))


def options_of(model: str) -> dict[str, object]:
    """Return the options of a model with their defaults: its function's keyword arguments."""
    parameters = inspect.signature(MODELS[model]).parameters.values()
    return {
        option.name: option.default for option in parameters if option.kind is option.KEYWORD_ONLY
    }


def with_defaults(model: str, options: Mapping[str, object]) -> dict[str, object]:
    """Return all options of a model, with its default for each that is missing or None.

    Raise UsageError for an unknown model, and for an option that this model does not have.
    """
    defaults = options_of(model)
    options = {name: value for name, value in options.items() if value is not None}
    for name in options:
        if name not in defaults:
            flags = ", ".join(f"--{option.replace('_', '-')}" for option in defaults)
            raise UsageError(f"{model} has no option --{name.replace('_', '-')}; it has {flags}")
    return defaults | options


def build(recipe: Recipe) -> nn.Module:
    """Return the module of a recipe on the meta device: names and shapes without memory or values.

    Raise UsageError for an unknown model, GentoolError if the recipe lacks an option or the input
    is too small for the pooling.
    """
    if recipe.model == LAYERS and recipe.classes is not None:
        with torch.device("meta"):
            return chain(recipe.layers)
    if recipe.input_shape is None or recipe.classes is None:
        raise GentoolError("the recipe lacks the input shape or the number of classes")
    options = {name: getattr(recipe, name) for name in options_of(recipe.model)}
    if isinstance(options["batch_norm"], str) and "last_pool" not in options:
        raise UsageError(
            f"{recipe.model} has no hidden linear layer of a VGG; its batch norm is on or off, "
            f"not {recipe.batch_norm}"
        )
    if missing := [name for name, value in options.items() if value is None]:
        raise GentoolError(f"the recipe lacks {', '.join(missing)}, which {recipe.model} needs")
    try:
        with torch.device("meta"):
            return MODELS[recipe.model](recipe.input_shape, recipe.classes, **options)
    except (RuntimeError, OverflowError) as error:  # sizes beyond the integers of torch
        raise GentoolError(
            f"the recipe's {recipe.model} is too large for any memory; lower its width, hidden or "
            "depth"
        ) from error


def initialised(recipe: Recipe) -> nn.Module:
    """Return the module of a recipe with its initial weights, on the CPU.

    `init` is `uniform`, PyTorch's default, with variance 1 / (3 fan-in), or `he`: normal with
    variance 2 / fan-in, the output layer's 1 / fan-in, so that the signal neither fades nor
    explodes (He et al., ICCV 2015). The default is `he`, but `uniform` with batch norm, where the
    scale of the weights does not change the function, and a small scale lets a learning rate turn
    them far. Biases are 0, batch norm is the identity. The draw depends on the seed alone and uses
    no global generator.
    """
    is_uniform = (recipe.init or default_init(recipe.batch_norm)) == "uniform"
    model = build(recipe).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(recipe.seed)
    layers = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    for layer in layers:
        if is_uniform:
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
        else:
            gain = "linear" if layer is layers[-1] else "relu"
            nn.init.kaiming_normal_(layer.weight, nonlinearity=gain, generator=generator)
        nn.init.zeros_(layer.bias)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.reset_parameters()
    return model


def known_initial(recipe: Recipe) -> nn.Module | None:
    """Return the module of a recipe before training, in evaluation mode.

    None if the recipe does not say its weights, or this torch draws others.
    """
    if recipe.initial_digest is None or initial_digest(recipe) != recipe.initial_digest:
        return None
    return initialised(recipe).eval()


def initial_digest(recipe: Recipe) -> str:
    """Return the SHA-256 of the initial weights of a recipe, to check a repeated draw."""
    digest = hashlib.sha256()
    for name, tensor in sorted(initialised(recipe).state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def has_convolutions(model: nn.Module) -> bool:
    """Return whether a network has 2d convolutions."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def _features(
    input_shape: ImageShape,
    stacks: list[list[int]],
    poolings: list[int],
    batch_norm: bool,
    dropout: float,
    last_pool: str = "max",
) -> tuple[nn.Sequential, int]:
    """Return stacks of 3x3 convolutions, a max pooling after each, and their number of outputs."""
    channels, height, width = input_shape
    layers: list[nn.Module] = []
    for number, (stack, pooling) in enumerate(zip(stacks, poolings, strict=True), start=1):
        for outputs in stack:
            layers.append(nn.Conv2d(channels, outputs, kernel_size=3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.ReLU())
            channels = outputs
        if last_pool == "average" and len(stacks) == number:
            layers.append(nn.AvgPool2d(pooling))
        else:
            layers.insert(
                -1, nn.MaxPool2d(pooling)
            )  # before the ReLU, which then has fewer numbers
        layers += _dropout(dropout)
        height, width = height // pooling, width // pooling
    if min(height, width) < 1:
        smallest = math.prod(poolings)
        raise GentoolError(
            f"the VGG pools by {smallest} in all and needs images of {smallest}x{smallest} or "
            f"more, not {input_shape[1]}x{input_shape[2]}; choose --model mlp or other data"
        )
    return nn.Sequential(*layers), channels * height * width


def _scaled(stacks: list[list[int]], width: float) -> list[list[int]]:
    """Return the channels times the width, each at least 1."""
    return [[max(1, round(channels * width)) for channels in stack] for stack in stacks]


def _dropout(probability: float) -> list[nn.Module]:
    return [nn.Dropout(probability)] if probability else []
