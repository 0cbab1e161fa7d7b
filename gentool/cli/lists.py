"""Read lists on the command line: values with commas between them, and repeated options."""

from collections.abc import Callable, Iterable

from gentool.common.errors import UsageError
from gentool.common.text import shortened


def listed(option: str, values: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the values of an option, as `--only l2,spectral --only margin`; None without it.

    `values` are those of a repeated option, or the text of one. Raise UsageError for an empty
    value.
    """
    if not values:
        return None
    text = values if isinstance(values, str) else ",".join(values)
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise UsageError(
            f"Invalid value for '--{option}': {text!r}; write values with commas between them, "
            "as a,b"
        )
    return parts


def numbers(
    option: str, values: str | Iterable[str] | None, kind: type[int] | type[float] = int
) -> tuple[int | float, ...] | None:
    """Return the numbers of an option; None without it.

    Raise UsageError, in the words of the option, for anything else.
    """
    parts = listed(option, values)
    if parts is None:
        return None
    try:
        return tuple(map(kind, parts))
    except ValueError:
        expected = "whole numbers" if kind is int else "numbers"
        value = shortened(",".join(parts))
        raise UsageError(
            f"Invalid value for '--{option}': {value!r}; it takes {expected}, as 1 or 1,2,3"
        ) from None


def completing(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return a completion of the last value of a list with these names."""

    def complete(incomplete: str) -> list[str]:
        before, comma, _ = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in names()]

    return complete
