"""Compute how often a measure orders two networks wrongly, in each environment and at worst.

The trap avoided: a mean over environments, in which those that a measure gets wrong are not seen.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from gentool.claims.hyperparameters import Neighbours

LARGEST_TEST_SET = 100_000
LEAST_WEIGHT = 0.5
EFFECTIVE_PAIRS = 12.0
QUANTILE = 90


@dataclass(frozen=True)
class Errors:
    """Hold the sign errors over some environments: mean, 90 % quantile and largest."""

    environments: int
    mean: float
    quantile90: float
    worst: float


@dataclass(frozen=True)
class SignError:
    """Hold the distribution of sign errors over environments: of all, and by what they change.

    `deciles` are the quantiles 0, 0.1, ..., 1; the interval is that of the mean. `left_out` are
    environments whose gaps are too close to tell apart. `test_images` are those that the weights
    assume, None for weights of 1.
    """

    environments: int
    mean: float
    quantile90: float
    worst: float
    deciles: tuple[float, ...]
    by_setting: dict[str, Errors]
    left_out: int
    test_images: int | None
    interval: tuple[float, float] | None = None
    resamples: int = 0


def test_images(errors: Iterable[float]) -> int | None:
    """Return the number of test images that all these errors are fractions of; None if none is.

    The smallest such number: at most the true one, so that weights made with it are never too high.
    """
    number = 1
    for error in set(errors):
        share = Fraction(error).limit_denominator(LARGEST_TEST_SET)
        if abs(float(share) - error) > 1e-12:
            return None
        number = math.lcm(number, share.denominator)
        if number > LARGEST_TEST_SET:
            return None
    return number if number > 1 else None


def weights(gap_differences: np.ndarray, images: int | None) -> np.ndarray:
    """Return the weight of each pair of networks: how surely their gaps differ.

        (max(0, 1 − 2 exp(−2n (Δ/2)²))² − 1/2)₊

    By Hoeffding's inequality for both networks, n their test images. Without n the weight is 1, and
    0 for equal gaps.
    Dziugaite et al., In Search of Robust Measures of Generalization, NeurIPS 2020, section 5.
    """
    apart = abs(gap_differences)
    if images is None:
        return (apart > 0).astype(float)
    sure = np.maximum(0, 1 - 2 * np.exp(-2 * images * (apart / 2) ** 2)) ** 2
    return np.maximum(0, sure - LEAST_WEIGHT)


def sign_error(
    pairs: Neighbours,
    agree: np.ndarray,
    gap_differences: np.ndarray,
    names: tuple[str, ...],
    images: int | None,
    ends: tuple[np.ndarray, np.ndarray],
    counts: np.ndarray | None = None,
) -> SignError | None:
    """Return the sign errors of a measure over environments, None where no gaps can be told apart.

        weighted mean over pairs of (1 − sign(μ − μ′) sign(g − g′)) / 2

    An environment is two recipes that differ in one setting, with all pairs of their seeds. It is
    left out where its pairs count for fewer than 12 of equal weight, (Σw)² / Σw², or of fewer than
    24 pairs for fewer than half. `agree` is the product of the signs of each pair, `ends` the
    recipes of its networks. With `counts`, of shape (resamples, recipes), the mean has an interval.
    Dziugaite et al., In Search of Robust Measures of Generalization, NeurIPS 2020.
    """
    weight = weights(gap_differences, images)
    size = int(pairs.environment.max()) + 1 if len(agree) else 0
    sums, squares, wrong, number = (
        np.bincount(pairs.environment, values, minlength=size)
        for values in (weight, weight**2, weight * (1 - agree) / 2, np.ones(len(agree)))
    )
    effective = np.divide(sums**2, squares, np.zeros(size), where=squares > 0)
    least = np.minimum(EFFECTIVE_PAIRS, number / 2)
    kept = (squares > 0) & (effective >= least * (1 - 1e-9))
    if not kept.any():
        return None
    errors = wrong[kept] / sums[kept]
    at = np.zeros(size, dtype=int)
    at[pairs.environment] = np.arange(len(agree))
    setting = pairs.setting[at[kept]]
    by_setting = {names[one]: _errors(errors[setting == one]) for one in np.unique(setting)}
    interval, resamples = None, 0
    if counts is not None and len(counts):
        first, second = (end[at[kept]] for end in ends)
        drawn = counts[:, first] * counts[:, second]
        total = drawn.sum(axis=1)
        means = (drawn @ errors)[total > 0] / total[total > 0]
        if len(means):
            low, high = np.percentile(means, (2.5, 97.5))
            interval, resamples = (float(low), float(high)), len(means)
    every = _errors(errors)
    return SignError(
        every.environments,
        every.mean,
        every.quantile90,
        every.worst,
        tuple(float(q) for q in np.percentile(errors, np.linspace(0, 100, 11))),
        by_setting,
        int(size - kept.sum()),
        images,
        interval,
        resamples,
    )


def _errors(errors: np.ndarray) -> Errors:
    worst = float(errors.max())
    return Errors(len(errors), float(errors.mean()), float(np.percentile(errors, QUANTILE)), worst)
