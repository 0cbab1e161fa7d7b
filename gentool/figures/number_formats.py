"""Format numbers for axes and legends."""

from matplotlib.ticker import EngFormatter

_ENGINEERING = EngFormatter(sep="")


def size(value: float) -> str:
    """Return a size with all its digits, K and M only if round: 1024, 2048, 2.5K, 50K, 3M."""
    if abs(value) >= 1000 and value % 100 == 0 and abs(value) < 1e9:
        return _ENGINEERING.format_eng(value).replace("k", "K")
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e9 else f"{value:.6g}"
