"""The tables of `gentool claims`: what is said of each claim, and how measures rank networks."""

from itertools import groupby

from gentool.claims import LeftOut, Row
from gentool.claims.correlation import Correlation
from gentool.common.console import print_table, say


def show_claims(rows: list[Row], left_out: list[LeftOut]) -> None:
    """The rows of each claim below its title, and what was left out below the table."""
    shown = []
    for claim, group in groupby(rows, key=lambda row: row.claim):
        group = list(group)
        title = f"{claim.id} {claim.title}"
        if len(group) == 1:
            shown.append([title, *_said(group[0])])
        else:
            shown.append([title, "", ""])
            shown += [[f"   {_by(row)}", *_said(row)] for row in group]
    print_table("The paper's claims", ["claim", "verdict", "numbers"], shown, words=3)
    for left in dict.fromkeys(map(str, [*left_out, *(left for r in rows for left in r.left_out)])):
        say(f"note: {left}")


def show_correlations(ranked: list[Correlation]) -> None:
    """One row a measure that has a tau; the reasons of the others below."""
    rows = [
        [one.measure, f"{one.tau:z.2f}", _interval(one), _number(one.granulated), str(one.networks)]
        for one in ranked
        if one.tau is not None
    ]
    if rows:
        title = "Kendall's τ with the generalization gap"
        print_table(title, ["measure", "τ", "95 %", "Ψ", "networks"], rows)
    for reason in dict.fromkeys(one.reason for one in ranked if one.tau is None):
        names = [one.measure for one in ranked if one.tau is None and one.reason == reason]
        say(f"note: no tau of {', '.join(names)}: {reason}")


def _interval(one: Correlation) -> str:
    return "-" if one.interval is None else f"{one.interval[0]:z.2f} to {one.interval[1]:z.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:z.2f}"


def _said(row: Row) -> list[str]:
    return [row.verdict.ruling.value, row.verdict.numbers]


def _by(row: Row) -> str:
    """What tells the rows of a claim apart: the measure, where it has several, and the family."""
    key = row.key if len(row.claim.keys) > 1 else ""
    return ", ".join(filter(None, [key, row.family and row.family.name]))
