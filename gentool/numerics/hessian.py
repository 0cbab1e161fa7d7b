"""Multiply vectors by the Hessian of a mean over chunks of examples, by backward passes.

The trap avoided: a product through a new gradient spends a third of its time on the gradient, which
is the same for all vectors. Here its graph is made once for all vectors that are at hand, and kept
between calls where the examples are one chunk.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

Loss = Callable[[list[Tensor], Tensor, Tensor], Tensor]
"""What a chunk of examples adds to the mean loss, from the parameters, the images, the labels."""


class HessianProducts:
    """Compute H v of the sum of a loss over chunks of examples; call it, or `many` for several v.

    `parameters` are where the derivatives are taken; vectors are of the shape (P,) of all of them
    joined. `chunks` returns images and labels, chunk by chunk, as many as fit into memory with two
    backward passes; `is_one` says that there is only one. `watch` is called before each product of
    a chunk, and may raise to stop.
    """

    def __init__(
        self,
        loss: Loss,
        parameters: Sequence[Tensor],
        chunks: Callable[[], Iterable[tuple[Tensor, Tensor]]],
        *,
        is_one: bool,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        self.loss, self.chunks, self.is_one, self.watch = loss, chunks, is_one, watch
        self.parameters = [p.detach().clone().requires_grad_() for p in parameters]
        self.kept: list[Tensor] | None = None  # the gradient of the only chunk, with its graph

    def __call__(self, vector: Tensor) -> Tensor:
        """Return H v, shape (P,). Raise FloatingPointError if it overflows."""
        return self.many([vector])[0]

    def many(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """Return H v of each vector, with one gradient of each chunk for all of them."""
        totals: list[Tensor] = []
        with torch.enable_grad():
            for gradients in self._gradients():
                products = (self._product(gradients, vector) for vector in vectors)
                if totals:
                    for total, product in zip(totals, products, strict=True):
                        total += product
                else:
                    totals = list(products)
        if not all(math.isfinite(float(total.sum())) for total in totals):
            raise FloatingPointError("the Hessian overflows")
        return totals

    def _gradients(self) -> Iterator[list[Tensor]]:
        """Yield the gradient of each chunk, a tensor for each parameter, with its graph."""
        if self.kept is not None:
            yield self.kept
            return
        for images, labels in self.chunks():
            loss = self.loss(self.parameters, images, labels)
            gradients = torch.autograd.grad(
                loss, self.parameters, create_graph=True, materialize_grads=True
            )
            if self.is_one:
                self.kept = list(gradients)
            yield list(gradients)

    def _product(self, gradients: list[Tensor], vector: Tensor) -> Tensor:
        self.watch()
        parts = zip(gradients, vector.split([p.numel() for p in self.parameters]), strict=True)
        pairs = [(g, part.reshape(g.shape)) for g, part in parts if g.requires_grad]
        if not pairs:  # the loss is linear in all parameters
            return torch.zeros_like(vector)
        outputs, along = zip(*pairs, strict=True)
        products = torch.autograd.grad(
            outputs, self.parameters, along, retain_graph=True, materialize_grads=True
        )
        return torch.cat([product.flatten() for product in products])
