"""Average a value over seeds at each size, with its standard error where one is known."""

import math
from dataclasses import asdict, dataclass

from gentool.claims.verdict import Missing
from gentool.common.json import Json
from gentool.records.averaging import FEWEST_FOR_SD, NotAlikeError, average, check_one_group
from gentool.records.measure_file import Record, log10_of, lookup

STDERRS_APART = 2  # two values closer than this many standard errors cannot be told apart
NOT_LOGARITHMIC = ("sharpness",)  # may be 0, which has no logarithm


@dataclass(frozen=True)
class Point:
    """Hold the mean over the seeds at one x; `stderr` is 0 where no standard error is known."""

    x: float
    value: float
    stderr: float = 0.0
    seeds: int = 1

    def to_json(self) -> Json:
        return asdict(self)


def value_of(record: Record, key: str) -> float | None:
    """Return the value that claims compare: log10 of a measure; sharpness and dotted paths as is.

    None where the record lacks the value or its curve is empty.
    """
    if "." in key or key in NOT_LOGARITHMIC:
        value = lookup(record, key)
        return None if value == [] else value
    return log10_of(record, key)


def seed_means(networks: list[Record], key: str, axis: str) -> list[Point]:
    """Return the mean of a key at each value of `axis`, in order; every network has the key.

    Raise Missing if the networks at one value differ in more than their seed.
    """
    sizes = sorted({network["recipe"][axis] for network in networks})
    return [_point(x, [n for n in networks if n["recipe"][axis] == x], key) for x in sizes]


def check_seeds(networks: list[Record], key: str) -> None:
    """Raise Missing if networks differ in more than their seed: their mean would mean nothing."""
    try:
        check_one_group(networks, key)
    except NotAlikeError as error:
        raise Missing(str(error)) from None


def sign(a: Point, b: Point) -> int:
    """Return 1 where a is larger than b, -1 where smaller, 0 where they cannot be told apart."""
    threshold = STDERRS_APART * math.hypot(a.stderr, b.stderr)
    return (a.value - b.value > threshold) - (b.value - a.value > threshold)


def _point(x: float, networks: list[Record], key: str) -> Point:
    """Return the mean over networks that differ in their seed, with its standard error.

    Of three seeds or more it is the standard error of their mean, which includes the sampling
    error; of fewer it is the sampling error alone.
    """
    check_seeds(networks, key)
    over_seeds = average([value_of(network, key) for network in networks], "se")
    stderr = over_seeds.half
    if over_seeds.n < FEWEST_FOR_SD:
        stderr = math.hypot(*(_stderr(network, key) for network in networks)) / over_seeds.n
    return Point(x, over_seeds.mean, stderr, over_seeds.n)


def _stderr(network: Record, key: str) -> float:
    """Return the standard error of log10 of a sampled measure, to first order; 0 if unknown."""
    stderr = lookup(network, f"measures.{key}_stderr")
    return stderr / lookup(network, key) / math.log(10) if stderr else 0.0
