"""The optimizers."""

import torch
from torch import nn

from gentool.common.registry import FunctionRegistry
from gentool.records.recipe import Recipe

OPTIMIZERS = FunctionRegistry("optimizer")


@OPTIMIZERS.register
def sgd(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(
        parameters,
        lr=recipe.lr,
        momentum=recipe.momentum or 0.0,
        weight_decay=recipe.weight_decay,
        fused=_can_fuse(parameters),
    )


@OPTIMIZERS.register
def adam(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Adam with PyTorch's betas; weight decay is decoupled (AdamW)."""
    return torch.optim.AdamW(
        parameters,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        fused=_can_fuse(parameters),
    )


def _can_fuse(parameters: list[nn.Parameter]) -> bool:
    """Whether PyTorch can update all parameters in one operation there."""
    return {parameter.device.type for parameter in parameters} <= {"cpu", "cuda"}
