"""Bound the test error of a network with noise in its weights, by a PAC-Bayes bound that holds.

Unlike the right-hand side of the paper's equation (5), every step is a theorem: the loss is the
0-1 loss, the prior depends on no training image, its scale comes from a fixed grid by a union
bound, and the sampling of the noise has its own term.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from gentool.common.json import Json
from gentool.sharpness.definitions import defines
from gentool.sharpness.noise import Draws, Noise
from gentool.sharpness.objective import Objective

PRIOR_SCALES = tuple(2.0 ** (-k / 2) for k in range(-4, 33))  # λ, fixed before any data: 4 to 2⁻¹⁶
PILOT_DRAWS = 64  # to choose the noise, and not used in the bound
DRAWS = 1024
SAMPLING_SHARE = 0.1  # of δ, for the sampling of the noise


@dataclass(frozen=True)
class ErrorBound:
    """Hold the bound with all that it follows from.

    `prior` is the name of the centre. `sampled_error` is the mean training error of the draws,
    `training_error` its upper bound; `draws` and `images` are n and m of the formula.
    """

    bound: float
    prior: str
    prior_scale: float
    noise_scale: float
    kl: float
    sampled_error: float
    training_error: float
    draws: int
    images: int
    delta: float

    def to_json(self) -> Json:
        return asdict(self)


@dataclass(frozen=True)
class _Prior:
    """Hold the prior N(c, λ² I) that is nearest to a posterior, and the divergence from it."""

    name: str
    scale: float
    kl: float


@defines("pac_bayes_error_bound")
def error_bound(
    objective: Objective,
    centres: Mapping[str, Tensor],
    delta: float,
    most_draws: int = DRAWS,
    seed: int = 0,
) -> ErrorBound:
    """Bound of the test error under weight noise N(0, s²); it holds with probability 1 − δ.

        kl⁻¹(kl⁻¹(ê, ln(10/δ)/n), (KL(N(w, s²I) ‖ N(c, λ²I)) + ln(2 · 37 k √m / (0.9 δ))) / m)

    kl⁻¹(q, b) is the largest p with q ln(q/p) + (1−q) ln((1−q)/(1−p)) ≤ b. ê is the mean error of n
    draws of the noise, each on a mini-batch of the training set; the inner kl⁻¹ bounds the training
    error under noise (Chernoff), but for a probability of δ/10. The outer one is the bound of
    Seeger, with Maurer's constant, for a prior that depends on no image: its centre c is the
    initial weights (where they are known) or 0, k centres in all, its scale λ one of
    37, the powers of √2 from 2⁻¹⁶ to 4; a union bound lets all of them be tried. s is one of these
    too, chosen by other draws.
    The KL term is (P (s²/λ² − 1 − ln(s²/λ²)) + ‖w − c‖²/λ²) / 2 for P parameters.

    What it bounds is the error on new data of the network with noise drawn anew for each image, if
    the m training images are independent draws from the same distribution. `centres` are those of
    the prior, by name, each of shape (P,). Langford and Caruana (NIPS 2001) bounded networks so,
    and Maurer (2004) has the constant.
    Dziugaite and Roy, Computing Nonvacuous Generalization Bounds, UAI 2017.
    """
    noise, m, w = Noise(objective, seed), len(objective), objective.network.weights
    each = (1 - SAMPLING_SHARE) * delta / (len(PRIOR_SCALES) * len(centres))
    squares = {
        name: float((w.double() - centre.to(w.device).double()).square().sum())
        for name, centre in centres.items()
    }
    pilot = [noise.draw() for _ in range(math.ceil(PILOT_DRAWS / noise.draws_per_chunk))]
    of_scale = {}
    for scale in PRIOR_SCALES:
        errors = [_errors(noise, draws, scale) for draws in pilot]
        prior = _nearest_prior(squares, len(w), scale)
        mean = float(torch.cat(errors).mean())
        of_scale[scale] = _outer(mean, prior.kl, m, each)
    s = min(of_scale, key=of_scale.get)
    prior = _nearest_prior(squares, len(w), s)
    errors = torch.empty(0)
    while len(errors) < min(DRAWS, most_draws):
        errors = torch.cat([errors, _errors(noise, noise.draw(), s)])
    n, sampled = len(errors), float(errors.mean())
    training_error = kl_inverse(sampled, math.log(1 / (SAMPLING_SHARE * delta)) / n)
    return ErrorBound(
        bound=_outer(training_error, prior.kl, m, each),
        prior=prior.name,
        prior_scale=prior.scale,
        noise_scale=s,
        kl=prior.kl,
        sampled_error=sampled,
        training_error=training_error,
        draws=n,
        images=m,
        delta=delta,
    )


def kl_inverse(q: float, budget: float) -> float:
    """Return the largest p in [q, 1] with kl(q ‖ p) ≤ budget, rounded up; by bisection."""
    low, high = q, 1.0
    if kl_of_errors(q, high) <= budget:
        return high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if kl_of_errors(q, middle) <= budget else (low, middle)
    return high


def kl_of_errors(q: float, p: float) -> float:
    """Return the divergence of two coins, q ln(q/p) + (1−q) ln((1−q)/(1−p)); infinite if p is 1."""
    ones = q * math.log(q / p) if q > 0 else 0.0
    if q >= 1:
        return ones
    return math.inf if p >= 1 else ones + (1 - q) * (math.log1p(-q) - math.log1p(-p))


def _outer(error: float, kl: float, m: int, delta: float) -> float:
    """Return the bound of Seeger and Maurer at one prior, which fails with probability delta."""
    return kl_inverse(min(error, 1.0), (kl + math.log(2 * math.sqrt(m) / delta)) / m)


def _nearest_prior(squares: Mapping[str, float], size: int, s: float) -> _Prior:
    """Return the prior with the least KL from N(w, s² I); `squares` are ‖w − c‖² by name."""
    priors = []
    for name, square in squares.items():
        for scale in PRIOR_SCALES:
            ratio = (s / scale) ** 2
            kl = (size * (ratio - 1 - math.log(ratio)) + square / scale**2) / 2
            priors.append(_Prior(name, scale, kl))
    return min(priors, key=lambda prior: prior.kl)


def _errors(noise: Noise, draws: Draws, s: float) -> Tensor:
    """Return the error of each draw on its mini-batch, (k,), with noise of one scale s."""
    w = noise.objective.network.weights
    _, rises = noise.rises(draws, torch.full_like(w, s))
    return rises + draws.errors_before.to(rises)
