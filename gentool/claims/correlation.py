"""Score each measure by how well it ranks networks by their generalization gap. No torch.

Kendall's tau over all networks, the granulated Ψ, the conditional mutual information, and the sign
error over environments, with intervals over resamples of recipes.

Values of one measure that were made with several settings, as ε or α, are no ranking: they have no
tau. Networks whose search was cut short are left out where others have a whole one.

Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020. Dziugaite et al.,
In Search of Robust Measures of Generalization, NeurIPS 2020.
"""

from dataclasses import asdict, dataclass

import numpy as np

from gentool.claims import granulated
from gentool.claims.granulated import SettingTau
from gentool.claims.hyperparameters import Design, design, neighbours
from gentool.claims.kendall import FEWEST_POINTS, bootstrap, draws, percentiles, tau_b
from gentool.claims.mutual_information import ConditionalInformation, Conditioned
from gentool.claims.sign_error import SignError, sign_error, test_images
from gentool.common.json import Json, is_number
from gentool.records.averaging import NotAlikeError, check_measured_alike
from gentool.records.measure_file import Record, log10_of, lookup
from gentool.records.settings import is_cut

FEWEST_NETWORKS = 2
MOST_RESAMPLES = 200  # of the conditional mutual information, which costs most
MOST_WORK = 10_000_000  # pairs of recipes times sets of settings times resamples for it
FEWEST_RESAMPLES = 50  # it has no interval where these are too much work
OF_TEST_ERROR = ("gap", "outcome.test_error")
"""Keys whose differences Hoeffding's inequality bounds."""


@dataclass(frozen=True)
class Correlation:
    """Hold the scores of one measure against the generalization gap, each None where it has none.

    `against` is the key in the place of the gap; `cut_short` counts the networks left out for a
    search that was cut short; `recipes` are the clusters of networks that differ in their seed
    alone. `interval` is that of tau, Kendall's tau-b; `reason` says why one of the two is None.
    """

    measure: str
    against: str
    networks: int
    recipes: int
    cut_short: int
    pairs: int
    is_log10: bool
    tau: float | None
    interval: tuple[float, float] | None
    resamples: int  # resamples that have a tau
    granulated: float | None
    granulated_interval: tuple[float, float] | None
    axes: dict[str, SettingTau]
    conditional_information: ConditionalInformation | None
    sign_error: SignError | None
    reason: str | None

    def to_json(self) -> Json:
        return asdict(self)


