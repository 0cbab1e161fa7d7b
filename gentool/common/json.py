"""Read and write strict JSON, in which a number that does not exist is null. The one place for it.

Writers write no NaN and no infinity; readers refuse both, numbers that no float can hold, and
halves of characters that no file can hold, so that nothing behind them has to expect any.
"""

import json
import math
import re
from typing import Any

from gentool.common.text import recordable

Json = dict[str, Any]
DIGITS_OF_ANY_FLOAT = 308  # a whole number of so many characters is no larger than a float


def loads(text: str | bytes) -> Any:  # noqa: ANN401 - whatever the JSON holds
    """Return the value of a JSON text; raise ValueError, with the reason, if it is not strict JSON.

    Python's own reader takes NaN and Infinity, makes 1e999 infinite, and lets `\\ud800` through.
    """
    text = _decoded(text)
    value, end = first_value(text, _SPACE.match(text).end())
    if rest := text[end:].strip(" \t\n\r"):
        raise ValueError(f"something follows the first value: {_short(rest)}")
    return value


def first_value(text: str, start: int = 0) -> tuple[Any, int]:
    """Return the JSON value that begins at a place of a text, and the place after it.

    Raise ValueError as `loads` does.
    """
    try:
        value, end = _decode(text, start)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    read = text[start:end]
    if "\\" in read and "\\ud" in read.lower():  # seldom, and lower() copies
        _check_characters(value)
    return value, end


def dumps(value: object, indent: int | None = None) -> str:
    """Return a value as strict JSON; raise ValueError for NaN and infinity.

    Characters that a terminal would obey are escaped, and bytes of a name that are no UTF-8 are
    written as `recordable` says.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    if text.isascii() and "\x7f" not in text:
        return text
    text = _NAME_BYTES.sub(lambda match: recordable(match[0]).replace("\\", "\\\\"), text)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def with_nulls(value: Any, where: str = "") -> tuple[Any, list[str]]:  # noqa: ANN401 - as JSON is
    """Return a value with null for each NaN and infinity, and the places of these, as `a.b.0`."""
    if isinstance(value, float) and not math.isfinite(value):
        return None, [f"{where.removeprefix('.')}: it is {value}, and null stands for it"]
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return value, []
    pairs = [(key, with_nulls(item, f"{where}.{key}")) for key, item in items]
    notes = [note for _, (_, of_item) in pairs for note in of_item]
    if isinstance(value, dict):
        return {key: item for key, (item, _) in pairs}, notes
    return [item for _, (item, _) in pairs], notes


def finite(value: float) -> float | None:
    """Return a number, or None if it is not finite: strict JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None


def is_number(value: object) -> bool:
    """Return whether a JSON value is a number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def log10(value: float | None) -> float | None:
    """Return the decimal logarithm, or None if there is none."""
    return math.log10(value) if value is not None and value > 0 else None


def _decoded(text: str | bytes) -> str:
    try:
        return text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(str(error)) from None


def _decode(text: str, start: int) -> tuple[Any, int]:
    """Return the JSON value that begins at a place, and the place after it; refuse large numbers.

    A call for each number takes longer than all the rest, so it is made only where a text may have
    one that is too large, or is damaged.
    """
    try:
        value, end = _DECODER.raw_decode(text, start)
    except ValueError:
        return _CHECKING_DECODER.raw_decode(text, start)  # says what is wrong
    if _may_be_too_large(text[start:end]):
        return _CHECKING_DECODER.raw_decode(text, start)
    return value, end


def _may_be_too_large(text: str) -> bool:
    """Return whether a JSON text may have a number that no float can hold; false is certain.

    Without an exponent of three digits or more, and without 200 digits in a row, each number is
    below 1e299. The digits of a SHA-256 are no exponent: a letter or a quote follows them.
    """
    if _LARGE_EXPONENT.search(text) or ("E" in text and _LARGE_EXPONENT.search(text.lower())):
        return True
    return _MANY_DIGITS in text.translate(_DIGITS_AS_0)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{_short(digits)} is beyond the numbers of a computer")
    return value


def _int(digits: str) -> int:
    if len(digits) > DIGITS_OF_ANY_FLOAT:
        _float(digits)  # raises ValueError if no float can hold it
    return int(digits)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not strict JSON")


def _short(text: str) -> str:
    """Return the beginning of a text on one line."""
    text = " ".join(text[:100].split())
    return text if len(text) <= 20 else f"{text[:17]}..."


def _check_characters(value: object) -> None:
    """Raise ValueError if a text in a value has half a character, as `\\ud800`."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"it has half a character ({error.reason})") from None


_SPACE = re.compile(r"[ \t\n\r]*")
_NAME_BYTES = re.compile("[\udc80-\udcff]+")
_UNSAFE = re.compile(
    "[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)  # control characters, those without width, and those that reverse the direction
_LARGE_EXPONENT = re.compile(r"e\+?[0-9]{3,}(?![0-9a-zA-Z\"])")
_MANY_DIGITS = "0" * 200
_DIGITS_AS_0 = str.maketrans("123456789", "000000000")
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_CHECKING_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_float, parse_int=_int
)
