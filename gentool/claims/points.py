"""One value for each size: seeds averaged, with the standard error that is known of it."""

import math
import statistics
from dataclasses import asdict, dataclass

from gentool.common.json import Json
from gentool.records.measure_file import Record, log10_of, lookup

TOLD_APART = 2  # standard errors
PLAIN = ("sharpness",)  # may be 0, which has no logarithm


@dataclass(frozen=True)
class Point:
    """The mean over the seeds at one x; `stderr` is 0 where nothing is known of it."""

    x: float
    value: float
    stderr: float = 0.0
    seeds: int = 1

    def to_json(self) -> Json:
        return asdict(self)


def value_of(record: Record, key: str) -> float | None:
    """What is compared: log10 of a measure; sharpness and dotted paths as they are.

    None where there is none, and for an empty curve; so for the KL that was sampled at one given
    alpha, whose expected sharpness is not 0.05.
    """
    if key == "expected_sharpness_kl" and lookup(record, "expected_sharpness") is not None:
        return None
    if "." in key or key in PLAIN:
        return None if (found := lookup(record, key)) == [] else found
    return log10_of(record, key)


def points(networks: list[Record], key: str, axis: str) -> list[Point]:
    """The mean of a key at each value of `axis`, in order; every network has the key."""
    sizes = sorted({network["recipe"][axis] for network in networks})
    return [_point(x, [n for n in networks if n["recipe"][axis] == x], key) for x in sizes]


def sign(a: Point, b: Point) -> int:
    """1 where a is larger than b, -1 where smaller, 0 where within two standard errors."""
    near = TOLD_APART * math.hypot(a.stderr, b.stderr)
    return (a.value - b.value > near) - (b.value - a.value > near)


def _point(x: float, networks: list[Record], key: str) -> Point:
    """The mean over networks that differ in their seed.

    Its standard error is that of the mean of three seeds or more, which contains what sampling
    adds; of fewer it is the sampling's alone.
    """
    values = [value_of(network, key) for network in networks]
    if len(values) >= 3:
        stderr = statistics.stdev(values) / math.sqrt(len(values))
    else:
        stderr = math.hypot(*(_stderr(network, key) for network in networks)) / len(values)
    return Point(x, statistics.fmean(values), stderr, len(values))


def _stderr(network: Record, key: str) -> float:
    """The standard error of log10 of a sampled measure, to first order; 0 where none is known."""
    stderr = lookup(network, f"measures.{key}_stderr")
    return stderr / lookup(network, key) / math.log(10) if stderr else 0.0
