"""Correlate each measure with the generalization gap: how well it ranks networks. No torch.

Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
"""

from collections import defaultdict
from dataclasses import asdict, dataclass

import numpy as np

from gentool.claims.families import group_key, settings
from gentool.claims.kendall import FEWEST_POINTS, bootstrap, tau_b
from gentool.common.json import Json
from gentool.records.measure_file import Record, lookup

FEWEST_NETWORKS = 2


@dataclass(frozen=True)
class SettingTau:
    """Hold the mean tau over groups of networks that differ in one setting alone."""

    tau: float
    groups: int
    undefined: int  # groups in which the measure or the gap is constant


@dataclass(frozen=True)
class Correlation:
    """Hold Kendall's tau-b of one measure with the generalization gap, or None and the reason."""

    measure: str
    networks: int
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
    networks: list[Record], names: list[str] | None, resamples: int, seed: int
) -> list[Correlation]:
    """Return the correlation of some measures, or of all, with the gap: the largest |tau| first."""
    recorded = dict.fromkeys(name for network in networks for name in network["measures"])
    names = names or [name for name in recorded if not name.endswith("_stderr")]
    ranked = [correlation(networks, name, resamples, seed) for name in names]
    return sorted(ranked, key=lambda row: -1 if row.tau is None else abs(row.tau), reverse=True)


def correlation(networks: list[Record], name: str, resamples: int, seed: int) -> Correlation:
    """Return Kendall's tau-b of one measure with the gap, over the networks that have both.

    Networks are ranked by log10 of the measure, which keeps the order and is finite where the
    measure itself would overflow; by the measure itself where one is zero or negative.
    """
    usable = [n for n in networks if lookup(n, "gap") is not None and _has(n, name)]
    is_log10 = all(n["log10"].get(name) is not None for n in usable)
    part = "log10" if is_log10 else "measures"
    usable = [n for n in usable if n[part].get(name) is not None]
    x = np.array([n[part][name] for n in usable], dtype=float)
    y = np.array([lookup(n, "gap") for n in usable], dtype=float)
    tau = tau_b(x, y) if len(usable) >= FEWEST_NETWORKS else None
    interval = bootstrap(x, y, resamples, seed) if tau is not None else None
    axes = _axes(usable, x, y)
    return Correlation(
        measure=name,
        networks=len(usable),
        pairs=len(usable) * (len(usable) - 1) // 2,
        is_log10=is_log10,
        tau=tau,
        interval=interval and interval[:2],
        resamples=interval[2] if interval else 0,
        granulated=float(np.mean([axis.tau for axis in axes.values()])) if axes else None,
        axes=axes,
        reason=_reason(x, y, tau, interval, resamples),
    )


def _has(network: Record, name: str) -> bool:
    return any(network[part].get(name) is not None for part in ("measures", "log10"))


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
) -> str | None:
    """Return why tau or its interval is null; None if neither is."""
    if len(x) < FEWEST_NETWORKS:
        return f"{len(x)} networks have it and a generalization gap; tau needs {FEWEST_NETWORKS}"
    if tau is None:
        constant = "the measure" if np.ptp(x) == 0 else "the generalization gap"
        return f"{constant} is the same in all networks"
    if interval is None and resamples:
        return f"an interval needs {FEWEST_POINTS} networks"
    return None if resamples else "no interval was asked for"
