"""Format numbers for axes and legends."""

import math


def number(value: float) -> str:
    """Return a plain number, thousands as K: 300, 1.4K, 50K."""
    if value >= 1000:
        return f"{value / 1000:.3g}K"
    return f"{value:.3g}"


def size(value: float) -> str:
    """Return a size with all its digits, thousands as K only if round: 2048, 2.5K, 50K."""
    return number(value) if value % 100 == 0 else f"{value:g}"


def tick(value: float, digits: int) -> str:
    """Return a number of a linear axis: 0.05, 500, 2K, 3M; all `digits` if these are above 3."""
    if digits > 3:
        return f"{value:.{digits}g}"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g}M"
    return number(value) if value >= 0 else f"{value:.3g}"


def power_of_ten(exponent: float) -> str:
    """Return ten to an exponent in mathtext: 10^14, 10^14.25."""
    return f"$10^{{{exponent:g}}}$"


def plain_power_of_ten(exponent: float) -> str:
    """Return ten to an exponent as a plain number: 0.5, 20."""
    return f"{10**exponent:.3g}"


def rounded_power_of_ten(exponent: float) -> str:
    """Return ten to an exponent in mathtext, with one digit before it: 10^14, 2·10^14."""
    whole = math.floor(exponent + 1e-9)  # rounding may have taken a whole exponent below itself
    digit = round(10 ** (exponent - whole))
    return power_of_ten(whole) if digit == 1 else f"${digit}\\cdot10^{{{whole}}}$"
