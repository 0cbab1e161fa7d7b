"""Define the allowed values of a recipe's fields, and the words for them in error messages."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Hold a predicate for the allowed values, and the words that complete `it has to be …`."""

    includes: Callable[[object], bool]
    words: str

    def or_none(self) -> "Range":
        """Return the same range, with None allowed too."""
        return Range(lambda value: value is None or self.includes(value), self.words)


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
    return isinstance(value, tuple) and all(
        type(item) in (int, float) and abs(item) < 1e30 for item in value
    )


def _is_shape(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(map(COUNT.includes, value))


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
CHANNELS = Range(lambda value: type(value) is int and value in (1, 3), "1 or 3")
PIXELS = whole_number(1, 10_000)
LABELS = Range(
    lambda value: value in ("true", "random") or (type(value) in (int, float) and 0 < value < 1),
    "true, random or a fraction between 0 and 1",
)
SHAPE = Range(_is_shape, "channels, height and width")
CHANNEL_NUMBERS = Range(_are_floats, "one number a channel")
LIST_OF_LAYERS = Range(lambda value: isinstance(value, tuple), "a list of layers")
OBJECT = Range(lambda value: isinstance(value, dict), "a JSON object")
