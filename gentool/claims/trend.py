"""Whether a value rises with the size: Kendall's tau over all pairs of sizes, and its chance.

The trap avoided here: single runs are noisy, so that "every step rises" fails on true trends, the
paper's own among them (its gap of the l2 norm falls by 1 % in the last step), and "the last is
above the first" holds by luck.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import factorial

from gentool.claims.points import Point, sign
from gentool.claims.verdict import Missing, Ruling, Verdict

LEVEL = 0.05
FEWEST = 3


@dataclass(frozen=True)
class Trend:
    """How many of all pairs of sizes rise and fall; those that cannot be told apart do neither."""

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
        return chance(self.sizes, self.rising - self.falling)

    def reversed(self) -> "Trend":
        return Trend(self.sizes, self.falling, self.rising)


def rises(found: list[Point]) -> Verdict:
    """Holds where the value rises with x: tau > 0 with a one-sided exact p of at most 0.05.

    Fails where at least as many pairs fall as rise. In between it cannot be told.
    Mann, Nonparametric Tests Against Trend, Econometrica 1945. Raises Missing below three sizes.
    """
    return _verdict(_trend(found), "rise", found)


def falls(found: list[Point]) -> Verdict:
    """As `rises`, of a value that falls."""
    return _verdict(_trend(found).reversed(), "fall", found)


def does_not_rise(found: list[Point]) -> Verdict:
    """The contrary of `rises`: fails where that holds, holds where that fails."""
    contrary = {Ruling.HOLDS: Ruling.FAILS, Ruling.FAILS: Ruling.HOLDS}
    rising = rises(found)
    return Verdict(contrary.get(rising.outcome, rising.outcome), rising.numbers, rising.evidence)


@cache
def chance(sizes: int, score: int) -> float:
    """The chance that rising less falling pairs are at least `score` if every order is as likely.

        P(n(n−1)/2 − 2D ≥ score),  D the inversions of a random permutation of n

    Inversions are counted by inserting one element after the other. With ties it is an upper bound.
    """
    counts = [1]
    for n in range(2, sizes + 1):
        counts = [sum(counts[max(0, k - n + 1) : k + 1]) for k in range(len(counts) + n - 1)]
    pairs = sizes * (sizes - 1) // 2
    reached = sum(count for d, count in enumerate(counts) if pairs - 2 * d >= score)
    return reached / factorial(sizes)


def _trend(found: list[Point]) -> Trend:
    if len(found) < FEWEST:
        raise Missing(f"a trend needs {FEWEST} sizes or more; here are {len(found)}")
    signs = [sign(b, a) for a, b in combinations(found, 2)]
    return Trend(len(found), signs.count(1), signs.count(-1))


def _verdict(trend: Trend, verb: str, found: list[Point]) -> Verdict:
    """The verdict on a trend that is claimed to rise."""
    numbers = f"{trend.rising} of {trend.pairs} pairs {verb}, τ {trend.tau:.2f}"
    numbers += f", p {trend.p_rising:.2g}" if trend.tau > 0 else ""
    if near := trend.pairs - trend.rising - trend.falling:
        numbers += f", {near} cannot be told apart"
    if trend.p_rising <= LEVEL:
        outcome = Ruling.HOLDS
    elif trend.falling and trend.tau <= 0:
        outcome = Ruling.FAILS
    else:
        outcome = Ruling.OPEN
    return Verdict(outcome, numbers, [point.to_json() for point in found])
