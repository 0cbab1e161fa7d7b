"""Hold the cells of a table: values, and the ways in which there is none. No torch."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gentool.common.json import is_number
from gentool.records.averaging import Average
from gentool.records.measure_file import DERIVED, EVALUATED, Record, log10_of, lookup


class NoValue(Enum):
    """Tell the two ways apart in which a network has no value under a key."""

    ABSENT = "no file of the network holds the key"
    NULL = "a file holds null: there is no such value"


@dataclass(frozen=True)
class Large:
    """Hold a number that is too large for a float, by its decimal logarithm."""

    log10: float


Cell = Any  # a number, a text, true or false, a list, or one of the classes above


def cell(record: Record, key: str) -> Cell:
    """Return the value of a record under a key, or why there is none."""
    value = lookup(record, key)
    if value is not None:
        return value
    if "." not in key and (exponent := log10_of(record, key)) is not None:
        return Large(exponent)
    return NoValue.NULL if _is_null(record, key) else NoValue.ABSENT


def has_value(cell: Cell) -> bool:
    """Return whether a cell holds a value."""
    return not isinstance(cell, NoValue)


def _is_null(record: Record, key: str) -> bool:
    """Return whether a record holds the key, as null."""
    if key in DERIVED:
        return any(_is_null(record, part) for part in DERIVED[key])
    if "." not in key:
        return key in record["measures"]
    if record.get("outcome") is None and key in EVALUATED:
        key = key.replace("outcome.", "evaluation.")
    value: Any = record
    *parents, last = key.split(".")
    for part in parents:
        value = value.get(part) if isinstance(value, dict) else None
    return isinstance(value, dict) and last in value and value[last] is None


def number_in_words(value: float, digits: int) -> str:
    """Return a number with so many significant digits: 0.9012, 20198, 2.48e5, 5.922e15, 1e-7."""
    if isinstance(value, int) or value == 0 or not math.isfinite(value):
        return str(value) if not isinstance(value, float) or value else "0"
    if 1e-4 <= abs(value) < 10 ** (digits + 1):
        return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{_stripped(mantissa)}e{int(exponent)}"


def _spread_in_words(sd: float, mean: str, digits: int) -> str:
    """Return a standard deviation with two digits; with an exponent if its mean has one."""
    if "e" not in mean and 10 <= sd < 10 ** (digits + 1):
        return f"{sd:.0f}"
    return number_in_words(sd, 2)


def power_in_words(exponent: float, digits: int) -> str:
    """Return ten to an exponent with so many digits, however large it is: 3.162e400."""
    whole = math.floor(exponent)
    mantissa = f"{10 ** (exponent - whole):.{digits - 1}f}"
    if mantissa.startswith("10"):  # rounded up
        mantissa, whole = "1", whole + 1
    return f"{_stripped(mantissa)}e{whole}"


def _stripped(mantissa: str) -> str:
    return mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa


def in_words(cell: Cell, digits: int) -> str:
    """Return a cell as people read it: rounded; a dash for null, and nothing where it is absent."""
    if cell is NoValue.ABSENT:
        return ""
    if cell is NoValue.NULL:
        return "-"
    if isinstance(cell, Large):
        return power_in_words(cell.log10, digits)
    if isinstance(cell, Average):
        mean = number_in_words(cell.mean, digits)
        return mean if cell.sd is None else f"{mean} ± {_spread_in_words(cell.sd, mean, digits)}"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if is_number(cell):
        return number_in_words(cell, digits)
    if isinstance(cell, (list, tuple)):
        joint = "x" if all(isinstance(part, int) for part in cell) else ", "
        return joint.join(in_words(part, digits) for part in cell)
    return str(cell)
