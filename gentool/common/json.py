"""JSON values, and numbers that strict JSON can hold."""

import math
from typing import Any

Json = dict[str, Any]


def finite(value: float) -> float | None:
    """A number, or None where it is not finite: strict JSON has no other."""
    return value if math.isfinite(value) else None


def log10(value: float | None) -> float | None:
    """The decimal logarithm, or None where there is none."""
    return math.log10(value) if value is not None and value > 0 else None
