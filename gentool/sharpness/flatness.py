"""Compute other measures of flatness: the Hessian's eigenvalue and trace.

Hessian products are plain double backward passes of PyTorch, in chunks of images: no library is
needed for a product, and none would bound memory.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from gentool.numerics.lanczos import top_eigenvector
from gentool.numerics.xtrace import TraceEstimate, xtrace
from gentool.sharpness.definitions import defines
from gentool.sharpness.objective import Objective

TOLERANCE = 1e-5  # relative, of the top eigenvalue
PRODUCTS = 32


def hessian_product(objective: Objective, vector: Tensor) -> Tensor:
    """Return H v, shape (P,), with H the Hessian at w of the mean loss over the whole set."""
    point = objective.network.weights.clone().requires_grad_()
    total = torch.zeros_like(vector)
    objective.spent.gradient += 2 * len(objective)
    for images, labels in objective.examples.batches(
        objective.images_per_chunk(2), objective.dtype
    ):
        objective.watch()
        named = objective.network.named(point)
        logits = functional_call(objective.network.module, named, (images,))
        loss = cross_entropy(logits, labels, reduction="sum") / len(objective)
        [gradient] = torch.autograd.grad(loss, point, create_graph=True)
        total += torch.autograd.grad(gradient @ vector, point)[0]
    return total


def finite_product(objective: Objective, vector: Tensor) -> Tensor:
    """Return H v; raise FloatingPointError if the Hessian overflows."""
    result = hessian_product(objective, vector)
    if not result.isfinite().all():
        raise FloatingPointError("the Hessian overflows")
    return result


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
def hessian_top(objective: Objective, generator: torch.Generator) -> TopEigenvalue | None:
    """Largest eigenvalue of the Hessian of the training loss at w.

        λ_max(∇²L(f_w)), from below, by Lanczos iteration to a relative {TOLERANCE}

    Ghorbani et al., An Investigation into Neural Net Optimization, ICML 2019.
    """
    w = objective.network.weights
    try:
        top = top_eigenvector(lambda q: finite_product(objective, q), w, generator, TOLERANCE)
        v = top.vector / top.vector.norm()
        image = finite_product(objective, v)
    except FloatingPointError:
        return None  # told by the caller, as for every measure that does not exist
    value = float(v @ image)
    residual = float((image - value * v).norm()) / max(abs(value), 1e-300)
    return TopEigenvalue(value, residual, top.error, top.steps + 1)


@defines("hessian_trace", "hessian")
def hessian_trace(
    objective: Objective, generator: torch.Generator, rel_error: float | None = None
) -> TraceEstimate | None:
    """Trace of that Hessian, with _stderr.

        tr(∇²L(f_w)) by XTrace, leave-one-out, of {PRODUCTS} products (more with --rel-error)

    Unbiased; exact where the network has no more parameters than products. See `numerics.xtrace`.
    Epperly, Tropp and Webber, XTrace, SIAM J. Matrix Anal. Appl. 2024.
    """
    w = objective.network.weights
    try:
        return xtrace(lambda v: finite_product(objective, v), w, generator, PRODUCTS, rel_error)
    except FloatingPointError:
        return None  # told by the caller, as for every measure that does not exist
