"""Print the tables of `gentool claims`: verdicts on claims, and correlations of measures."""

from itertools import groupby

from gentool.claims import LeftOut, Row
from gentool.claims.correlation import Correlation
from gentool.claims.summary import (
    RANKING_EXPLAINED,
    by_equal_ranks,
    measure_and_family,
    ranking_cells,
    unjudged_by_reason,
    without_tau_by_reason,
)
from gentool.claims.verdict import Ruling
from gentool.common.console import say
from gentool.common.tables import print_explanations, print_table
from gentool.records.key_words import words as key_words

NAMES_SHOWN = 4


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
            shown += [[f"   {measure_and_family(row)}", *_verdict(row)] for row in group]
    if shown:
        print_table("The paper's claims", ["claim", "verdict", "numbers"], shown, words=3)
    for reason, names in unjudged_by_reason(rows).items():
        say(f"cannot be judged: {', '.join(names)}: {reason}")
    for left in dict.fromkeys(map(str, [*left_out, *(left for r in rows for left in r.left_out)])):
        say(f"note: {left}")


def show_correlations(ranked: list[Correlation]) -> None:
    """Print the measures that have a tau as a table, and why the others have none.

    Measures that order the networks alike, as one and its multiple, are one row.
    """
    groups = by_equal_ranks(ranked)
    rows = []
    for group in groups:
        more = f" +{len(group) - 1}" * (len(group) > 1)
        rows.append([group[0].measure + more, *ranking_cells(group[0])])
    if rows:
        against = ranked[0].against
        words = "the generalization gap" if against == "gap" else key_words(against)
        explained = dict(RANKING_EXPLAINED)
        if against != "gap":
            explained = {
                head: text.replace("the gap", words) for head, text in RANKING_EXPLAINED.items()
            }
        print_table(f"Kendall's τ with {words}", ["measure", *RANKING_EXPLAINED], rows)
        if any(len(group) > 1 for group in groups):
            explained |= {"+1": "one more measure with the same numbers; -o writes all of them"}
        print_explanations(explained.items())
    for row in ranked:
        if row.cut_short:
            say(f"note: {row.measure}: {row.cut_short} left out whose search was cut short")
    for reason, names in without_tau_by_reason(ranked).items():
        more = len(names) - NAMES_SHOWN
        listed = ", ".join(names[:NAMES_SHOWN]) + f" and {more} more" * (more > 0)
        say(f"note: no tau of {listed}: {reason}")


def _verdict(row: Row) -> list[str]:
    return [row.verdict.ruling.value, row.verdict.numbers]
