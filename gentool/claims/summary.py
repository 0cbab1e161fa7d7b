"""Group verdicts and correlations as people read them: by claim, by reason, by equal ranks."""

from collections.abc import Iterable

from gentool.claims.correlation import Correlation
from gentool.claims.judging import Row
from gentool.claims.verdict import Ruling

RANKING_EXPLAINED = {
    "τ": "Kendall's rank correlation: 1 if the measure orders the networks as the gap does",
    "95 %": "bootstrap interval of τ; resamples draw recipes, with all of their seeds",
    "Ψ": "mean τ over groups of networks that differ in one setting alone",
    "K": "share of what orders the gaps that the measure tells, given any two settings",
    "error": "mean share of wrongly ordered networks over environments (changes of one setting)",
    "worst": "that share in the worst environment; 0.50 is a coin",
    "networks": "networks that have the measure and the gap",
}
"""The columns of a ranking of measures, and what they hold."""


def measure_and_family(row: Row) -> str:
    """Return the measure, if the claim has several, and the family of a row."""
    key = row.key if len(row.claim.keys) > 1 else ""
    return ", ".join(filter(None, [key, row.family and row.family.name]))


def unjudged_by_reason(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Return the claims that cannot be judged, as `1a (l2)`, by the reason."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row.verdict.ruling is Ruling.MISSING:
            claims = reasons.setdefault(row.verdict.numbers, {})
            keys = claims.setdefault(row.claim.id, [])
            if row.family is not None:
                keys.append(measure_and_family(row))
    return {
        reason: [
            claim + f" ({'; '.join(keys)})" * any(keys)
            for claim, keys in ((claim, list(dict.fromkeys(keys))) for claim, keys in of.items())
        ]
        for reason, of in reasons.items()
    }


def by_equal_ranks(ranked: Iterable[Correlation]) -> list[list[Correlation]]:
    """Return the measures that have a tau, those that order the networks alike in one group.

    One and its multiple do; the first of a group has the shortest name.
    """
    groups: dict[tuple, list[Correlation]] = {}
    for row in ranked:
        if row.tau is not None:
            ranks = (row.tau, row.interval, row.granulated, row.networks)
            groups.setdefault(ranks, []).append(row)
    return [sorted(group, key=lambda row: len(row.measure)) for group in groups.values()]


def without_tau_by_reason(ranked: Iterable[Correlation]) -> dict[str, list[str]]:
    """Return the measures that have no tau, by the reason."""
    reasons: dict[str, list[str]] = {}
    for row in ranked:
        if row.tau is None:
            reasons.setdefault(str(row.reason), []).append(row.measure)
    return reasons


def ranking_cells(row: Correlation) -> list[str]:
    """Return τ, its interval, Ψ, K, the sign errors and the number of networks in words."""
    interval = "-" if row.interval is None else "{:z.2f} to {:z.2f}".format(*row.interval)
    information, errors = row.conditional_information, row.sign_error
    scores = [
        row.granulated,
        information and information.value,
        errors and errors.mean,
        errors and errors.worst,
    ]
    cells = ["-" if score is None else f"{score:z.2f}" for score in scores]
    return [f"{row.tau:z.2f}", interval, *cells, str(row.networks)]
