"""A convolution and the batch norm after it in training, without the bias that comes to nothing.

Batch norm takes away the mean of what it is given, and with it whatever a bias added. On a GPU
adding it and summing its gradient, which is zero but for rounding, takes a sixth of a step. Only
the running mean knows of the bias: it is kept as if it had been added.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d

from gentool.networks.models import VGG


class BiasFreeConvBatchNorm(nn.Module):
    """The two modules, whose parameters and statistics it shares, as one; for training alone."""

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
    """What to call in training instead of a VGG, to the same effect but for rounding.

    It has the same parameters; those biases that come to nothing get no gradient. Any other network
    is returned as it is.
    """
    if not isinstance(model, VGG):
        return model
    modules = list(model.features)
    features = [
        BiasFreeConvBatchNorm(one, after) if _is_pair(one, after) else one
        for one, after in pairwise([*modules, None])
        if not isinstance(one, nn.BatchNorm2d)
    ]
    return VGG(nn.Sequential(*features), model.classifier)


def _is_pair(one: nn.Module, after: nn.Module | None) -> bool:
    return isinstance(one, nn.Conv2d) and isinstance(after, nn.BatchNorm2d)
