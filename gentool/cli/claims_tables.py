"""Print the tables of `gentool claims`: verdicts on claims, and correlations of measures."""

from itertools import groupby

from gentool.claims import LeftOut, Row
from gentool.claims.correlation import Correlation
from gentool.claims.verdict import Ruling
from gentool.common.console import say
from gentool.common.tables import print_explanations, print_table
from gentool.records.key_words import words as key_words

NAMES_SHOWN = 4
EXPLAINED = {
    "τ": "Kendall's rank correlation: 1 if the measure orders the networks as the gap does",
    "95 %": "bootstrap interval of τ",
    "Ψ": "mean τ over groups of networks that differ in one setting alone",
    "networks": "networks that have the measure and the gap",
}


def show_claims(rows: list[Row], left_out: list[LeftOut]) -> None:
    """Print the verdicts, rows of a claim below its title, and notes on networks left out.

    Claims that cannot be judged are below the table, in one line for each reason.
    """
    shown = []
    judged = [row for row in rows if row.verdict.ruling is not Ruling.MISSING]
    for claim, group in groupby(judged, key=lambda row: row.claim):
        group = list(group)
        title = f"{claim.id} {claim.title}"
        if len(group) == 1:
            shown.append([title, *_verdict(group[0])])
        else:
            shown.append([title, "", ""])
            shown += [[f"   {_measure_and_family(row)}", *_verdict(row)] for row in group]
    if shown:
        print_table("The paper's claims", ["claim", "verdict", "numbers"], shown, words=3)
    for reason, names in _by_reason(rows).items():
        say(f"cannot be judged: {', '.join(names)}: {reason}")
    for left in dict.fromkeys(map(str, [*left_out, *(left for r in rows for left in r.left_out)])):
        say(f"note: {left}")


def _by_reason(rows: list[Row]) -> dict[str, list[str]]:
    """Return the claims that cannot be judged, as `1a (l2)`, by the reason."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row.verdict.ruling is Ruling.MISSING:
            claims = reasons.setdefault(row.verdict.numbers, {})
            keys = claims.setdefault(row.claim.id, [])
            if row.family is not None:
                keys.append(_measure_and_family(row))
    return {
        reason: [
            claim + f" ({'; '.join(keys)})" * any(keys)
            for claim, keys in ((claim, list(dict.fromkeys(keys))) for claim, keys in of.items())
        ]
        for reason, of in reasons.items()
    }


def show_correlations(ranked: list[Correlation]) -> None:
    """Print the measures that have a tau as a table, and why the others have none.

    Measures that order the networks alike, as one and its multiple, are one row.
    """
    groups: dict[tuple, list[Correlation]] = {}
    for row in ranked:
        if row.tau is not None:
            ranks = (row.tau, row.interval, row.granulated, row.networks)
            groups.setdefault(ranks, []).append(row)
    rows = []
    for group in groups.values():
        first = min(group, key=lambda row: len(row.measure))
        more = f" +{len(group) - 1}" * (len(group) > 1)
        numbers = [_interval(first), _number(first.granulated), str(first.networks)]
        rows.append([first.measure + more, f"{first.tau:z.2f}", *numbers])
    if rows:
        against = ranked[0].against
        words = "the generalization gap" if against == "gap" else key_words(against)
        explained = EXPLAINED
        if against != "gap":
            explained = {head: text.replace("the gap", words) for head, text in EXPLAINED.items()}
        print_table(f"Kendall's τ with {words}", ["measure", *EXPLAINED], rows)
        if any(len(group) > 1 for group in groups.values()):
            explained |= {"+1": "one more measure with the same numbers; -o writes all of them"}
        print_explanations(explained.items())
    for row in ranked:
        if row.cut_short:
            say(f"note: {row.measure}: {row.cut_short} left out whose search was cut short")
    without_tau = [correlation for correlation in ranked if correlation.tau is None]
    for reason in dict.fromkeys(correlation.reason for correlation in without_tau):
        names = [c.measure for c in without_tau if c.reason == reason]
        more = len(names) - NAMES_SHOWN
        listed = ", ".join(names[:NAMES_SHOWN]) + f" and {more} more" * (more > 0)
        say(f"note: no tau of {listed}: {reason}")


def _interval(correlation: Correlation) -> str:
    if correlation.interval is None:
        return "-"
    low, high = correlation.interval
    return f"{low:z.2f} to {high:z.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:z.2f}"


def _verdict(row: Row) -> list[str]:
    return [row.verdict.ruling.value, row.verdict.numbers]


def _measure_and_family(row: Row) -> str:
    """Return the measure, if the claim has several, and the family of a row."""
    key = row.key if len(row.claim.keys) > 1 else ""
    return ", ".join(filter(None, [key, row.family and row.family.name]))
