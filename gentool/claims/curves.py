"""Average curves of expected sharpness against KL over seeds, and compare them at the same KL."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from gentool.claims.points import STDERRS_APART, check_seeds
from gentool.claims.verdict import Missing
from gentool.common.json import Json
from gentool.records.averaging import FEWEST_FOR_SD
from gentool.records.measure_file import Record, lookup


@dataclass(frozen=True)
class SharpnessCurve:
    """Hold expected sharpness and its standard error at rising values of log10 KL."""

    log10_kl: np.ndarray  # (k,)
    value: np.ndarray  # (k,)
    stderr: np.ndarray  # (k,)
    seeds: int = 1

    def at(self, log10_kl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Interpolate the value and its standard error; constant beyond the ends."""
        value, stderr = (np.interp(log10_kl, self.log10_kl, y) for y in (self.value, self.stderr))
        return value, stderr


@dataclass(frozen=True)
class Comparison:
    """Count the KLs at which random labels lie above and below true ones, by more than chance."""

    size: int
    kls: int
    above: int
    below: int
    median_difference: float
    seeds: tuple[int, int]

    @property
    def sign(self) -> int:
        return -1 if self.below else int(self.above > 0)

    def to_json(self) -> Json:
        return {
            "subset": self.size,
            "kls": self.kls,
            "above": self.above,
            "below": self.below,
            "median_difference": self.median_difference,
            "seeds": {"true": self.seeds[0], "random": self.seeds[1]},
        }


def mean_curve(networks: list[Record]) -> SharpnessCurve:
    """Return the mean of the curves of several seeds, over the KLs that all of them reach.

    Of three seeds or more the standard errors are those of their mean; of fewer, the sampling's.
    Raise Missing if the networks differ in more than their seed.
    """
    check_seeds(networks, "expected_sharpness.curve")
    curves = [_curve(network) for network in networks]
    grid = _shared_kls(curves)
    values, stderrs = zip(*(curve.at(grid) for curve in curves), strict=True)
    if len(curves) >= FEWEST_FOR_SD:
        stderr = np.std(values, axis=0, ddof=1) / len(curves) ** 0.5
    else:
        stderr = np.sqrt(np.square(stderrs).sum(axis=0)) / len(curves)
    return SharpnessCurve(grid, np.mean(values, axis=0), stderr, len(curves))


def compare_curves(size: int, true: SharpnessCurve, random: SharpnessCurve) -> Comparison:
    """Compare the curve with random labels with the one with true labels, at every shared KL.

    Two values differ where they are two standard errors apart, or more of them where many KLs are
    compared: with Bonferroni's correction the chance of a false difference is that of one pair.
    """
    grid = _shared_kls([true, random])
    (a, a_stderr), (b, b_stderr) = random.at(grid), true.at(grid)
    normal = NormalDist()
    stderrs_apart = -normal.inv_cdf(normal.cdf(-STDERRS_APART) / len(grid))
    difference, threshold = a - b, stderrs_apart * np.hypot(a_stderr, b_stderr)
    above, below = (int(np.sum(side > threshold)) for side in (difference, -difference))
    median = float(np.median(difference))
    return Comparison(size, len(grid), above, below, median, (true.seeds, random.seeds))


def _shared_kls(curves: list[SharpnessCurve]) -> np.ndarray:
    """Return log10 of the KLs of all curves within the range that all share, ends included.

    Where the ranges do not overlap, return the two ends that face each other.
    """
    low = max(curve.log10_kl[0] for curve in curves)
    high = min(curve.log10_kl[-1] for curve in curves)
    kls = np.concatenate([curve.log10_kl for curve in curves])
    return np.unique([*kls[(kls >= low) & (kls <= high)], low, high])


def _curve(network: Record) -> SharpnessCurve:
    """Return the curve in a record, without its points of value null, which overflowed.

    Raise Missing if no point is left.
    """
    rows = lookup(network, "expected_sharpness.curve")
    points = sorted(
        (np.log10(row["kl"]), row["value"], row.get("stderr") or 0.0)
        for row in rows
        if row.get("value") is not None and row.get("kl")
    )
    if not points:
        raise Missing(f"the curve of {network['checkpoint'].get('file')} has no point")
    return SharpnessCurve(*np.array(points).T)
