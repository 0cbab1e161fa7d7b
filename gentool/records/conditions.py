"""Choose networks by conditions on their keys, as `recipe.labels=true,random` or `gap<0.1`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import ge, gt, le, lt

from gentool.common.errors import GentoolError, UsageError
from gentool.common.json import is_number
from gentool.records.cells import Cell, Large, NoValue, cell, has_value, in_words
from gentool.records.measure_file import Record, check_key

_FORM = re.compile(r"([^<>=!]+)(<=|>=|!=|==|=|<|>)(.*)", re.DOTALL)
_ORDERS: dict[str, Callable[[float, float], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
MOST_SHOWN = 8


@dataclass(frozen=True)
class Condition:
    """Hold a condition: a key, a relation, and the values that are alternatives."""

    key: str
    relation: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.key}{self.relation}{','.join(self.values)}"

    def holds(self, value: Cell) -> bool:
        """Return whether a cell meets the condition; one without a number is neither < nor >."""
        if self.relation == "=":
            return any(is_same(value, text) for text in self.values)
        if self.relation == "!=":
            return not any(is_same(value, text) for text in self.values)
        if isinstance(value, Large):  # beyond every float
            return self.relation[0] == ">"
        return is_number(value) and _ORDERS[self.relation](value, float(self.values[0]))


def parse_condition(text: str) -> Condition:
    """Return the condition that a text states: KEY=A,B  KEY!=A  KEY<1  KEY<=1  KEY>1  KEY>=1.

    Raise UsageError for a text of another form, and for < or > without a number.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"--where is {text!r}; write KEY=VALUE, as recipe.labels=true or gap<0.1")
    key, relation, values = match[1].strip(), match[2], match[3]
    parts = tuple(part.strip() for part in values.split(","))
    if relation in _ORDERS and (len(parts) > 1 or _number(parts[0]) is None):
        raise UsageError(f"--where is {text!r}; {relation} compares with one number")
    return Condition(key, "=" if relation == "==" else relation, parts)


def is_same(value: Cell, text: str) -> bool:
    """Return whether a cell is what a text says: the same number (1e3 is 1000) or the same word.

    `null` is a cell without a value.
    """
    if isinstance(value, NoValue):
        return text == "null"
    if isinstance(value, bool):
        return text in (("true", "yes") if value else ("false", "no"))
    if is_number(value):
        return _number(text) == value
    return str(value) == text or in_words(value, 17) == text


def chosen(records: list[Record], conditions: list[Condition]) -> tuple[list[Record], list[str]]:
    """Return the records that meet all conditions, and notes on values that no record has.

    Raise UsageError for an unknown key, GentoolError, with the values that there are, if no record
    is left.
    """
    notes = []
    for condition in conditions:
        check_key(records, condition.key)
        values = [cell(record, condition.key) for record in records]
        kept = [r for r, value in zip(records, values, strict=True) if condition.holds(value)]
        if not kept:
            raise GentoolError(f"no network has {condition}; {_values(condition.key, values)}")
        if condition.relation in ("=", "!="):
            notes += [
                f"no network has {condition.key}={text}; {_values(condition.key, values)}"
                for text in condition.values
                if not any(is_same(value, text) for value in values)
            ]
        elif missing := sum(not has_value(value) for value in values):
            notes.append(f"{missing} networks without {condition.key} are left out ({condition})")
        records = kept
    return records, notes


def _values(key: str, values: list[Cell]) -> str:
    """Return the values that a key has, in words; of many numbers the lowest and the highest."""
    distinct = dict.fromkeys(in_words(v, 6) if has_value(v) else "null" for v in values)
    if len(distinct) <= MOST_SHOWN:
        return f"its values are {', '.join(distinct)}"
    numbers = [value for value in values if is_number(value)]
    if numbers:
        return f"its values are {min(numbers):g} to {max(numbers):g}"
    return f"its values are {', '.join(list(distinct)[:MOST_SHOWN])} and others"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
