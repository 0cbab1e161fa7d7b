"""Measure gradients: of the loss with respect to the weights, of outputs to the input."""

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gentool.measures.derivatives import Derivatives
from gentool.measures.measured import Estimate, Measured, Undefined
from gentool.measures.registry import MEASURES
from gentool.measures.sampling import mean_of_draws

NOISE = 0.1  # standard deviation of the noise on normalised pixels


@MEASURES.register(
    cost="gradient",
    needs=("data", "gradients"),
    larger="farther from a stationary point",
)
def gradient_norm(net: Measured) -> float:
    """Norm of the gradient of the training loss at the trained weights.

        ‖∇_w L(w)‖₂

    L is the mean cross-entropy over the training set, w all weights and biases of the canonical
    network. The norm of each layer's part is in the table of layers.
    Keskar et al., On Large-Batch Training for Deep Learning, ICLR 2017.
    """
    at = Derivatives.of(net)
    gradient = at.gradient()
    net.of_layers["gradient_norm"] = [float(gradient[block].norm()) for block in at.blocks]
    return float(gradient.norm())


@MEASURES.register(
    cost="gradient",
    needs=("data", "gradients"),
    larger="less smooth in the input",
    is_rescalable=True,
)
def input_gradient_norm(net: Measured) -> float:
    """Mean norm of the gradient of an image's loss with respect to its pixels.

        1/m Σₓ ‖∇ₓ ℓ(x)‖₂

    Pixels are normalised as the network takes them.
    Drucker and Le Cun, Improving Generalization Performance Using Double Backpropagation, 1992.
    """
    at, total = Derivatives.of(net), 0.0
    for images, labels in at.batches():
        gradients, _ = _input_gradients(at, images, labels)
        total += float(gradients.flatten(1).norm(dim=1).sum())
    return _finite(total / len(at.examples))


@MEASURES.register(
    cost="gradient",
    needs=("data", "gradients"),
    larger="less smooth in the input",
    is_rescalable=True,
)
def input_jacobian_norm(net: Measured) -> float:
    """Mean Frobenius norm of the derivative of the class probabilities by the pixels.

        1/m Σₓ ‖∂p(x) / ∂x‖_F

    p are the softmax probabilities, pixels are normalised as the network takes them.
    Novak et al., Sensitivity and Generalization in Neural Networks, ICLR 2018.
    """
    at, total, w = Derivatives.of(net), 0.0, Derivatives.of(net).weights
    for images, _ in at.batches(2):
        with torch.enable_grad():
            x = images.detach().requires_grad_()
            p = at.logits(w, x).softmax(dim=1)
            squares: Tensor | float = 0.0
            for c in range(p.shape[1]):
                [gradient] = torch.autograd.grad(p[:, c].sum(), x, retain_graph=True)
                squares = squares + gradient.flatten(1).square().sum(dim=1)
        total += float(squares.sqrt().sum())
    return _finite(total / len(at.examples))


@MEASURES.register(
    cost="gradient",
    needs=("data", "gradients", "sampling"),
    larger="less linear in the input",
    is_rescalable=True,
)
def local_linearity(net: Measured) -> Estimate:
    """Mean error of the loss's linear approximation beside an image, with _stderr.

        1/m Σₓ E |ℓ(x + δ) − ℓ(x) − δᵀ ∇ₓ ℓ(x)|,  δ ~ N(0, 0.1² I)

    Pixels are normalised as the network takes them. Qin et al. take the largest error over a box;
    the mean over noise needs no search. Draws of the noise until the error is below --rel-error.
    Qin et al., Adversarial Robustness through Local Linearization, NeurIPS 2019.
    """
    at, generator = Derivatives.of(net), net.generator()
    return mean_of_draws(net, lambda: _linearity_error(at, generator))


def _linearity_error(at: Derivatives, generator: torch.Generator) -> float:
    """Return the mean error of the linear approximation for one draw of noise on each image."""
    total, w = 0.0, at.weights
    for images, labels in at.batches(2):
        gradients, losses = _input_gradients(at, images, labels)
        noise = torch.randn(images.shape, generator=generator, dtype=images.dtype) * NOISE
        noise = noise.to(images)
        with torch.inference_mode():
            moved = cross_entropy(at.logits(w, images + noise), labels, reduction="none")
        linear = losses + (gradients * noise).flatten(1).sum(dim=1)
        total += float((moved - linear).abs().sum())
    return total / len(at.examples)


def _input_gradients(at: Derivatives, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient of each image's loss by its pixels, and the losses."""
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        losses = cross_entropy(at.logits(at.weights, x), labels, reduction="none")
        [gradients] = torch.autograd.grad(losses.sum(), x)
    return gradients, losses.detach()


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise Undefined("derivatives of the loss are beyond the numbers of a computer")
    return value
