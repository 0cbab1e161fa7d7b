"""Measure by how much noise in proportion to each weight raises the training loss, on average."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gentool.measures.derivatives import Derivatives
from gentool.measures.measured import Estimate, Measured, Undefined
from gentool.measures.registry import MEASURES
from gentool.measures.sampling import mean_of_draws

RHO = 0.1  # standard deviation of the noise, relative to each weight


@MEASURES.register(cost="data", needs=("data", "sampling"))
def adaptive_sharpness_average(net: Measured) -> Estimate:
    """Mean rise of the training loss under noise in proportion to each weight, with _stderr.

        E L(w + δ) − L(w),  δᵢ ~ N(0, (0.1 |wᵢ|)²)

    w are all weights and biases of the canonical network, L is the mean cross-entropy over the
    training set. Draws of δ until the error is below --rel-error. Rescaling does not change it.
    Andriushchenko et al., A Modern Look at Sharpness and Generalization, ICML 2023.
    """
    return _average(net, is_normalized=False)


@MEASURES.register(cost="data", needs=("data", "sampling"))
def adaptive_sharpness_average_normalized(net: Measured) -> Estimate:
    """Mean rise of the loss of normalised logits under such noise, with _stderr.

        E L̃(w + δ) − L̃(w),  δᵢ ~ N(0, (0.1 |wᵢ|)²),  L̃ of f̃ = f / √(1/K Σ_j (f_j − f̄)²)

    As adaptive_sharpness_average, with the K logits of each image divided by their standard
    deviation, so that their scale does not matter.
    Andriushchenko et al., A Modern Look at Sharpness and Generalization, ICML 2023.
    """
    return _average(net, is_normalized=True)


def _average(net: Measured, *, is_normalized: bool) -> Estimate:
    at, generator = Derivatives.of(net), net.generator()
    w, before = at.weights, _loss(at, at.weights, is_normalized)

    def rise() -> float:
        noise = torch.randn(len(w), generator=generator, dtype=w.dtype).to(w)
        return _loss(at, w + RHO * w.abs() * noise, is_normalized) - before

    return mean_of_draws(net, rise)


def _loss(at: Derivatives, w: Tensor, is_normalized: bool) -> float:
    """Return the mean cross-entropy over the training set with the parameters w."""
    total = 0.0
    with torch.inference_mode():
        for images, labels in at.batches():
            logits = at.logits(w, images)
            if is_normalized:
                spread = logits.std(dim=1, correction=0, keepdim=True)
                if not bool((spread > 0).all()):
                    raise Undefined("all logits of an image are the same number")
                logits = logits / spread
            total += float(cross_entropy(logits, labels, reduction="sum"))
    return total / len(at.examples)
