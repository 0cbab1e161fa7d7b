"""Print the measures of networks on stderr: of several a row each, of one a row a measure."""

import math
from collections.abc import Iterable, Sequence
from itertools import takewhile

from gentool.common.console import say
from gentool.common.tables import print_explanations, print_table
from gentool.records.cells import NoValue, cell, in_words
from gentool.records.key_words import explanation, head, words
from gentool.records.keys import ERRORS, has_some, present
from gentool.records.measure_file import Record, log10_of

DIGITS = 4
DIGITS_OF_ONE = 6
THAT_MATTER = ("margin", "l2", "l1_path", "l2_path", "spectral")
FOLDED = {"_operator": "no convolutions", "_maxpool": "no max poolings"}
"""Suffixes of measures that equal the plain ones in networks without certain layers."""
LEAST_SAVED = 8  # characters of a common beginning that is worth leaving out
SEPARATORS = "-_."


def show_measures(records: list[Record], only: Sequence[str] | None, everything: bool) -> None:
    """Print the measures of networks: those asked for, all, or those that matter and how many more.

    Measures that are the same numbers in all of the networks are folded into one.
    """
    names = list(dict.fromkeys(name for record in records for name in record["measures"]))
    errors = [key for key in ERRORS if key != "gap" and has_some(records, key)]
    same: dict[str, list[str]] = {}
    if only is not None:
        shown = [name for name in only if name in names]
    elif everything:
        shown, same = folded(records, names)
    else:
        shown = [key for key in present(records, THAT_MATTER) if key in names] or names
    _show(records, [*errors, *shown])
    for suffix, equal in same.items():
        reason = FOLDED[suffix]
        say(f"note: {len(equal)} measures ending in {suffix} are the plain ones ({reason})")
    more = len(names) - len(shown) - sum(map(len, same.values()))
    if more > 0 and only is None:
        say(f"note: {more} more measures are in the {_files(records)}; --all shows them")


def folded(records: list[Record], names: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the measures without those that equal their plain ones in all records, and these."""
    kept, same = [], {}
    for name in names:
        for suffix in FOLDED:
            plain = name.replace(suffix, "")
            if plain != name and all(_is_same(record, name, plain) for record in records):
                same.setdefault(suffix, []).append(name)
                break
        else:
            kept.append(name)
    return kept, same


def short_names(names: Sequence[str]) -> tuple[list[str], str]:
    """Return names without their common beginning and end, and the pattern that holds them.

    Both end at a hyphen, an underscore or a dot, so that no word and no number is cut. The names
    are returned as they are, with an empty pattern, where little is saved or nothing is left.
    """
    start, end = _common_start(names), _common_start([name[::-1] for name in names])[::-1]
    start = start[: max(start.rfind(char) for char in SEPARATORS) + 1]
    places = [place for char in SEPARATORS if (place := end.find(char)) >= 0]
    end = end[min(places) :] if places else ""
    short = [name[len(start) : len(name) - len(end)] for name in names]
    too_short = any(len(start) + len(end) >= len(name) for name in names)
    if len(names) < 2 or too_short or len(start) + len(end) < LEAST_SAVED:
        return list(names), ""
    return short, f"{start}*{end}"


def _common_start(names: Sequence[str]) -> str:
    """Return the characters with which all names begin."""
    letters = zip(min(names), max(names), strict=False)  # all others lie between these two
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], letters))


def names_of(records: list[Record]) -> tuple[list[str], str]:
    """Return the short names of networks for a table, and a title that holds what they share."""
    short, pattern = short_names([str(record["checkpoint"]["file"]) for record in records])
    return short, f"{len(records)} networks" + (f" {pattern}" if pattern else "")


def _show(records: list[Record], keys: list[str]) -> None:
    """Print a table of these keys, and what they mean."""
    if len(records) == 1:
        [record] = records
        rows = [[head(key), *_numbers(record, key), explanation(key) or words(key)] for key in keys]
        heads = ["measure", "value", "log10", "what it is"]
        print_table(str(record["checkpoint"]["file"]), heads, rows, ends_in_text=True)
        return
    names, title = names_of(records)
    rows = [
        [name, *(in_words(cell(record, key), DIGITS) for key in keys)]
        for name, record in zip(names, records, strict=True)
    ]
    print_table(title, ["network", *map(head, keys)], rows)
    print_explanations((head(key), explanation(key)) for key in keys)


def _numbers(record: Record, key: str) -> list[str]:
    """Return the value under a key and, of a measure, its logarithm."""
    exponent = log10_of(record, key) if key in record["measures"] else None
    value = in_words(cell(record, key), DIGITS_OF_ONE)
    return [value, "" if exponent is None else f"{exponent:.3f}"]


def _is_same(record: Record, name: str, plain: str) -> bool:
    """Return whether two measures of a record are the same number, or both are null."""
    values = [cell(record, name), cell(record, plain)]
    if NoValue.ABSENT in values:
        return NoValue.ABSENT is values[0]
    logs = [log10_of(record, key) for key in (name, plain)]
    if None in logs:
        return values[0] == values[1]
    return math.isclose(*logs, rel_tol=1e-12, abs_tol=1e-9)


def _files(records: list[Record]) -> str:
    return "file" if len(records) == 1 else "files"
