"""Give a network with one output the logits of two classes, so that data measures are defined.

A network with one output f that was trained with binary cross-entropy on labels y of 0 and 1 has
the probability 1 / (1 + exp(−f)) of class 1. That is the softmax of the two logits (0, f), so that
everything that is defined by logits is defined for it, and equal by algebra:

    cross-entropy of (0, f)      log(1 + exp(f)) − y f, the binary cross-entropy
    margin f_y − f_{1−y}         (2y − 1) f: |f| with the sign of the label
    predicted class              1 where f > 0

The zero logit is no weight: measures of weights, the number of parameters, and the box of sharpness
are those of the network with one output.
"""

import torch
from torch import Tensor, nn


def class_logits(outputs: Tensor) -> Tensor:
    """Return logits (..., k) of k classes: outputs (..., k) as they are, (..., 1) as (0, f)."""
    if outputs.shape[-1] != 1:
        return outputs
    return torch.cat([torch.zeros_like(outputs), outputs], dim=-1)


class ClassLogits(nn.Module):
    """Append to a network with one output: it returns the logits of two classes."""

    def forward(self, outputs: Tensor) -> Tensor:
        return class_logits(outputs)
