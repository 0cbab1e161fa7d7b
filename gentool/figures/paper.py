"""Read the paper's values, taken from its vector figures, to draw them behind ours."""

from dataclasses import dataclass
from functools import cache
from importlib import resources

from gentool.common.errors import GentoolError
from gentool.common.json import loads
from gentool.records.measure_file import Record
from gentool.records.recipe import describe_source

NAMES = {"l2": "l2", "l1_path": "l1path", "l2_path": "l2path", "spectral": "spectral"}
NAMES |= {"sharpness": "sharpness"}


@dataclass(frozen=True)
class Kind:
    """Describe the networks of the paper's figures, in words and as a recipe has it."""

    words: str
    model: str
    data: str
    input_shape: list[int]
    scale: str  # in words, and the values of the recipe that have it
    width: float | None
    sizes: tuple[int, ...]


_VGG = Kind(
    "VGGs on CIFAR-10",
    "vgg",
    "cifar10",
    [3, 32, 32],
    "full width, 5K to 50K images",
    1,
    (5_000, 10_000, 20_000, 30_000, 40_000, 50_000),
)
_MLP = Kind(
    "MLPs with one hidden layer on MNIST",
    "mlp",
    "mnist",
    [1, 28, 28],
    "8 to 8192 hidden units, 60K images",
    None,
    (60_000,),
)
KINDS = {"1": _VGG, "2": _VGG, "4": _MLP}
CLASSES = 10
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


def compare(figure: str, records: list[Record]) -> list[str]:
    """Return notes on how networks differ from those of the paper's figure in scale or data.

    Raise GentoolError for networks or data of another kind.
    """
    kind, recipe = KINDS[figure], records[0]["recipe"]  # all agree in what makes them of one kind
    source = str(recipe.get("data") or "")
    is_folder = ":" in source or not source
    shapes = ((recipe.get("input_shape"), kind.input_shape), (recipe.get("classes"), CLASSES))
    if (
        not str(recipe.get("model")).startswith(kind.model)
        or recipe.get("depth") not in (None, 1)
        or not (is_folder or source == kind.data)
        or any(known is not None and known != expected for known, expected in shapes)
    ):
        actual = (
            f"{str(recipe.get('model')).upper()} on {describe_source(source or 'unknown data')}"
        )
        raise GentoolError(
            f"the paper's figure {figure} is of {kind.words}, these files of {actual}; leave out "
            "--reference"
        )
    notes = []
    if is_folder:
        name = describe_source(source) if source else "the data"
        notes.append(f"the paper's networks are {kind.words}; {name} is taken for the same data")
    if not has_scale(figure, records):
        notes.append(f"the paper's values are of another scale: {kind.scale}")
    return notes


def has_scale(figure: str, records: list[Record]) -> bool:
    """Return whether the networks are as large as the paper's, some on as many such images."""
    kind, recipe = KINDS[figure], records[0]["recipe"]
    is_alike = (recipe.get("model"), recipe.get("width")) == (kind.model, kind.width)
    shape = list(recipe.get("input_shape") or ())
    has_size = any(record["recipe"].get("subset") in kind.sizes for record in records)
    return is_alike and shape == kind.input_shape and has_size


def in_caption(figure: str, records: list[Record]) -> str:
    """Return words for the caption on the paper's values."""
    other = "" if has_scale(figure, records) else " of another scale"
    return f"; the paper's values{other}: {KINDS[figure].scale}"


def sizes(prefix: str) -> dict[str, str]:
    """Return the curves of a panel: label in the paper (5K, 2048) and key in the file."""
    return {key.removeprefix(prefix): key for key in values() if key.startswith(prefix)}
