"""Print by how much measures change where a network is written in other ways."""

from gentool.common.console import say
from gentool.common.tables import print_table
from gentool.records.measure_file import Record

SAME = 1e-6  # relative change that counts as rounding


def show_invariance(records: list[Record]) -> None:
    """Print a table for each network: the factor by which each measure changes, `same` for 1."""
    for record in records:
        report = record.get("invariance")
        if report is None:
            continue
        names = list(report["transformations"])
        rows = [
            [measure, *(_in_words(factors.get(name)) for name in names)]
            for measure, factors in report["factors"].items()
            if any(_changes(factors.get(name)) for name in names)
        ]
        count = len(report["factors"]) - len(rows)
        heads = ["measure", *(name.replace("_", " ") for name in names)]
        if rows:
            print_table(f"{record['checkpoint']['file']}: value after / before", heads, rows)
        say(f"note: {count} measures stay as they are under all of {', '.join(heads[1:])}")
        for name, reason in report["not_applied"].items():
            say(f"note: {name.replace('_', ' ')} is left out: {reason}")


def _changes(factor: float | None) -> bool:
    return factor is not None and abs(factor - 1) > SAME


def _in_words(factor: float | None) -> str:
    if factor is None:
        return "–"
    return f"{factor:.4g}" if _changes(factor) else "same"