class Comparison:
    """Hold all that the scores need but the values of a measure: made once for its networks."""

    def __init__(self, of: Design, y: np.ndarray, against: str, resamples: int, seed: int) -> None:
        self.design, self.y, self.resamples, self.seed = of, y, resamples, seed
        self.pairs = neighbours(of)
        self.differences = y[self.pairs.first] - y[self.pairs.second]
        self.conditioned = Conditioned(of, y)
        self.against = against
        enough = of.recipes >= FEWEST_POINTS and resamples > 0
        self.counts = draws(of.recipes, resamples, seed) if enough else None
        self.coefficients = None
        if enough:
            self.coefficients = granulated.resampling(self.pairs, self.counts[:, of.recipe])
        work = of.recipes**2 // 2 * len(self.conditioned.sets)
        few = min(resamples, MOST_RESAMPLES, MOST_WORK // max(work, 1))
        self.few = self.counts[:few] if enough and few >= min(resamples, FEWEST_RESAMPLES) else None

    def scores(self, x: np.ndarray, images: int | None) -> Json:
        """Return the scores of a measure with the values `x`, by the names of `Correlation`."""
        first, second = self.pairs.first, self.pairs.second
        agree = np.sign(x[first] - x[second]) * np.sign(self.differences)
        psi, axes = granulated.granulated(self.pairs, agree, self.design.names)
        interval = None
        if psi is not None and self.coefficients is not None:
            interval = percentiles(self.coefficients @ agree)
        ends = self.design.recipe[first], self.design.recipe[second]
        names = self.design.names
        return {
            "granulated": psi,
            "granulated_interval": interval and interval[:2],
            "axes": axes,
            "conditional_information": self.conditioned.score(x, self.few),
            "sign_error": sign_error(
                self.pairs, agree, self.differences, names, images, ends, self.counts
            ),
        }


class Ranking:
    """Score measures of the same networks; what they share is computed once."""

    def __init__(self, networks: list[Record], resamples: int, seed: int, against: str) -> None:
        self.networks, self.resamples, self.seed = networks, resamples, seed
        self.against = against
        self.design = design(networks)
        self.y = np.array([_number(lookup(n, against)) for n in networks], dtype=float)
        self.comparisons: dict[bytes, Comparison] = {}
        self.images = None
        if against in OF_TEST_ERROR:
            errors = [lookup(n, "outcome.test_error") for n in networks]
            self.images = test_images(filter(is_number, errors))

    def comparison(self, at: np.ndarray) -> Comparison:
        """Return what the scores of measures of the networks at these indices share."""
        key = at.tobytes()
        if key not in self.comparisons:
            parts = self.design.of(at), self.y[at], self.against, self.resamples, self.seed
            self.comparisons[key] = Comparison(*parts)
        return self.comparisons[key]

    def correlation(self, name: str) -> Correlation:
        """Return the scores of one measure, over the networks that have it and the gap."""
        networks = self.networks
        having = [i for i, n in enumerate(networks) if not np.isnan(self.y[i]) and _has(n, name)]
        whole = [i for i in having if not is_cut(networks[i], name)]
        usable = whole or having
        logs = [log10_of(networks[i], name) for i in usable]
        is_log10 = None not in logs
        values = logs if is_log10 else [lookup(networks[i], name) for i in usable]
        numbers = [is_number(value) for value in values]
        at = np.array([i for i, has in zip(usable, numbers, strict=True) if has], dtype=int)
        x = np.array([v for v, has in zip(values, numbers, strict=True) if has], dtype=float)
        y = self.y[at]
        several = _several_settings([networks[i] for i in at], name)
        tau = tau_b(x, y) if len(at) >= FEWEST_NETWORKS and not several else None
        of = self.comparison(at)
        recipe = of.design.recipe
        interval = bootstrap(x, y, self.resamples, self.seed, recipe) if tau is not None else None
        scores = NO_SCORES if several else of.scores(x, self.images)
        return Correlation(
            measure=name,
            against=self.against,
            networks=len(at),
            recipes=of.design.recipes,
            cut_short=len(having) - len(whole) if whole else 0,
            pairs=len(at) * (len(at) - 1) // 2,
            is_log10=is_log10,
            tau=tau,
            interval=interval and interval[:2],
            resamples=interval[2] if interval else 0,
            **scores,
            reason=several or _reason(x, y, tau, interval, self.resamples, self.against),
        )


NO_SCORES = {
    "granulated": None,
    "granulated_interval": None,
    "axes": {},
    "conditional_information": None,
    "sign_error": None,
}


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
    ranking = Ranking(networks, resamples, seed, against)
    ranked = [ranking.correlation(name) for name in names]
    return sorted(ranked, key=lambda row: -1 if row.tau is None else abs(row.tau), reverse=True)


def correlation(
    networks: list[Record], name: str, resamples: int, seed: int, against: str = "gap"
) -> Correlation:
    """Return the scores of one measure against the gap, over the networks that have both.

    `name` and `against`, in the place of the gap, are any keys of numbers. Networks are ranked by
    log10 of the measure, which keeps the order and is finite where the measure itself would
    overflow; by the measure itself where one is zero or negative.
    """
    return Ranking(networks, resamples, seed, against).correlation(name)


def _several_settings(networks: list[Record], name: str) -> str | None:
    """Return the settings in which the values of a measure differ, in words; None if in none."""
    try:
        check_measured_alike(networks, name)
    except NotAlikeError as error:
        return str(error)
    return None


def _has(network: Record, name: str) -> bool:
    return is_number(lookup(network, name)) or is_number(log10_of(network, name))


def _number(value: object) -> float:
    return value if is_number(value) else np.nan


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
        return f"an interval needs {FEWEST_POINTS} recipes that differ in more than their seed"
    return None if resamples else "no interval was asked for"
