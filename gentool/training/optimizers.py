"""Make the optimizer of a recipe."""

import torch
from torch import nn

from gentool.common.registry import FunctionRegistry
from gentool.records.recipe import Recipe

OPTIMIZERS = FunctionRegistry("optimizer")


@OPTIMIZERS.register
def sgd(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Make stochastic gradient descent with momentum."""
    return torch.optim.SGD(
        parameters,
        lr=recipe.lr,
        momentum=recipe.momentum or 0.0,
        weight_decay=recipe.weight_decay,
        fused=_can_fuse(parameters),
    )


@OPTIMIZERS.register
def adam(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Make Adam with PyTorch's betas and decoupled weight decay (AdamW)."""
    return torch.optim.AdamW(
        parameters,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        fused=_can_fuse(parameters),
    )


def _can_fuse(parameters: list[nn.Parameter]) -> bool:
    """Return whether PyTorch can update all parameters in one operation on their device."""
    return {parameter.device.type for parameter in parameters} <= {"cpu", "cuda"}
