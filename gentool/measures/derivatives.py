"""Differentiate the canonical network: products with matrices of second derivatives, gradients.

Everything is in float64, over all images that the network was trained on, in chunks of images so
that memory is bounded. w is the vector of all weights and biases of the canonical network, layer
by layer; ℓ is the cross-entropy of an image and L its mean.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.functional import cross_entropy

from gentool.data.examples import Examples
from gentool.measures.measured import Measured, Undefined
from gentool.networks.canonical import Network
from gentool.networks.class_logits import class_logits
from gentool.numerics.hessian import HessianProducts
from gentool.numerics.memory import memory_budget

Product = Callable[[Tensor], Tensor]
BEYOND = "derivatives of the loss are beyond the numbers of a computer"


class Derivatives:
    """Hold a canonical network as a function of its parameters, and its training images.

    At most `most_images` of them are computed together.
    """

    def __init__(
        self, network: Network, examples: Examples, most_images: int | None = None
    ) -> None:
        self.network, self.examples, self.most_images = network, examples, most_images
        self.modules = [_not_in_place(layer.module) for layer in network.layers]
        self.names = [
            (i, name)
            for i, layer in enumerate(network.layers)
            if layer.has_weight
            for name, _ in self.modules[i].named_parameters()
        ]
        self.parameters = [
            self.modules[i].get_parameter(name).detach().clone() for i, name in self.names
        ]

    @classmethod
    def of(cls, net: Measured) -> "Derivatives":
        """Return the derivatives of a measured network, made once; raise Undefined without data."""
        if "derivatives" not in net.shared:
            net.check_size()
            net.log_norms(layer.frobenius for layer in net.layers)  # raises for NaN and infinity
            net.shared["derivatives"] = cls(net.network, net.trained_on, net.most_images)
        return net.shared["derivatives"]

    @property
    def weights(self) -> Tensor:
        """Return w, shape (P,)."""
        return torch.cat([p.flatten() for p in self.parameters])

    @cached_property
    def blocks(self) -> list[slice]:
        """Return the place of each weight layer, its weight and its bias, in w."""
        sizes: dict[int, int] = {}
        for (i, _), parameter in zip(self.names, self.parameters, strict=True):
            sizes[i] = sizes.get(i, 0) + parameter.numel()
        ends = torch.tensor(list(sizes.values())).cumsum(0).tolist()
        return [slice(end - size, end) for end, size in zip(ends, sizes.values(), strict=True)]

    def logits(self, w: Tensor, images: Tensor) -> Tensor:
        """Return the logits of images, (n, classes), with the parameters w."""
        sizes = [p.numel() for p in self.parameters]
        pairs = zip(w.split(sizes), self.parameters, strict=True)
        return self._logits_of([part.reshape(p.shape) for part, p in pairs], images)

    def _logits_of(self, parameters: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the logits of images with each parameter as a tensor of its own."""
        parts = iter(parameters)
        for layer, module in zip(self.network.layers, self.modules, strict=True):
            if layer.has_weight:
                named = {name: next(parts) for name, _ in module.named_parameters()}
                images = functional_call(module, named, (images,))
            else:
                images = module(images)
        return class_logits(images)

    def batches(self, copies: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels in chunks; of each image the network is held `copies` times."""
        return self.examples.batches(self.chunk(copies), torch.float64)

    def chunk(self, copies: int = 1) -> int:
        """Return how many images are computed together."""
        layers = self.network.layers
        numbers = math.prod(layers[0].in_shape) + sum(
            math.prod(layer.out_shape) for layer in layers
        )
        budget = memory_budget(self.network.device) // 8
        most = self.most_images or len(self.examples)
        return max(1, min(len(self.examples), most, budget // (8 * copies * numbers)))

    def hessian(self, v: Tensor) -> Tensor:
        """Return ∇²L(w) v, by a backward pass through the gradient."""
        try:
            return self._hessian(v)
        except FloatingPointError:
            raise Undefined(BEYOND) from None

    @cached_property
    def _hessian(self) -> HessianProducts:
        """Return products with ∇²L(w), which share the gradient's graph."""

        def loss(parameters: list[Tensor], images: Tensor, labels: Tensor) -> Tensor:
            logits = self._logits_of(parameters, images)
            return cross_entropy(logits, labels, reduction="sum") / len(self.examples)

        is_one = self.chunk(2) >= len(self.examples)
        return HessianProducts(loss, self.parameters, lambda: self.batches(2), is_one=is_one)

    def gauss_newton(self, v: Tensor) -> Tensor:
        """Return G v, with G = 1/m Σ Jᵀ (diag p − p pᵀ) J, J the derivative of the logits."""
        total = torch.zeros_like(v)
        for images, _ in self.batches(2):
            logits, back, change = self._logits_and_change(images, v)
            p = logits.softmax(dim=1)
            of_loss = p * (change - (p * change).sum(dim=1, keepdim=True))
            total += back(of_loss)
        return self._finite(total / len(self.examples))

    def empirical_fisher(self, v: Tensor) -> Tensor:
        """Return C v, with C = 1/m Σ g gᵀ of the gradients g of each image's loss."""
        total = torch.zeros_like(v)
        for images, labels in self.batches(2):
            logits, back, change = self._logits_and_change(images, v)
            slope = logits.softmax(dim=1)
            slope[torch.arange(len(labels)), labels] -= 1
            total += back(slope * (slope * change).sum(dim=1, keepdim=True))
        return self._finite(total / len(self.examples))

    def gradient(self) -> Tensor:
        """Return ∇L(w), shape (P,)."""
        w, total = self.weights.requires_grad_(), torch.zeros_like(self.weights)
        for images, labels in self.batches():
            with torch.enable_grad():
                loss = cross_entropy(self.logits(w, images), labels, reduction="sum")
                total += torch.autograd.grad(loss, w)[0]
        return self._finite(total / len(self.examples))

    def image_gradients(
        self, images: Tensor, directions: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return for each image the gradient of directions · logits with respect to w: (n, P).

        `directions` gives them, (n, classes), from the logits, (n, classes), returned beside.
        """
        w = self.weights
        along = directions(self.logits(w, images)).detach()

        def one(image: Tensor, direction: Tensor) -> Tensor:
            return torch.func.grad(lambda u: self.logits(u, image[None])[0] @ direction)(w)

        return vmap(one)(images, along), along

    def gradient_chunk(self) -> int:
        """Return for how many images gradients are held together."""
        budget = memory_budget(self.network.device) // 4
        return max(1, min(self.chunk(4), budget // (8 * len(self.weights))))

    def _logits_and_change(self, images: Tensor, v: Tensor) -> tuple[Tensor, Product, Tensor]:
        """Return logits, the product of their change with Jᵀ, and J v, their change along v.

        Jᵀ u is linear in u, and its derivative along v is J v: backward passes alone.
        """
        w = self.weights.requires_grad_()
        with torch.enable_grad():
            logits = self.logits(w, images)
            u = torch.zeros_like(logits, requires_grad=True)
            [back] = torch.autograd.grad(logits, w, u, create_graph=True)
            [change] = torch.autograd.grad(back @ v, u, retain_graph=True)

        def transposed(direction: Tensor) -> Tensor:
            return torch.autograd.grad(logits, w, direction)[0]

        return logits.detach(), transposed, change

    def _finite(self, result: Tensor) -> Tensor:
        if not bool(result.isfinite().all()):
            raise Undefined(BEYOND)
        return result


def _not_in_place(module: nn.Module) -> nn.Module:
    """Return a copy of a layer that leaves its input as it is."""
    module = copy.deepcopy(module)
    if getattr(module, "inplace", False):
        module.inplace = False
    return module
