"""Train convolutions before batch norm without their biases, which have no effect there.

Batch norm subtracts the mean of its input, and with it the bias of the convolution. On a GPU,
adding the bias and summing its gradient, which is zero up to rounding, takes a sixth of a step. The
bias appears in the running mean alone, which is kept as if the bias had been added.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d

from gentool.networks.models import VGG


class BiasFreeConvBatchNorm(nn.Module):
    """Stand in for a convolution and its batch norm in training; share their parameters."""

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, norm

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = self.convolution, self.norm
        bias = conv.bias.detach()
        mean = norm.running_mean - bias
        x = conv2d(x, conv.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)
        x = batch_norm(
            x, mean, norm.running_var, norm.weight, norm.bias, True, norm.momentum, norm.eps
        )
        with torch.no_grad():
            norm.running_mean.copy_(mean + bias)
            norm.num_batches_tracked.add_(1)
        return x


def bias_free(model: nn.Module) -> nn.Module:
    """Return a VGG that trains as `model` does, up to rounding, without biases before batch norm.

    It shares the parameters of `model`; the biases without effect get no gradient. Return any other
    network as it is.
    """
    if not isinstance(model, VGG):
        return model
    modules = list(model.features)
    features = [
        BiasFreeConvBatchNorm(module, after) if _is_pair(module, after) else module
        for module, after in pairwise([*modules, None])
        if not isinstance(module, nn.BatchNorm2d)
    ]
    return VGG(nn.Sequential(*features), model.classifier)


def _is_pair(module: nn.Module, after: nn.Module | None) -> bool:
    return isinstance(module, nn.Conv2d) and isinstance(after, nn.BatchNorm2d)
