"""Judge the claims and rank the measures: all that `gentool claims` reports on measure files."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from gentool.claims.correlation import Correlation, correlations
from gentool.claims.judging import LeftOut, Row, judge
from gentool.claims.verdict import Ruling
from gentool.common.errors import UsageError, unknown
from gentool.common.json import Json
from gentool.common.version import __version__
from gentool.records.given import Given, given_records
from gentool.records.measure_facts import with_groups
from gentool.records.measure_file import DERIVED, Record, check_key, merge

LARGEST_BOOTSTRAP = 100_000


@dataclass(frozen=True)
class Report:
    """Hold the verdicts on claims, and the measures ranked by their correlation with the gap."""

    networks: int
    rows: list[Row]
    left_out: list[LeftOut]
    ranked: list[Correlation]

    @property
    def failing(self) -> list[str]:
        """Name the claims that fail, as `1a (l2)`."""
        failing = [row for row in self.rows if row.verdict.ruling is Ruling.FAILS]
        return [f"{row.claim.id} ({row.key})" for row in failing]

    def to_json(self) -> Json:
        return {
            "gentool": __version__,
            "networks": self.networks,
            "claims": [row.to_json() for row in self.rows],
            "left_out": [asdict(left) for left in self.left_out],
            "kendall": [row.to_json() for row in self.ranked],
        }


def report(
    records: Iterable[Record],
    measures: list[str] | None,
    resamples: int,
    seed: int,
    against: str = "gap",
) -> Report:
    """Judge every claim and rank the measures of these names, or all, by their tau with a key.

    A name may be that of a group, as `@norms`.

    Raise UsageError if no record has a measure or a key of that name, GentoolError if two records
    about one checkpoint disagree.
    """
    networks = merge(records)
    recorded = dict.fromkeys(name for network in networks for name in network["measures"])
    measures = None if measures is None else with_groups(measures, recorded)
    for name in measures or []:
        if "." in name or name in DERIVED:
            check_key(networks, name)
        elif name not in recorded:
            raise unknown("measure", name, recorded)
    if against not in DERIVED:
        check_key(networks, against)
    rows, left_out = judge(networks)
    ranked = correlations(networks, measures, resamples, seed, against)
    return Report(len(networks), rows, left_out, ranked)


def claims(
    records: Given | Iterable[Given],
    measure: str | Sequence[str] | None = None,
    *,
    against: str = "gap",
    bootstrap: int = 1000,
    seed: int = 0,
) -> Json:
    """Judge the claims of the paper on records, and rank measures; the public `gentool.claims`.

    `records` are dictionaries, as `gentool.measure` and `gentool.sharpness` return them, measure
    files or folders of them; those about one network are joined. `measure` names those to correlate
    with the key `against`, by default the generalization gap (test error less training error); None
    means all. The intervals are of `bootstrap` resamples, drawn with `seed`, none with 0.

    Return what `gentool claims -o` writes: `networks`, their number; `claims`, a row for each claim
    and measure with its `statement`, `rule`, `verdict` (holds, fails, cannot be told, cannot be
    judged), `numbers` and `evidence`; `left_out`, networks that no claim can use; and `kendall`, a
    row for each measure with Kendall's τ-b and its interval over resamples of recipes, and the
    other scores of the field, where the settings of the networks vary: the granulated Ψ, the
    conditional mutual information and the sign errors over environments.

    Raise UsageError if no record has a measure of that name, GentoolError if a record cannot be
    read or two about one network disagree.

    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017. Jiang et al., Fantastic
    Generalization Measures and Where to Find Them, ICLR 2020. Dziugaite et al., In Search of Robust
    Measures of Generalization, NeurIPS 2020.

    >>> import gentool
    >>> from torch import nn
    >>> record = gentool.measure(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2))
    >>> judged = gentool.claims([record])
    >>> judged["networks"], judged["claims"][0]["verdict"]
    (1, 'cannot be judged')
    """
    if not 0 <= bootstrap <= LARGEST_BOOTSTRAP:
        raise UsageError(f"bootstrap is {bootstrap}; it has to be from 0 to {LARGEST_BOOTSTRAP}")
    names = measure.split(",") if isinstance(measure, str) else measure
    named = None if names is None else list(names)
    return report(given_records(records), named, bootstrap, seed, against).to_json()
