"""How well each measure ranks networks by their generalization gap. No torch.

Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
"""

from collections import defaultdict
from dataclasses import asdict, dataclass

import numpy as np

from gentool.claims.families import frozen, settings
from gentool.claims.kendall import FEWEST, bootstrap, tau_b
from gentool.common.json import Json
from gentool.records.measure_file import Record, lookup

FEWEST_NETWORKS = 2


@dataclass(frozen=True)
class Axis:
    """The mean tau over groups of networks that differ in one setting alone."""

    tau: float
    groups: int
    undefined: int  # groups in which the measure or the gap is constant


@dataclass(frozen=True)
class Correlation:
    """Kendall's tau-b of one measure with the generalization gap; None with its reason."""

    measure: str
    networks: int
    pairs: int
    is_log10: bool
    tau: float | None
    interval: tuple[float, float] | None
    resamples: int  # those that have a tau
    granulated: float | None
    axes: dict[str, Axis]
    reason: str | None

    def to_json(self) -> Json:
        return asdict(self)


def correlations(
    networks: list[Record], names: list[str] | None, resamples: int, seed: int
) -> list[Correlation]:
    """The measures of these names, or all, by |tau|; over all networks that have them and a gap."""
    known = dict.fromkeys(name for network in networks for name in network["measures"])
    names = names or [name for name in known if not name.endswith("_stderr")]
    found = [correlation(networks, name, resamples, seed) for name in names]
    return sorted(found, key=lambda one: -1 if one.tau is None else abs(one.tau), reverse=True)


def correlation(networks: list[Record], name: str, resamples: int, seed: int) -> Correlation:
    """Kendall's tau-b of one measure with the gap.

    Measures are taken through log10, which keeps their order and holds those that no float holds;
    as they are where one has no logarithm, because it is zero or negative.
    """
    usable = [n for n in networks if gap(n) is not None and _has(n, name)]
    is_log10 = all(n["log10"].get(name) is not None for n in usable)
    part = "log10" if is_log10 else "measures"
    usable = [n for n in usable if n[part].get(name) is not None]
    x = np.array([n[part][name] for n in usable], dtype=float)
    y = np.array([gap(n) for n in usable], dtype=float)
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


def gap(network: Record) -> float | None:
    """Test error less training error of one network; None where one of them is unknown."""
    errors = [lookup(network, f"outcome.{part}_error") for part in ("test", "train")]
    return None if None in errors else errors[0] - errors[1]


def _has(network: Record, name: str) -> bool:
    return any(network[part].get(name) is not None for part in ("measures", "log10"))


def _axes(networks: list[Record], x: np.ndarray, y: np.ndarray) -> dict[str, Axis]:
    """For each setting that varies, the mean tau over groups in which nothing else does.

    The seed is no setting, but networks of one group have the same.
    """
    found = {}
    known = [
        (i, settings(n) | {"seed": n["recipe"].get("seed")})
        for i, n in enumerate(networks)
        if n.get("recipe")
    ]
    for axis in dict.fromkeys(key for _, one in known for key in one if key != "seed"):
        groups = defaultdict(list)
        for i, one in known:
            groups[frozen({k: v for k, v in one.items() if k != axis})].append(i)
        taus = [tau_b(x[group], y[group]) for group in groups.values() if len(group) > 1]
        if defined := [tau for tau in taus if tau is not None]:
            mean = float(np.mean(defined))
            found[axis] = Axis(mean, len(defined), len(taus) - len(defined))
    return found


def _reason(
    x: np.ndarray,
    y: np.ndarray,
    tau: float | None,
    interval: tuple[float, float, int] | None,
    resamples: int,
) -> str | None:
    """Why tau or its interval is null; None where both are there."""
    if len(x) < FEWEST_NETWORKS:
        return f"{len(x)} networks have it and a generalization gap; tau needs {FEWEST_NETWORKS}"
    if tau is None:
        constant = "the measure" if np.ptp(x) == 0 else "the generalization gap"
        return f"{constant} is the same in all networks"
    if interval is None and resamples:
        return f"an interval needs {FEWEST} networks"
    return None if resamples else "no interval was asked for"
