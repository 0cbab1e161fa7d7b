"""Judge the claims and rank the measures: all that `gentool claims` reports on measure files."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from gentool.claims.correlation import Correlation, correlations
from gentool.claims.judging import LeftOut, Row, judge
from gentool.claims.verdict import Ruling
from gentool.common.errors import unknown
from gentool.common.json import Json
from gentool.common.version import __version__
from gentool.records.measure_file import DERIVED, Record, check_key, merge


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

    Raise UsageError if no record has a measure or a key of that name, GentoolError if two records
    about one checkpoint disagree.
    """
    networks = merge(records)
    recorded = dict.fromkeys(name for network in networks for name in network["measures"])
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
