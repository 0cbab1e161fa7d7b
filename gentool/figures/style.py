"""Define the colours and markers that are the same in all figures, and short words for keys."""

from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb

from gentool.records.key_words import words

# Okabe and Ito's colours, distinct with every kind of colour vision.
BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, BLACK = "#56B4E9", "#CC79A7", "#000000"
_FIXED = {"true": (BLUE, "o"), "random": (VERMILION, "s")}
FAINT = "#AAAAAA"  # random directions
GREY, INDIGO, WINE = "#666666", "#332288", "#882255"
_FIXED_KEYS = {
    "l2": (GREEN, "^"),
    "l1_path": (ORANGE, "D"),
    "l2_path": (PURPLE, "P"),
    "spectral": (SKY, "v"),
    "sharpness": (BLACK, "X"),
    "outcome.train_error": (GREY, "o"),
    "outcome.test_error": (INDIGO, "s"),
    "outcome.confusion_error": (WINE, "D"),
}
_COLOURS = (GREEN, ORANGE, SKY, PURPLE, BLACK, WINE, "#999933", INDIGO, GREY, "#8C510A")
_MARKERS = "^DvPX<p>*hd8"
DASHES = ("-", "--", "-.", ":")
_KEY_DASHES = {"l1_path": "--", "l2_path": "-.", "spectral": (0, (6, 1, 1, 1, 1, 1))}


def short(key: str) -> str:
    """Return a measure's short name for a legend, without "norm capacity"."""
    return words(key).removesuffix(" norm capacity").removesuffix(" capacity")


def fixed(key: str) -> tuple[str, str]:
    """Return colour and marker of true or random labels, of a measure or of an error."""
    return (_FIXED | _FIXED_KEYS)[key]


def sequence(count: int) -> list[str]:
    """Return colours of sizes in order: light for small, dark for large."""
    return [to_hex(colormaps["viridis_r"](0.12 + 0.88 * place)) for place in _places(count)]


def tints(colour: str, count: int) -> list[str]:
    """Return tints of one colour in order: light, and at last the colour itself."""
    full = to_rgb(colour)
    lightness = [0.65 * (1 - place) for place in _places(count)]
    return [to_hex([part + (1 - part) * light for part in full]) for light in lightness]


def _places(count: int) -> list[float]:
    """Return `count` evenly spaced numbers from 0 to 1; 1 alone if there is only one."""
    return [i / (count - 1) for i in range(count)] if count > 1 else [1.0] * count


def looks(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Return colour and marker of each label: true and random have their own everywhere."""
    others = _others(labels)
    return [
        _FIXED.get(label)
        or (
            _COLOURS[others.index(label) % len(_COLOURS)],
            _MARKERS[others.index(label) % len(_MARKERS)],
        )
        for label in labels
    ]


def dashes(labels: Sequence[str]) -> list[str]:
    """Return the dash of each label's line, another one where the colours of `looks` repeat."""
    others = _others(labels)
    rounds = [0 if label in _FIXED else others.index(label) // len(_COLOURS) for label in labels]
    return [DASHES[number % len(DASHES)] for number in rounds]


def dash(key: str) -> str | tuple:
    """Return the dash of a measure's line, so that of two lines on each other both are seen."""
    return _KEY_DASHES.get(key, "-")


def _others(labels: Sequence[str]) -> list[str]:
    return [label for label in dict.fromkeys(labels) if label not in _FIXED]


def tidy(axes: Axes) -> None:
    """Draw a light grid, and no frame on the sides that have no axis."""
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
