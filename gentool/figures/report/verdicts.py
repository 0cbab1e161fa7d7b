"""Prepare the verdicts on the paper's claims and the ranking of measures for a report."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from gentool.claims.correlation import correlations
from gentool.claims.judging import Row, judge
from gentool.claims.registry import CLAIMS, Claim
from gentool.claims.summary import (
    RANKING_EXPLAINED,
    by_equal_ranks,
    measure_and_family,
    ranking_cells,
    unjudged_by_reason,
    without_tau_by_reason,
)
from gentool.claims.verdict import Ruling
from gentool.records.measure_file import Record

RESAMPLES = 1000
SEED = 0
SIGNS = {Ruling.HOLDS: ("✓", "holds"), Ruling.FAILS: ("✗", "fails"), Ruling.OPEN: ("?", "open")}
"""The sign of a ruling, and the class of its look."""


@dataclass(frozen=True)
class VerdictRow:
    """Hold one verdict: what it is about, the ruling with its sign and look, the numbers."""

    about: str
    ruling: str
    sign: str
    look: str
    numbers: str


@dataclass(frozen=True)
class JudgedClaim:
    """Hold a claim and the verdicts on it, one a measure and family of networks."""

    claim: Claim
    rows: list[VerdictRow]


@dataclass(frozen=True)
class Verdicts:
    """Hold the verdicts: counted in words, by claim, and by reason where there are none."""

    summary: str
    judged: list[JudgedClaim]
    unjudged: dict[str, list[str]]
    notes: list[str]
    claims: list[Claim]


@dataclass(frozen=True)
class Ranking:
    """Hold the measures by their rank correlation with the gap; `rows` begin with their names."""

    heads: dict[str, str]
    rows: list[list[str]]
    reasons: dict[str, list[str]]
    notes: list[str]
    resamples: int = RESAMPLES


def verdicts(networks: list[Record]) -> Verdicts:
    """Judge every claim on merged records."""
    rows, left_out = judge(networks)
    told = [row for row in rows if row.verdict.ruling is not Ruling.MISSING]
    counts = Counter(row.verdict.ruling for row in rows)
    summary = ", ".join(f"{ruling.value}: {counts[ruling]}" for ruling in Ruling if counts[ruling])
    notes = map(str, [*left_out, *(left for row in rows for left in row.left_out)])
    return Verdicts(
        summary,
        [
            JudgedClaim(claim, list(map(_row, of_claim)))
            for claim, of_claim in groupby(told, key=lambda row: row.claim)
        ],
        unjudged_by_reason(rows),
        list(dict.fromkeys(notes)),
        list(CLAIMS),
    )


def ranking(networks: list[Record], measures: Sequence[str]) -> Ranking | None:
    """Rank these measures by Kendall's tau with the gap; None for no measures."""
    if not measures:
        return None
    ranked = correlations(networks, list(measures), RESAMPLES, SEED)
    rows = [
        [", ".join(row.measure for row in group), *ranking_cells(group[0])]
        for group in by_equal_ranks(ranked)
    ]
    notes = [
        f"{row.measure}: {row.cut_short} left out whose search was cut short"
        for row in ranked
        if row.cut_short
    ]
    return Ranking(RANKING_EXPLAINED, rows, without_tau_by_reason(ranked), notes)


def _row(row: Row) -> VerdictRow:
    sign, look = SIGNS[row.verdict.ruling]
    about = measure_and_family(row) or row.key
    return VerdictRow(about, row.verdict.ruling.value, sign, look, row.verdict.numbers)
