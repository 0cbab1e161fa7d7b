"""Compute other measures of flatness: the Hessian's eigenvalue and trace, and PAC-Bayes sigma.

Hessian products are plain double backward passes of PyTorch, in chunks of images: no library is
needed for a product, and none would bound memory.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from gentool.common.json import finite
from gentool.numerics.lanczos import top_eigenvector
from gentool.sharpness.definitions import defines
from gentool.sharpness.noise import Noise
from gentool.sharpness.objective import Objective

TOLERANCE = 1e-5  # relative, of the top eigenvalue
PROBES = 32
DROP = 0.1  # of accuracy, at which PAC-Bayes sigma is taken
FLOOR = 0.001  # ε of the magnitude-aware noise
NOISE_ROUNDS = 8
HALVINGS = 24


@dataclass(frozen=True)
class Flatness:
    """Hold the measures of one network, each defined at the function that computes it."""

    top_eigenvalue: float | None
    trace: float | None
    trace_stderr: float | None
    sigma: float | None
    sigma_magnitude: float | None


def flatness(objective: Objective, seed: int) -> Flatness:
    """Compute all measures of flatness.

    Sigma is None if no noise up to 1e3 costs the accuracy; eigenvalue and trace are None if the
    Hessian overflows.
    """
    generator = torch.Generator().manual_seed(seed)
    trace, stderr = hessian_trace(objective, generator)
    return Flatness(
        hessian_top(objective, generator) if math.isfinite(trace) else None,
        finite(trace),
        finite(stderr),
        pac_bayes_sigma(objective, seed),
        pac_bayes_sigma_magnitude(objective, seed),
    )


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


@defines("hessian_top_eigenvalue")
def hessian_top(objective: Objective, generator: torch.Generator) -> float | None:
    """Largest eigenvalue of the Hessian of the training loss at w.

        λ_max(∇²L(f_w)), from below, by Lanczos iteration to a relative {TOLERANCE}

    Ghorbani et al., An Investigation into Neural Net Optimization, ICML 2019.
    """
    w = objective.network.weights

    def product(vector: Tensor) -> Tensor:
        result = hessian_product(objective, vector)
        if not result.isfinite().all():
            raise FloatingPointError("the Hessian overflows")
        return result

    try:
        v = top_eigenvector(product, w, generator, TOLERANCE).vector
    except FloatingPointError:
        return None  # told by the caller, as for every measure that does not exist
    v = v / v.norm()
    return float(v @ hessian_product(objective, v))


@defines("hessian_trace")
def hessian_trace(objective: Objective, generator: torch.Generator) -> tuple[float, float]:
    """Trace of that Hessian, with _stderr.

        E[vᵀ ∇²L v], v random signs, {PROBES} of them

    Hutchinson, A Stochastic Estimator of the Trace, 1990.
    """
    w = objective.network.weights
    products = []
    for _ in range(PROBES):
        signs = torch.randint(2, (len(w),), generator=generator).to(w) * 2 - 1
        products.append(float(signs @ hessian_product(objective, signs)))
    samples = torch.tensor(products, dtype=torch.float64)
    return float(samples.mean()), float(samples.std()) / math.sqrt(PROBES)


@defines("pac_bayes_sigma")
def pac_bayes_sigma(objective: Objective, seed: int) -> float | None:
    """Standard deviation of the noise that costs {DROP} of the training accuracy.

        σ with E_ν[error(f_{w+ν})] − error(f_w) = {DROP},  νᵢ ~ N(0, σ²)

    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    w = objective.network.weights
    return _sigma(objective, seed, lambda sigma: torch.full_like(w, sigma))


@defines("pac_bayes_sigma_magnitude")
def pac_bayes_sigma_magnitude(objective: Objective, seed: int) -> float | None:
    """The same with noise in proportion to each weight.

        νᵢ ~ N(0, σ² wᵢ² + ε²),  ε = {FLOOR}

    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    w = objective.network.weights
    return _sigma(objective, seed, lambda sigma: (sigma**2 * w.square() + FLOOR**2).sqrt())


def _sigma(objective: Objective, seed: int, scale: Callable[[float], Tensor]) -> float | None:
    """Return the σ at which Gaussian noise costs DROP of the accuracy, by bisection of log σ.

    `scale` gives the standard deviation of each parameter for a σ. The same draws serve every σ,
    so that the error is a function of σ. None if DROP is not reached between 1e-6 and 1e3.
    """
    noise = Noise(objective, seed)
    draws = [noise.draw() for _ in range(NOISE_ROUNDS)]

    def rise(sigma: float) -> float:
        return float(torch.cat([noise.rises(batch, scale(sigma))[1] for batch in draws]).mean())

    low, high = math.log(1e-6), math.log(1e3)
    if not rise(math.exp(low)) < DROP <= rise(math.exp(high)):
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rise(math.exp(middle)) >= DROP else (middle, high)
    return math.exp(low)
