"""Define words for keys, and the colours and markers that are the same in all figures."""

from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb

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
_OTHERS = [(GREEN, "^"), (ORANGE, "D"), (SKY, "v"), (PURPLE, "P"), (BLACK, "X")]

_WORDS = {
    "recipe.subset": "training-set size",
    "recipe.hidden": "hidden units",
    "recipe.confusion": "confusion-set size",
    "recipe.labels": "labels",
    "recipe.width": "width",
    "recipe.depth": "hidden layers",
    "recipe.seed": "seed",
    "recipe.model": "model",
    "recipe.data": "data",
    "outcome.train_error": "training error",
    "outcome.test_error": "test error",
    "outcome.confusion_error": "error on the confusion set",
    "outcome.train_loss": "training loss",
    "outcome.test_loss": "test loss",
    "outcome.epochs": "epochs",
    "gap": "generalization gap (test error − training error)",
    "loss_gap": "gap of the losses (test loss − training loss)",
    "margin": "margin γ",
    "l2": "ℓ2 norm capacity",
    "l1_path": "ℓ1-path norm capacity",
    "l2_path": "ℓ2-path norm capacity",
    "spectral": "spectral norm capacity",
    "inverse_margin": "inverse squared margin γ⁻²",
    "parameters": "number of parameters",
    "sum_of_squares": "sum of squared weights",
    "frobenius_sum": "sum of squared Frobenius norms",
    "spectral_sum": "sum of squared spectral norms",
    "frobenius_over_spectral": "sum of stable ranks",
    "pac_bayes_spectral": "PAC-Bayes spectral capacity",
    "spectral_complexity": "spectral-complexity capacity",
    "distance_frobenius": "squared distance from initialisation",
    "distance_spectral": "squared spectral distance from initialisation",
    "sharpness": "sharpness",
    "sharpness_keskar": "sharpness over 1 + loss",
    "expected_sharpness_alpha": "noise α at expected sharpness 0.05",
    "expected_sharpness_kl": "KL at expected sharpness 0.05",
    "pac_bayes_bound": "PAC-Bayes bound",
    "expected_sharpness": "expected sharpness",
}
_SUFFIXES = {
    "_unnormalized": "without the margin",
    "_operator": "operator view",
    "_maxpool": "largest path at max pooling",
    "_bound": "with the bound's constants",
    "_distance": "from initialisation",
}


def words(key: str) -> str:
    """Return the words for a key on an axis; unknown keys as they are."""
    if key in _WORDS:
        return _WORDS[key]
    for suffix, meaning in _SUFFIXES.items():
        if key.endswith(suffix) and (words_before := words(key.removesuffix(suffix))):
            joint = ", " if "(" in words_before else " ("
            return f"{words_before.removesuffix(')')}{joint}{meaning})"
    return key


def short(key: str) -> str:
    """Return a measure's short name for a legend, without "norm capacity"."""
    return words(key).removesuffix(" norm capacity").removesuffix(" capacity")


def fixed(key: str) -> tuple[str, str]:
    """Return colour and marker of true or random labels, of a measure or of an error."""
    return (_FIXED | _FIXED_KEYS)[key]


def sequence(count: int) -> list[str]:
    """Return colours of sizes in order: light for small, dark for large."""
    return [to_hex(colormaps["viridis_r"](0.12 + 0.88 * place)) for place in _places(count)]


def shades(count: int) -> list[str]:
    """Return greys in order, light to dark."""
    return [to_hex(colormaps["Greys"](0.35 + 0.45 * place)) for place in _places(count)]


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
    others = [label for label in labels if label not in _FIXED]
    return [_FIXED.get(label) or _OTHERS[others.index(label) % len(_OTHERS)] for label in labels]


def tidy(axes: Axes) -> None:
    """Draw a light grid, and no frame on the sides that have no axis."""
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
