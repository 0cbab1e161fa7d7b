"""Curves of expected sharpness against KL: averaged over seeds, and compared at the same KL."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from gentool.claims.points import TOLD_APART
from gentool.claims.verdict import Missing
from gentool.common.json import Json
from gentool.records.measure_file import Record, lookup


@dataclass(frozen=True)
class Curve:
    """Expected sharpness and its standard error over log10 KL, which rises."""

    log10_kl: np.ndarray  # (k,)
    value: np.ndarray  # (k,)
    stderr: np.ndarray  # (k,)
    seeds: int = 1

    def at(self, log10_kl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value and standard error, interpolated; the ends beyond them."""
        found = (np.interp(log10_kl, self.log10_kl, y) for y in (self.value, self.stderr))
        return tuple(found)


@dataclass(frozen=True)
class Comparison:
    """At how many KLs one curve is above and below another, by more than chance."""

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


def mean_curve(networks: list[Record]) -> Curve:
    """The mean of the curves of several seeds, over the KLs that all of them reach.

    Its standard errors are those of the mean of three seeds or more; of fewer, the sampling's.
    """
    curves = [_curve(network) for network in networks]
    grid = _common(curves)
    values, stderrs = zip(*(curve.at(grid) for curve in curves), strict=True)
    if len(curves) >= 3:
        stderr = np.std(values, axis=0, ddof=1) / len(curves) ** 0.5
    else:
        stderr = np.sqrt(np.square(stderrs).sum(axis=0)) / len(curves)
    return Curve(grid, np.mean(values, axis=0), stderr, len(curves))


def compare_curves(size: int, true: Curve, random: Curve) -> Comparison:
    """Where the curve with random labels lies with respect to that with true labels.

    Two standard errors tell two values apart; of k pairs of values as many more as keep the chance
    that one of them is told apart by mistake what it is for one pair (Bonferroni).
    """
    grid = _common([true, random])
    (a, a_stderr), (b, b_stderr) = random.at(grid), true.at(grid)
    normal = NormalDist()
    legend_entries = -normal.inv_cdf(normal.cdf(-TOLD_APART) / len(grid))
    difference, near = a - b, legend_entries * np.hypot(a_stderr, b_stderr)
    above, below = (int(np.sum(side > near)) for side in (difference, -difference))
    median = float(np.median(difference))
    return Comparison(size, len(grid), above, below, median, (true.seeds, random.seeds))


def _common(curves: list[Curve]) -> np.ndarray:
    """The KLs of all curves within the range of all, its ends included.

    Where the ranges share nothing, the two ends that face each other.
    """
    low = max(curve.log10_kl[0] for curve in curves)
    high = min(curve.log10_kl[-1] for curve in curves)
    kls = np.concatenate([curve.log10_kl for curve in curves])
    return np.unique([*kls[(kls >= low) & (kls <= high)], low, high])


def _curve(network: Record) -> Curve:
    """The curve in a record; points that overflowed are null and left out."""
    rows = lookup(network, "expected_sharpness.curve")
    points = sorted(
        (np.log10(row["kl"]), row["value"], row.get("stderr") or 0.0)
        for row in rows
        if row.get("value") is not None and row.get("kl")
    )
    if not points:
        raise Missing(f"the curve of {network['checkpoint'].get('file')} has no point")
    return Curve(*np.array(points).T)
