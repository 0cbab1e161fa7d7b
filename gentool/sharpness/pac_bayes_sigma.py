"""Find the noise that costs a tenth of the training accuracy, with its errors.

Two errors are reported apart. The bisection, on draws that all noise levels share, leaves a bracket
around the crossing of these draws. The draws are a sample: the crossing of others differs, by the
standard error of the rise divided by its slope.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gentool.sharpness.definitions import defines
from gentool.sharpness.noise import Draws, Noise
from gentool.sharpness.objective import Objective

DROP = 0.1  # of accuracy, at which sigma is taken
FLOOR = 0.001  # ε of the magnitude-aware noise
NOISE_ROUNDS = 8
HALVINGS = 24
LOWEST, HIGHEST = 1e-6, 1e3
SLOPE_STEP = 0.1  # of log σ, to either side, over which the slope of the error is taken
MARGIN = 1.2  # draws beyond those that the first ones ask for
MOST_DRAWS = 20_000

Scale = Callable[[float], Tensor]
"""From σ to the standard deviation of each parameter, (P,)."""


@dataclass(frozen=True)
class NoiseLevel:
    """Hold σ with its standard error from the draws, and the bracket of the bisection."""

    value: float
    stderr: float
    low: float
    high: float
    draws: int


@defines("pac_bayes_sigma", "jiang2020")
def pac_bayes_sigma(
    objective: Objective, seed: int, rel_error: float | None = None
) -> NoiseLevel | None:
    """Standard deviation of the noise that costs {DROP} of the training accuracy, with _stderr.

        σ with E_ν[error(f_{w+ν})] − error(f_w) = {DROP},  νᵢ ~ N(0, σ²)

    By bisection on common random numbers. Jiang et al. search the σ up to a tolerance of the drop.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    w = objective.network.weights
    return _level(objective, seed, lambda sigma: torch.full_like(w, sigma), rel_error)


@defines("pac_bayes_sigma_magnitude", "jiang2020")
def pac_bayes_sigma_magnitude(
    objective: Objective, seed: int, rel_error: float | None = None
) -> NoiseLevel | None:
    """The same with noise in proportion to each weight, with _stderr.

        νᵢ ~ N(0, σ² wᵢ² + ε²),  ε = {FLOOR}

    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    w = objective.network.weights
    return _level(
        objective, seed, lambda sigma: (sigma**2 * w.square() + FLOOR**2).sqrt(), rel_error
    )


@defines("pac_bayes_sigma_as_published", "jiang2020")
def pac_bayes_sigma_as_published(level: NoiseLevel) -> NoiseLevel:
    """The number that public code reports as σ: it passes σ² as the deviation of the noise.

        √pac_bayes_sigma,  νᵢ ~ N(0, σ⁴)

    The code is that of Dziugaite et al. (2020), for comparison with its numbers. They bisect on
    fresh draws to 0.01 of accuracy.
    Dziugaite et al., In Search of Robust Measures of Generalization, NeurIPS 2020.
    """
    root = math.sqrt(level.value)
    return NoiseLevel(
        root, level.stderr / (2 * root), math.sqrt(level.low), math.sqrt(level.high), level.draws
    )


@defines("pac_bayes_sigma_magnitude_as_published", "jiang2020")
def pac_bayes_sigma_magnitude_as_published(
    objective: Objective, seed: int, rel_error: float | None = None
) -> NoiseLevel | None:
    """The number that public code reports as σ′: it passes the variance as the deviation.

        νᵢ ~ N(0, (σ² wᵢ² + ε²)²),  ε = {FLOOR}

    Dziugaite et al., In Search of Robust Measures of Generalization, NeurIPS 2020.
    """
    w = objective.network.weights
    return _level(objective, seed, lambda sigma: sigma**2 * w.square() + FLOOR**2, rel_error)


def _level(
    objective: Objective, seed: int, scale: Scale, rel_error: float | None
) -> NoiseLevel | None:
    """Return the σ at which Gaussian noise costs DROP of the accuracy; None if none does.

    With `rel_error` the number of draws follows from a first estimate, on draws of its own: an
    estimate that stopped by its own error would be biased.
    """
    noise = Noise(objective, seed)
    level = _crossing(noise, scale, NOISE_ROUNDS)
    if level is None or rel_error is None or level.stderr <= rel_error * level.value:
        return level
    times = MARGIN * (level.stderr / (rel_error * level.value)) ** 2
    most = MOST_DRAWS // noise.draws_per_chunk
    return _crossing(noise, scale, min(math.ceil(times * NOISE_ROUNDS), most)) or level


def _crossing(noise: Noise, scale: Scale, rounds: int) -> NoiseLevel | None:
    """Bisect log σ on some rounds of draws; None if DROP is not reached in LOWEST to HIGHEST."""
    draws = [noise.draw() for _ in range(rounds)]

    def rise(log_sigma: float) -> Tensor:
        return _rises(noise, draws, scale(math.exp(log_sigma)))

    low, high = math.log(LOWEST), math.log(HIGHEST)
    if not float(rise(low).mean()) < DROP <= float(rise(high).mean()):
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if float(rise(middle).mean()) >= DROP else (middle, high)
    samples = rise(low)
    slope = float(rise(low + SLOPE_STEP).mean() - rise(low - SLOPE_STEP).mean()) / (2 * SLOPE_STEP)
    error = float(samples.std()) / math.sqrt(len(samples))
    sigma = math.exp(low)
    stderr = sigma * error / slope if slope > 0 else math.inf
    return NoiseLevel(sigma, stderr, sigma, math.exp(high), len(samples))


def _rises(noise: Noise, draws: list[Draws], scale: Tensor) -> Tensor:
    """Return the rise of the error at every draw, shape (k,)."""
    return torch.cat([noise.rises(batch, scale)[1] for batch in draws])
