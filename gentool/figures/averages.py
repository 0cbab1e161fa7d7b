"""Make curves of averages over seeds, and say in the caption what their bars are.

Which networks may be averaged is decided in `gentool.records.averaging` alone. Values of searches
that were cut short are never averaged with others: they are open markers of their own.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from gentool.common.json import is_number
from gentool.figures.sheet import Curve, Panel
from gentool.records.averaging import (
    CUT,
    ERRORBARS,
    FEWEST_FOR_SD,
    NotAlikeError,
    SeedGroup,
    average,
    check_measured_alike,
    check_one_group,
)
from gentool.records.measure_file import Record, log10_of, lookup
from gentool.records.settings import in_words, is_cut, notable, settings_of

Value = Callable[[Record], float | None]


@dataclass(frozen=True)
class SeedPoint:
    """Hold the values of several seeds at one x."""

    x: float
    values: tuple[float, ...]
    is_cut: bool = False


def value_of(key: str, *, is_log: bool) -> Value:
    """Return the function that reads the value under a key, or its log10, from a record."""

    def value(record: Record) -> float | None:
        number = log10_of(record, key) if is_log else lookup(record, key)
        return number if is_number(number) else None

    return value


def points(
    records: Iterable[Record], x: str, key: str, value: Value | None = None
) -> list[SeedPoint]:
    """Return the values under a key at each x, those of networks that have one.

    `value` is read in the place of the key. Raise NotAlikeError, naming the keys, if networks at
    one x differ in more than their seed, or if the values were measured with several settings.
    """
    value = value or value_of(key, is_log=False)
    having = [record for record in records if value(record) is not None]
    check_measured_alike(having, key)
    places: dict[tuple[float, bool], list[Record]] = defaultdict(list)
    for record in having:
        places[float(lookup(record, x)), is_cut(record, key)].append(record)
    for same in places.values():
        check_one_group(same, key)
    return [
        SeedPoint(place, tuple(float(value(record)) for record in same), cut)
        for (place, cut), same in sorted(places.items())
    ]


def of_groups(groups: Iterable[SeedGroup], place: Value, value: Value) -> list[SeedPoint]:
    """Return the point of each group of networks that differ in their seed alone."""
    found = [
        SeedPoint(
            place(group.networks[0]),
            tuple(float(value(record)) for record in group.networks),
            CUT in group.conditions,
        )
        for group in groups
    ]
    return sorted(found, key=lambda point: point.x)


def curves(
    points: Iterable[SeedPoint], label: str, colour: str, marker: str, errorbar: str | None = None
) -> list[Curve]:
    """Return the curve of the means with their bars, and one of what was cut short, if any is.

    `errorbar` is a name of ERRORBARS. None means the standard deviation of three seeds or more;
    where there are fewer, each run is drawn as a point of its own.
    """
    points = list(points)
    drawn = []
    for cut in (True, False):
        chosen = [point for point in points if point.is_cut == cut]
        if chosen:
            curve = _curve(chosen, Curve(label, (), (), colour, marker), errorbar)
            drawn.append(replace(curve, is_open=cut))
    return drawn


def _curve(points: list[SeedPoint], look: Curve, errorbar: str | None) -> Curve:
    averages = [average(point.values, errorbar) for point in points]
    has_bars = any(bar.low is not None for bar in averages)
    runs = [
        (point.x, value)
        for point, bar in zip(points, averages, strict=True)
        if errorbar is None and bar.low is None and bar.n > 1
        for value in bar.values
    ]
    return replace(
        look,
        x=tuple(point.x for point in points),
        y=tuple(bar.mean for bar in averages),
        low=tuple(bar.mean if bar.low is None else bar.low for bar in averages)
        if has_bars
        else None,
        high=tuple(bar.mean if bar.high is None else bar.high for bar in averages)
        if has_bars
        else None,
        runs=tuple(runs),
        counts=tuple(bar.n for bar in averages),
    )


def rescaled(curves: list[Curve]) -> list[Curve]:
    """Return the curves of one measure rescaled to [0, 1]; none if all their points are equal."""
    numbers = [number for curve in curves for number in curve.y]
    low, high = min(numbers), max(numbers)
    if low == high:
        return []

    def scale(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        return values and tuple((value - low) / (high - low) for value in values)

    return [
        replace(
            curve,
            y=scale(curve.y),
            low=scale(curve.low),
            high=scale(curve.high),
            runs=tuple((x, *scale((y,))) for x, y in curve.runs),
        )
        for curve in curves
    ]


def words(panels: Iterable[Panel], errorbar: str | None) -> str:
    """Return what means, bars and open markers of a figure are, with n; empty if all are runs."""
    panels = list(panels)
    drawn = [curve for panel in panels for curve in panel.curves]
    counts = {n for curve in drawn for n in curve.counts}
    parts = []
    if counts - {1}:
        least, most = min(counts), max(counts)
        n = f"n = {most}" if least == most else f"n = {least} to {most}"
        is_log = any(
            panel.y.scale == "log10" and set(curve.counts) - {1}
            for panel in panels
            for curve in panel.curves
        )
        parts.append(f"mean over seeds ({n}" + ", of logarithms on logarithmic axes" * is_log + ")")
        if any(curve.has_bars and curve.counts for curve in drawn):
            parts.append(f"bars: {ERRORBARS[errorbar or 'sd']}")
        if any(curve.runs for curve in drawn):
            parts.append(f"small points: each run, where n is below {FEWEST_FOR_SD}")
    if any(curve.is_open for curve in drawn):
        parts.append("open markers: the search was cut short")
    return "; ".join(parts)


def settings_in_words(records: Iterable[Record], keys: Iterable[str]) -> str:
    """Return ε and α of the values under some keys, and other settings that are not the default."""
    found: dict[str, None] = {}
    keys = list(keys)
    for record in records:
        for key in keys:
            if _has(record, key):
                settings = notable(settings_of(record, key))
                found |= dict.fromkeys(in_words(*setting) for setting in settings.items())
    return ", ".join(found)


def check_measured(figure: str, records: Iterable[Record], keys: Iterable[str]) -> None:
    """Raise NotAlikeError, naming key and values, if a figure's values were not measured alike."""
    records = list(records)
    for key in keys:
        having = [record for record in records if _has(record, key)]
        try:
            check_measured_alike(having, key)
        except NotAlikeError as error:
            raise NotAlikeError(
                f"figure {figure} draws values measured alike, and {error}; give the files of one"
            ) from None


def _has(record: Record, key: str) -> bool:
    return lookup(record, key) is not None or log10_of(record, key) is not None
