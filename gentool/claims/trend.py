"""Test whether a value rises with the size: Kendall's tau over all pairs of sizes, and its p-value.

The trap avoided here: single runs are noisy, so that "every step rises" fails on true trends, also
on the paper's own (its gap of the l2 norm falls by 1 % in the last step), and "the last is above
the first" holds by luck.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import factorial

from gentool.claims.points import Point, sign
from gentool.claims.verdict import Missing, Ruling, Verdict

LEVEL = 0.05
FEWEST_SIZES = 3


@dataclass(frozen=True)
class Trend:
    """Count the pairs of sizes that rise and fall; pairs too close to tell apart do neither."""

    sizes: int
    rising: int
    falling: int

    @property
    def pairs(self) -> int:
        return self.sizes * (self.sizes - 1) // 2

    @property
    def tau(self) -> float:
        return (self.rising - self.falling) / self.pairs

    @property
    def p_rising(self) -> float:
        return p_value(self.sizes, self.rising - self.falling)

    def reversed(self) -> "Trend":
        return Trend(self.sizes, self.falling, self.rising)


def rises(points: list[Point]) -> Verdict:
    """Judge the claim that the value rises with x.

    Holds where tau > 0 with a one-sided exact p of at most 0.05, fails where at least as many pairs
    fall as rise; in between it cannot be told. Raise Missing below three sizes.
    Mann, Nonparametric Tests Against Trend, Econometrica 1945.
    """
    return _verdict(_trend(points), "rise", points)


def falls(points: list[Point]) -> Verdict:
    """Judge the claim that the value falls with x, as `rises` does for rising."""
    return _verdict(_trend(points).reversed(), "fall", points)


def does_not_rise(points: list[Point]) -> Verdict:
    """Judge the claim that the value does not rise: fails where `rises` holds, and the reverse."""
    opposite = {Ruling.HOLDS: Ruling.FAILS, Ruling.FAILS: Ruling.HOLDS}
    rising = rises(points)
    return Verdict(opposite.get(rising.ruling, rising.ruling), rising.numbers, rising.evidence)


@cache
def p_value(sizes: int, score: int) -> float:
    """Return the probability that rising less falling pairs reach `score` in a random order.

        P(n(n−1)/2 − 2D ≥ score),  D the inversions of a random permutation of n

    Exact: counts the inversions by inserting one element after the other. With ties, an upper
    bound. By hand, because SciPy's exact p-value, the same to 1e-15, refuses ties.
    """
    counts = [1]
    for n in range(2, sizes + 1):
        counts = [sum(counts[max(0, k - n + 1) : k + 1]) for k in range(len(counts) + n - 1)]
    pairs = sizes * (sizes - 1) // 2
    reached = sum(count for d, count in enumerate(counts) if pairs - 2 * d >= score)
    return reached / factorial(sizes)


def _trend(points: list[Point]) -> Trend:
    if len(points) < FEWEST_SIZES:
        raise Missing(f"a trend needs {FEWEST_SIZES} sizes or more; here are {len(points)}")
    signs = [sign(b, a) for a, b in combinations(points, 2)]
    return Trend(len(points), signs.count(1), signs.count(-1))


def _verdict(trend: Trend, verb: str, points: list[Point]) -> Verdict:
    """Return the verdict on the claim that a trend rises; `verb` names its direction."""
    numbers = f"{trend.rising} of {trend.pairs} pairs {verb}, τ {trend.tau:.2f}"
    numbers += f", p {trend.p_rising:.2g}" if trend.tau > 0 else ""
    if undecided := trend.pairs - trend.rising - trend.falling:
        numbers += f", {undecided} cannot be told apart"
    if trend.p_rising <= LEVEL:
        ruling = Ruling.HOLDS
    elif trend.falling and trend.tau <= 0:
        ruling = Ruling.FAILS
    else:
        ruling = Ruling.OPEN
    return Verdict(ruling, numbers, [point.to_json() for point in points])
