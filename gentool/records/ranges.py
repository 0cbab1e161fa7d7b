"""Define the allowed values of the fields of files, and the words for them in error messages."""

import math
import reprlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

Explain = Callable[[object, str], str | None]


@dataclass(frozen=True)
class Range:
    """Hold a predicate for the allowed values, and the words that complete `it has to be …`.

    `explain` says which part of a list or an object is wrong. `types` are those of which all values
    are allowed, None if the range is not one of types. `includes_all` is the predicate for many
    values at once, where that is quicker than one by one.
    """

    includes: Callable[[object], bool]
    words: str
    explain: Explain | None = None
    types: frozenset[type] | None = None
    includes_all: Callable[[Collection[Any]], bool] | None = None

    def or_none(self) -> "Range":
        """Return the same range, with None allowed too."""
        if self.types is not None and self.explain is None:
            return of_types(self.words, *self.types, type(None))
        return Range(lambda value: value is None or self.includes(value), self.words, self.explain)

    def fault(self, value: object, name: str) -> str | None:
        """Return what is wrong with a value, with the name of its field; None if it is allowed."""
        if self.includes(value):
            return None
        inside = self.explain(value, name) if self.explain is not None else None
        return inside or f"{name} is {shown(value)}; it has to be {self.words}"


def shown(value: object) -> str:
    """Return a value of a file as an error message shows it: short, as JSON writes it."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else _SHORT.repr(value)


def of_types(words: str, *types: type) -> Range:
    """Return the range of all values of some types."""
    allowed = frozenset(types)
    return Range(
        lambda value: type(value) in allowed,
        words,
        types=allowed,
        includes_all=lambda values: allowed.issuperset(map(type, values)),
    )


def number(includes: Callable[[float], bool], words: str) -> Range:
    """Return the range of the numbers that satisfy a predicate; true and false are not numbers."""
    return Range(lambda value: type(value) in (int, float) and includes(value), words)


def whole_number(low: int, high: int | None = None) -> Range:
    """Return the range of the integers from `low` to `high`.

    Without `high` it ends at 2**53, up to which a float can hold each integer.
    """
    last = 2**53 if high is None else high
    words = f", {low} or more" if high is None else f" from {low} to {high}"
    return Range(
        lambda value: type(value) is int and low <= value <= last, f"a whole number{words}"
    )


def one_of(*names: str) -> Range:
    """Return the range of some strings."""
    return Range(lambda value: value in names, " or ".join(names))


def text(words: str) -> Range:
    """Return the range of all strings that are not empty."""
    return Range(lambda value: isinstance(value, str) and value != "", words)


def _are_floats(value: object) -> bool:
    return isinstance(value, (tuple, list)) and all(
        type(item) in (int, float) and abs(item) < 1e30 for item in value
    )


def _is_shape(value: object) -> bool:
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        return False
    return all(map(COUNT.includes, value)) and math.prod(value) <= LARGEST


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring = 2, 3, 2, 60
LARGEST = 2**31
"""The most values of an image, and the most units or classes: beyond it torch's sizes overflow."""


NAME = text("a name")
SHA256 = text("a SHA-256")
BATCH_NORM = Range(
    lambda value: isinstance(value, bool) or value in ("hidden", "all"),
    "true, false, hidden or all",
)
BOOLEAN = Range(lambda value: isinstance(value, bool), "true or false")
POSITIVE = number(lambda value: 0 < value < float("inf"), "a positive number")
NOT_NEGATIVE = number(lambda value: 0 <= value < float("inf"), "a number, 0 or more")
BELOW_ONE = number(lambda value: 0 <= value < 1, "at least 0 and below 1")
EPOCHS = number(lambda value: 0 <= value < 1e9, "a number of epochs, 0 or more")
COUNT = whole_number(1)
UNITS = whole_number(1, LARGEST)
WIDTH = number(lambda value: 0 < value <= 10_000, "a positive number up to 10000")
FRACTION = number(lambda value: 0 <= value <= 1, "a fraction from 0 to 1")
FINITE = number(lambda value: abs(value) < float("inf"), "a number")
NUMBER = of_types("a number", int, float)
TEXT = of_types("a text", str)
CHANNELS = Range(lambda value: type(value) is int and value in (1, 3), "1 or 3")
PIXELS = whole_number(1, 10_000)
LABELS = Range(
    lambda value: value in ("true", "random") or (type(value) in (int, float) and 0 < value < 1),
    "true, random or a fraction between 0 and 1",
)
SHAPE = Range(_is_shape, "channels, height and width")
CHANNEL_NUMBERS = Range(_are_floats, "one number a channel")
CHANNEL_DEVIATIONS = Range(
    lambda value: _are_floats(value) and all(item > 0 for item in value),
    "one positive number a channel",
)
LIST_OF_LAYERS = Range(lambda value: isinstance(value, (tuple, list)), "a list of layers")
ANYTHING = Range(lambda value: True, "anything")
OBJECT = Range(lambda value: isinstance(value, dict), "a JSON object")
