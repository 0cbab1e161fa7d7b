"""Claims about true and random labels: figures 1 and 2."""

from dataclasses import replace

from gentool.claims.curves import SharpnessCurve, compare_curves, mean_curve
from gentool.claims.families import LABELS
from gentool.claims.points import Point, seed_means, sign
from gentool.claims.registry import CLAIMS, NORMS
from gentool.claims.trend import rises
from gentool.claims.verdict import Missing, Verdict, verdict_if_all_hold
from gentool.common.json import Json
from gentool.records.measure_file import Record


@CLAIMS.register("1a", LABELS, keys=NORMS)
def norms_larger_with_random_labels(networks: list[Record], key: str) -> Verdict:
    """Every norm measure is larger with random than with true labels, at every size.

    Holds where log10 of the measure is larger with random labels at every size that has both;
    fails where it is smaller at one.

    Figure 1.
    """
    pairs = _pairs(networks, key)
    evidence = [_evidence(true, random) for true, random in pairs]
    signs = [sign(random, true) for true, random in pairs]
    return verdict_if_all_hold(signs, "sizes larger", evidence)


@CLAIMS.register("1b", LABELS, keys=NORMS)
def gap_of_norms_grows_with_size(networks: list[Record], key: str) -> Verdict:
    """The gap between random and true labels, a log ratio, grows with the size.

    Holds where log10 of the measure with random labels less that with true labels rises with the
    size.

    Figure 1.
    """
    return rises([_gap(true, random) for true, random in _pairs(networks, key)])


@CLAIMS.register("2", LABELS, keys=("sharpness",))
def sharpness_lower_at_small_sizes(networks: list[Record], key: str) -> Verdict:
    """Sharpness is lower with random than with true labels at the small sizes.

    The small sizes are the smaller half of those that have both, rounded up: three of the paper's
    six. Holds where it is lower at each of them; fails where it is higher at one.

    Figure 2, left.
    """
    pairs = _pairs(networks, key)
    small = pairs[: (len(pairs) + 1) // 2]
    signs = [sign(true, random) for true, random in small]
    return verdict_if_all_hold(signs, "small sizes lower", [_evidence(*pair) for pair in pairs])


@CLAIMS.register("3a", LABELS, keys=("expected_sharpness.curve",))
def random_label_curves_lie_above(networks: list[Record], key: str) -> Verdict:
    """Expected sharpness at the same KL is larger with random than with true labels.

    At each size, both curves are interpolated in log KL and compared at every KL of either within
    the range of both (where they share none, at the ends that face each other, since both fall). A
    size holds where random labels are above at one KL and below at none, by two standard errors,
    or more for the number of KLs (Bonferroni: 3.3 for 50); it is contrary where they are below at
    one. Holds where every size that has both holds; fails where one is contrary.

    Figure 2, middle and right.
    """
    comparisons = [compare_curves(*curves) for curves in _curves(networks)]
    signs = [comparison.sign for comparison in comparisons]
    evidence = [comparison.to_json() for comparison in comparisons]
    return verdict_if_all_hold(signs, "sizes above", evidence)


@CLAIMS.register("3b", LABELS, keys=("expected_sharpness_kl",))
def random_label_curves_spread_more(networks: list[Record], key: str) -> Verdict:
    """The curves of expected sharpness spread more with the size with random than with true labels.

    The spread is the largest less the smallest log10 of the KL at expected sharpness 0.05, over the
    sizes that have both. Holds where it is larger with random labels by two standard errors; fails
    where it is smaller by as much.

    Figure 2, middle and right.
    """
    pairs = _pairs(networks, key)
    if len(pairs) < 2:
        raise Missing("a spread needs two sizes or more with true and with random labels")
    true, random = (_spread(list(line)) for line in zip(*pairs, strict=True))
    numbers = f"log10 KL spreads by {random.value:.2f} random, {true.value:.2f} true"
    evidence = [_evidence(*pair) for pair in pairs]
    return replace(verdict_if_all_hold([sign(random, true)], "", evidence), numbers=numbers)


def _pairs(networks: list[Record], key: str) -> list[tuple[Point, Point]]:
    """Return the points (true, random) at each size that has both."""
    true, random = (
        {point.x: point for point in seed_means(_with(networks, labels), key, "subset")}
        for labels in ("true", "random")
    )
    sizes = sorted(true.keys() & random.keys())
    if not sizes:
        raise Missing("no size has both true and random labels")
    return [(true[size], random[size]) for size in sizes]


def _curves(networks: list[Record]) -> list[tuple[int, SharpnessCurve, SharpnessCurve]]:
    """Return (size, true curve, random curve) at each size that has both."""
    sizes = sorted({network["recipe"]["subset"] for network in networks})
    curves = []
    for size in sizes:
        here = [network for network in networks if network["recipe"]["subset"] == size]
        if (true := _with(here, "true")) and (random := _with(here, "random")):
            curves.append((size, mean_curve(true), mean_curve(random)))
    if not curves:
        raise Missing("no size has both true and random labels")
    return curves


def _with(networks: list[Record], labels: str) -> list[Record]:
    return [network for network in networks if network["recipe"]["labels"] == labels]


def _gap(true: Point, random: Point) -> Point:
    stderr = (true.stderr**2 + random.stderr**2) ** 0.5
    return Point(true.x, random.value - true.value, stderr, min(true.seeds, random.seeds))


def _spread(line: list[Point]) -> Point:
    low, high = (end(line, key=lambda point: point.value) for end in (min, max))
    return _gap(low, high)


def _evidence(true: Point, random: Point) -> Json:
    return {"subset": true.x, "true": true.to_json(), "random": random.to_json()}
