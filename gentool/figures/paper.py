"""Read the paper's values, taken from its vector figures, to draw them behind ours."""

from functools import cache
from importlib import resources

from gentool.common.json import loads

NAMES = {"l2": "l2", "l1_path": "l1path", "l2_path": "l2path", "spectral": "spectral"}
NAMES |= {"sharpness": "sharpness"}
INPUT_SHAPE = [3, 32, 32]  # of CIFAR-10, in figures 1 to 3
Points = tuple[tuple[float, ...], tuple[float, ...]]


@cache
def values() -> dict[str, list[list[float]]]:
    """Return points [x, y] by the keys of the file, which describes them and names its source."""
    text = (resources.files("gentool.figures") / "paper_figures.json").read_text("utf-8")
    return loads(text)["values"]


def points(key: str) -> Points:
    """Return the x and the y of one curve."""
    x, y = zip(*values()[key], strict=True)
    return x, y


def sizes(prefix: str) -> dict[str, str]:
    """Return the curves of a panel: label in the paper (5K, 2048) and key in the file."""
    return {key.removeprefix(prefix): key for key in values() if key.startswith(prefix)}
