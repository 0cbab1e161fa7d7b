"""Claims about the number of hidden units: figure 4."""

from gentool.claims.families import HIDDEN
from gentool.claims.points import Point, seed_means, sign
from gentool.claims.registry import CLAIMS
from gentool.claims.trend import falls, rises
from gentool.claims.verdict import Missing, Ruling, Verdict, verdict_if_all_hold
from gentool.records.measure_file import Record, has_fitted

TURN = 128  # hidden units from which l2 and l1-path rise in the paper
WELL_PAST = 4  # times the fewest hidden units that fit


@CLAIMS.register(
    "5a",
    HIDDEN,
    keys=("outcome.test_error",),
    needs=("outcome.train_error",),
    only_fitted=False,
)
def test_error_falls_past_fitting(networks: list[Record], key: str) -> Verdict:
    """The test error falls well past the 32 hidden units that fit the training set.

    Holds where the test error, from the fewest hidden units of which every seed has zero training
    error (32 in the paper), falls with the width and is lowest at four times as many or more; fails
    where it is lowest before.

    Figure 4, left.
    """
    unfit = {network["recipe"]["hidden"] for network in networks if not has_fitted(network)}
    fit = sorted({network["recipe"]["hidden"] for network in networks} - unfit)
    if not fit:
        raise Missing("no width has zero training error")
    wide = [point for point in seed_means(networks, key, "hidden") if point.x >= fit[0]]
    falling, lowest = falls(wide), min(wide, key=lambda point: point.value)
    numbers = f"{fit[0]} units fit, lowest at {lowest.x} ({lowest.value:.3g}); {falling.numbers}"
    is_past = lowest.x >= WELL_PAST * fit[0]
    return Verdict(falling.ruling if is_past else Ruling.FAILS, numbers, falling.evidence)


@CLAIMS.register("5b", HIDDEN, keys=("l2", "l1_path"))
def l2_and_l1_path_fall_then_rise(networks: list[Record], key: str) -> Verdict:
    """The l2 and l1-path norms fall with the width up to 128 hidden units, then rise.

    Holds where log10 of the measure is larger at every smaller width that fits than at 128, and
    rises with the width from 128 up; fails where one of the two does.

    Figure 4, middle.
    """
    points = seed_means(networks, key, "hidden")
    turn = next((point for point in points if point.x == TURN), None)
    narrower = [point for point in points if point.x < TURN]
    if turn is None or not narrower:
        raise Missing(f"needs networks that fit with {TURN} hidden units and with fewer")
    signs = [sign(point, turn) for point in narrower]
    falling = verdict_if_all_hold(signs, f"widths above {TURN}'s value", [])
    rising = rises([point for point in points if point.x >= TURN])
    return _both(falling, rising, points)


@CLAIMS.register("5c", HIDDEN, keys=("l2_path", "spectral"))
def l2_path_and_spectral_fall(networks: list[Record], key: str) -> Verdict:
    """The l2-path and spectral norms fall with the width.

    Holds where log10 of the measure falls with the width, over the widths that fit.

    Figure 4, middle.
    """
    return falls(seed_means(networks, key, "hidden"))


def _both(first: Verdict, second: Verdict, points: list[Point]) -> Verdict:
    """Return the verdict on a claim of two parts that both have to hold."""
    rulings = {first.ruling, second.ruling}
    worst = next(r for r in (Ruling.FAILS, Ruling.OPEN, Ruling.HOLDS) if r in rulings)
    numbers = f"{first.numbers}; {second.numbers}"
    return Verdict(worst, numbers, [point.to_json() for point in points])
