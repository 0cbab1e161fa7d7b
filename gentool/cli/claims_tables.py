"""Print the tables of `gentool claims`: verdicts on claims, and correlations of measures."""

from itertools import groupby

from gentool.claims import LeftOut, Row
from gentool.claims.correlation import Correlation
from gentool.common.console import print_table, say
from gentool.records.key_words import words as key_words


def show_claims(rows: list[Row], left_out: list[LeftOut]) -> None:
    """Print the verdicts, rows of a claim below its title, and notes on networks left out."""
    shown = []
    for claim, group in groupby(rows, key=lambda row: row.claim):
        group = list(group)
        title = f"{claim.id} {claim.title}"
        if len(group) == 1:
            shown.append([title, *_verdict(group[0])])
        else:
            shown.append([title, "", ""])
            shown += [[f"   {_measure_and_family(row)}", *_verdict(row)] for row in group]
    print_table("The paper's claims", ["claim", "verdict", "numbers"], shown, words=3)
    for left in dict.fromkeys(map(str, [*left_out, *(left for r in rows for left in r.left_out)])):
        say(f"note: {left}")


def show_correlations(ranked: list[Correlation]) -> None:
    """Print the measures that have a tau as a table, and why the others have none."""
    rows = [
        [
            correlation.measure,
            f"{correlation.tau:z.2f}",
            _interval(correlation),
            _number(correlation.granulated),
            str(correlation.networks),
        ]
        for correlation in ranked
        if correlation.tau is not None
    ]
    if rows:
        against = ranked[0].against
        words = "the generalization gap" if against == "gap" else key_words(against)
        title = f"Kendall's τ with {words}"
        print_table(title, ["measure", "τ", "95 %", "Ψ", "networks"], rows)
    for row in ranked:
        if row.cut_short:
            say(f"note: {row.measure}: {row.cut_short} left out whose search was cut short")
    without_tau = [correlation for correlation in ranked if correlation.tau is None]
    for reason in dict.fromkeys(correlation.reason for correlation in without_tau):
        names = [c.measure for c in without_tau if c.reason == reason]
        say(f"note: no tau of {', '.join(names)}: {reason}")


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
