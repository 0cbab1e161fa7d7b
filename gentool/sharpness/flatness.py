"""Compute other measures of flatness: the Hessian's eigenvalue and trace.

Hessian products are double backward passes of PyTorch, in chunks of images: no library is needed
for a product, and none would bound memory. Trace and eigenvalue share the gradient's graph.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from gentool.numerics.hessian import HessianProducts
from gentool.numerics.lanczos import top_eigenvector
from gentool.numerics.xtrace import TraceEstimate, xtrace
from gentool.sharpness.definitions import defines
from gentool.sharpness.objective import Objective

TOLERANCE = 1e-5  # relative, of the top eigenvalue
PRODUCTS = 32


def hessian_products(objective: Objective) -> HessianProducts:
    """Return products with the Hessian at w of the mean loss over the whole set.

    They raise FloatingPointError if the Hessian overflows.
    """
    network, size = objective.network, objective.images_per_chunk(2)

    def loss(parameters: list[Tensor], images: Tensor, labels: Tensor) -> Tensor:
        named = dict(zip(network.names, parameters, strict=True))
        logits = functional_call(network.module, named, (images,))
        return cross_entropy(logits, labels, reduction="sum") / len(objective)

    return HessianProducts(
        loss,
        list(network.named(network.weights).values()),
        lambda: objective.examples.batches(size, objective.dtype),
        is_one=size >= len(objective),
        watch=objective.watch,
    )


def hessian_product(objective: Objective, vector: Tensor) -> Tensor:
    """Return H v, shape (P,), with H the Hessian at w of the mean loss over the whole set."""
    return hessian_products(objective)(vector)


@dataclass(frozen=True)
class TopEigenvalue:
    """Hold the eigenvalue λ with ‖H v − λ v‖ / |λ| of its unit vector v, and its relative error.

    The largest eigenvalue is above λ by the `error` at most, but for a small probability.
    """

    value: float
    residual: float
    error: float
    products: int


@defines("hessian_top_eigenvalue", "hessian")
def hessian_top(
    objective: Objective, generator: torch.Generator, products: HessianProducts | None = None
) -> TopEigenvalue | None:
    """Largest eigenvalue of the Hessian of the training loss at w.

        λ_max(∇²L(f_w)), from below, by Lanczos iteration to a relative {TOLERANCE}

    Ghorbani et al., An Investigation into Neural Net Optimization, ICML 2019.
    """
    products, w = products or hessian_products(objective), objective.network.weights
    try:
        top = top_eigenvector(products, w, generator, TOLERANCE)
        v = top.vector / top.vector.norm()
        image = products(v)
    except FloatingPointError:
        return None  # told by the caller, as for every measure that does not exist
    value = float(v @ image)
    residual = float((image - value * v).norm()) / max(abs(value), 1e-300)
    return TopEigenvalue(value, residual, top.error, top.steps + 1)


@defines("hessian_trace", "hessian")
def hessian_trace(
    objective: Objective,
    generator: torch.Generator,
    rel_error: float | None = None,
    products: HessianProducts | None = None,
) -> TraceEstimate | None:
    """Trace of that Hessian, with _stderr.

        tr(∇²L(f_w)) by XTrace, leave-one-out, of {PRODUCTS} products (more with --rel-error)

    Unbiased; exact where the network has no more parameters than products. See `numerics.xtrace`.
    Epperly, Tropp and Webber, XTrace, SIAM J. Matrix Anal. Appl. 2024.
    """
    products, w = products or hessian_products(objective), objective.network.weights
    try:
        return xtrace(products, w, generator, PRODUCTS, rel_error)
    except FloatingPointError:
        return None  # told by the caller, as for every measure that does not exist
