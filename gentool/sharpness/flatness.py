"""Other measures of flatness that share this machinery: the Hessian's, and PAC-Bayes sigma.

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

from gentool.lanczos import top_eigenvector
from gentool.sharpness.noise import Noise
from gentool.sharpness.objective import Objective

TOLERANCE = 1e-5  # relative, of the top eigenvalue
PROBES = 32
DROP = 0.1  # of accuracy, at which PAC-Bayes sigma is taken
FLOOR = 1e-3  # ε of the magnitude-aware noise
NOISE_ROUNDS = 8
HALVINGS = 24


@dataclass(frozen=True)
class Flatness:
    """Measures of one network; see their definitions in the table."""

    top_eigenvalue: float
    trace: float
    trace_stderr: float
    sigma: float | None
    sigma_magnitude: float | None


def flatness(objective: Objective, seed: int) -> Flatness:
    """All of them; sigma is None where no noise up to 1e3 costs the accuracy."""
    generator = torch.Generator().manual_seed(seed)
    trace, stderr = hessian_trace(objective, generator)
    w = objective.subject.weights
    return Flatness(
        hessian_top(objective, generator),
        trace,
        stderr,
        pac_bayes_sigma(objective, seed, lambda sigma: torch.full_like(w, sigma)),
        pac_bayes_sigma(objective, seed, lambda sigma: (sigma**2 * w.square() + FLOOR**2).sqrt()),
    )


def hessian_product(objective: Objective, vector: Tensor) -> Tensor:
    """H v, with H the Hessian at w of the mean loss over the whole set; shape (P,)."""
    point = objective.subject.weights.clone().requires_grad_()
    total = torch.zeros_like(vector)
    objective.spent.gradient += 2 * len(objective)
    for images, labels in objective.examples.batches(objective.images(2), objective.dtype):
        objective.watch()
        named = objective.subject.named(point)
        logits = functional_call(objective.subject.module, named, (images,))
        loss = cross_entropy(logits, labels, reduction="sum") / len(objective)
        [gradient] = torch.autograd.grad(loss, point, create_graph=True)
        total += torch.autograd.grad(gradient @ vector, point)[0]
    return total


def hessian_top(objective: Objective, generator: torch.Generator) -> float:
    """Largest eigenvalue of the Hessian, from below, to a relative TOLERANCE."""
    w = objective.subject.weights
    start = torch.randn(len(w), generator=generator, dtype=w.dtype).to(w.device)
    v = top_eigenvector(lambda q: hessian_product(objective, q), start, TOLERANCE)
    v = v / v.norm()
    return float(v @ hessian_product(objective, v))


def hessian_trace(objective: Objective, generator: torch.Generator) -> tuple[float, float]:
    """Trace of the Hessian by Hutchinson's estimator with random signs, and its standard error."""
    w = objective.subject.weights
    found = []
    for _ in range(PROBES):
        signs = torch.randint(2, (len(w),), generator=generator).to(w) * 2 - 1
        found.append(float(signs @ hessian_product(objective, signs)))
    samples = torch.tensor(found, dtype=torch.float64)
    return float(samples.mean()), float(samples.std()) / math.sqrt(PROBES)


def pac_bayes_sigma(
    objective: Objective, seed: int, scale: Callable[[float], Tensor]
) -> float | None:
    """The σ at which Gaussian noise costs 0.1 of the accuracy, by bisection of log σ.

    `scale` gives the standard deviation of each parameter for a σ. The same draws serve every σ,
    so that the error is a function of σ. None where 0.1 is not reached between 1e-6 and 1e3.
    """
    noise = Noise(objective, seed)
    draws = [noise.draw() for _ in range(NOISE_ROUNDS)]

    def rise(sigma: float) -> float:
        return float(torch.cat([noise.rises(one, scale(sigma))[1] for one in draws]).mean())

    low, high = math.log(1e-6), math.log(1e3)
    if not rise(math.exp(low)) < DROP <= rise(math.exp(high)):
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rise(math.exp(middle)) >= DROP else (middle, high)
    return math.exp(low)
