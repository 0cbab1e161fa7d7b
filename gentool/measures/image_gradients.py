"""Measure the gradients of the loss of single images: along the weights, and how they scatter."""

from collections.abc import Callable

import torch
from torch import Tensor

from gentool.measures.derivatives import Derivatives
from gentool.measures.measured import Measured, Undefined
from gentool.measures.registry import MEASURES


@MEASURES.register(cost="gradient", needs=("data", "gradients"), larger="more capacity")
def fisher_rao(net: Measured) -> float:
    """Fisher-Rao norm of the weights, by the empirical Fisher matrix.

        (d + 1)²/m Σᵢ ⟨w, ∇_w ℓ(f_w(xᵢ), yᵢ)⟩²

    w are all weights and biases of the canonical network, d its weight layers, ℓ the cross-entropy
    of an image, m all images that the network was trained on. Exact, no estimate. Liang et al.
    (AISTATS 2019) define it without the factor (d + 1)².
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    square = net.once("square along w", lambda: _mean_square_along(Derivatives.of(net)))
    return _finite((len(net.layers) + 1) ** 2 * square)


@MEASURES.register(cost="gradient", needs=("data", "gradients"), is_rescalable=False)
def gradient_noise(net: Measured) -> float:
    """Variance of the gradient of single images at the trained weights.

        1/m Σᵢ ‖∇_w ℓᵢ(w)‖² − ‖∇_w L(w)‖²

    ℓᵢ is the cross-entropy of image i and L the mean of all m. Exact, over all images that the
    network was trained on: the trace of the covariance of the gradient of a random image.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return _noise(Derivatives.of(net))


@MEASURES.register(
    cost="gradient", needs=("data", "gradients", "training record"), is_rescalable=False
)
def gradient_noise_first_epoch(net: Measured) -> float:
    """Variance of the gradient of single images after the first epoch.

        1/m Σᵢ ‖∇_w ℓᵢ(w¹)‖² − ‖∇_w L(w¹)‖²

    w¹ are the weights of the checkpoint that --first-epoch names, as `gentool train --save-every 1`
    keeps it; all else as in gradient_noise.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    network = net.first_epoch()
    if network is None:
        raise Undefined("the network after the first epoch is not known; name it: --first-epoch")
    return _noise(Derivatives(network, net.trained_on))


def _mean_square_along(at: Derivatives) -> float:
    """Return the mean of ⟨w, ∇_w ℓ⟩² over the images."""
    batches = at.batches(2)
    total = sum(float(_slopes_along(at, *batch).square().sum()) for batch in batches)
    return total / len(at.examples)


def _slopes_along(at: Derivatives, images: Tensor, labels: Tensor) -> Tensor:
    """Return ⟨w, ∇_w ℓ⟩ of each image, (n,): the slope of its loss along the weights.

    The derivative of the logits along w is that of the logits at (1 + t) w by t, taken by two
    backward passes as in `Derivatives`.
    """
    w = at.weights
    with torch.enable_grad():
        t = torch.zeros((), dtype=w.dtype, device=w.device, requires_grad=True)
        logits = at.logits(w * (1 + t), images)
        u = torch.zeros_like(logits, requires_grad=True)
        [back] = torch.autograd.grad(logits, t, u, create_graph=True)
        [change] = torch.autograd.grad(back, u)
    return (_slopes(labels)(logits.detach()) * change).sum(dim=1)


def _noise(at: Derivatives) -> float:
    """Return the mean squared distance of the images' gradients from their mean."""
    mean, total = at.gradient(), 0.0
    for images, labels in at.examples.batches(at.gradient_chunk(), torch.float64):
        gradients, _ = at.image_gradients(images, _slopes(labels))
        total += float((gradients - mean).square().sum())
    return _finite(total / len(at.examples))


def _slopes(labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the function from logits to the derivative of the cross-entropy by them."""

    def slopes(logits: Tensor) -> Tensor:
        slope = logits.softmax(dim=1)
        return slope - torch.nn.functional.one_hot(labels, slope.shape[1]).to(slope)

    return slopes


def _finite(value: float) -> float:
    if not abs(value) < float("inf"):
        raise Undefined("derivatives of the loss are beyond the numbers of a computer")
    return value
