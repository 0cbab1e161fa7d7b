"""Correlate each measure with the generalization gap: how well it ranks networks. No torch.

Values of one measure that were made with several settings, as ε or α, are no ranking: they have no
tau. Networks whose search was cut short are left out where others have a whole one.

Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
"""

from collections import defaultdict
from dataclasses import asdict, dataclass

import numpy as np

from gentool.claims.families import settings
from gentool.claims.kendall import FEWEST_POINTS, bootstrap, tau_b
from gentool.common.json import Json, is_number
from gentool.records.averaging import NotAlikeError, check_measured_alike, group_key
from gentool.records.measure_file import Record, log10_of, lookup
from gentool.records.settings import is_cut

FEWEST_NETWORKS = 2


@dataclass(frozen=True)
class SettingTau:
    """Hold the mean tau over groups of networks that differ in one setting alone."""

    tau: float
    groups: int
    undefined: int  # groups in which the measure or the gap is constant


@dataclass(frozen=True)
class Correlation:
    """Hold Kendall's tau-b of one measure with the generalization gap, or None and the reason.

    `against` is the key in the place of the gap; `cut_short` counts the networks left out for a
    search that was cut short.
    """

    measure: str
    against: str
    networks: int
    cut_short: int
    pairs: int
    is_log10: bool
    tau: float | None
    interval: tuple[float, float] | None
    resamples: int  # resamples that have a tau
    granulated: float | None
    axes: dict[str, SettingTau]
    reason: str | None

    def to_json(self) -> Json:
        return asdict(self)


def correlations(
    networks: list[Record],
    names: list[str] | None,
    resamples: int,
    seed: int,
    against: str = "gap",
) -> list[Correlation]:
    """Return the correlation of some measures, or of all, with the gap: the largest |tau| first."""
    recorded = dict.fromkeys(name for network in networks for name in network["measures"])
    names = names or [name for name in recorded if not name.endswith("_stderr")]
    ranked = [correlation(networks, name, resamples, seed, against) for name in names]
    return sorted(ranked, key=lambda row: -1 if row.tau is None else abs(row.tau), reverse=True)


def correlation(
    networks: list[Record], name: str, resamples: int, seed: int, against: str = "gap"
) -> Correlation:
    """Return Kendall's tau-b of one measure with the gap, over the networks that have both.

    `name` and `against`, in the place of the gap, are any keys of numbers. Networks are ranked by
    log10 of the measure, which keeps the order and is finite where the measure itself would
    overflow; by the measure itself where one is zero or negative.
    """
    having = [n for n in networks if is_number(lookup(n, against)) and _has(n, name)]
    whole = [n for n in having if not is_cut(n, name)]
    usable = whole or having
    is_log10 = all(log10_of(n, name) is not None for n in usable)
    value_of = log10_of if is_log10 else lookup
    usable = [n for n in usable if is_number(value_of(n, name))]
    x = np.array([value_of(n, name) for n in usable], dtype=float)
    y = np.array([lookup(n, against) for n in usable], dtype=float)
    several = _several_settings(usable, name)
    tau = tau_b(x, y) if len(usable) >= FEWEST_NETWORKS and not several else None
    interval = bootstrap(x, y, resamples, seed) if tau is not None else None
    axes = {} if several else _axes(usable, x, y)
    return Correlation(
        measure=name,
        against=against,
        networks=len(usable),
        cut_short=len(having) - len(whole) if whole else 0,
        pairs=len(usable) * (len(usable) - 1) // 2,
        is_log10=is_log10,
        tau=tau,
        interval=interval and interval[:2],
        resamples=interval[2] if interval else 0,
        granulated=float(np.mean([axis.tau for axis in axes.values()])) if axes else None,
        axes=axes,
        reason=several or _reason(x, y, tau, interval, resamples, against),
    )


def _several_settings(networks: list[Record], name: str) -> str | None:
    """Return the settings in which the values of a measure differ, in words; None if in none."""
    try:
        check_measured_alike(networks, name)
    except NotAlikeError as error:
        return str(error)
    return None


def _has(network: Record, name: str) -> bool:
    return is_number(lookup(network, name)) or is_number(log10_of(network, name))


def _axes(networks: list[Record], x: np.ndarray, y: np.ndarray) -> dict[str, SettingTau]:
    """Return, for each setting that varies, the mean tau over groups in which it alone varies.

    The seed is no such setting, but the networks of one group share it.
    """
    axes = {}
    described = [
        (i, settings(n) | {"seed": n["recipe"].get("seed")})
        for i, n in enumerate(networks)
        if n.get("recipe")
    ]
    for axis in dict.fromkeys(key for _, values in described for key in values if key != "seed"):
        groups = defaultdict(list)
        for i, values in described:
            groups[group_key({k: v for k, v in values.items() if k != axis})].append(i)
        taus = [tau_b(x[group], y[group]) for group in groups.values() if len(group) > 1]
        if defined := [tau for tau in taus if tau is not None]:
            mean = float(np.mean(defined))
            axes[axis] = SettingTau(mean, len(defined), len(taus) - len(defined))
    return axes


def _reason(
    x: np.ndarray,
    y: np.ndarray,
    tau: float | None,
    interval: tuple[float, float, int] | None,
    resamples: int,
    against: str,
) -> str | None:
    """Return why tau or its interval is null; None if neither is."""
    other = "the generalization gap" if against == "gap" else against
    if len(x) < FEWEST_NETWORKS:
        other = "a generalization gap" if against == "gap" else against
        return f"{len(x)} networks have it and {other}; tau needs {FEWEST_NETWORKS}"
    if tau is None:
        constant = "the measure" if np.ptp(x) == 0 else other
        return f"{constant} is the same in all networks"
    if interval is None and resamples:
        return f"an interval needs {FEWEST_POINTS} networks"
    return None if resamples else "no interval was asked for"
