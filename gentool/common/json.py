"""Hold numbers as strict JSON can: a number that does not exist is None."""

import math
from typing import Any

Json = dict[str, Any]


def finite(value: float) -> float | None:
    """Return a number, or None if it is not finite: strict JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None


def is_number(value: object) -> bool:
    """Return whether a JSON value is a number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def log10(value: float | None) -> float | None:
    """Return the decimal logarithm, or None if there is none."""
    return math.log10(value) if value is not None and value > 0 else None
