"""Draw figures for Python: of records in memory or of files. Imports no torch for most of them."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict, Unpack, runtime_checkable

from matplotlib.figure import Figure

from gentool.common.errors import UsageError
from gentool.common.json import Json
from gentool.figures import FIGURES, draw
from gentool.figures.chart import chart
from gentool.figures.inputs import read_inputs
from gentool.figures.own_axes import draw_into
from gentool.figures.page import parse_page
from gentool.figures.registry import FigureOptions, NamedFigure
from gentool.records.given import Given, given_records
from gentool.records.measure_file import Record, merge
from gentool.records.recipe import Outcome, Recipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@runtime_checkable
class Network(Protocol):
    """A network of `gentool.load` or `gentool.train`, without importing torch for its type."""

    recipe: Recipe
    outcome: Outcome | None
    path: Path | None

    @property
    def sha256(self) -> str: ...


class FigureArguments(TypedDict, total=False):
    """Options of some of the named figures, as on the command line."""

    reference: bool
    path_norms: str
    errorbar: str
    witness: str | Path
    alpha: float
    data: str
    data_dir: str | Path
    device: str
    seed: int


def plot(
    records: Given | Network | Iterable[Given | Network],
    x: str | None = None,
    y: str | Sequence[str] | None = None,
    by: str | None = None,
    *,
    figure: str | int | None = None,
    title: str | None = None,
    style: str = "screen",
    size: str | tuple[float, float] | None = None,
    ax: "Axes | None" = None,
    **options: Unpack[FigureArguments],
) -> Figure:
    """Plot any measure against any key of records, or a figure of the paper.

    `records` are dictionaries, as `gentool.measure` and `gentool.sharpness` return them, measure
    files or folders of them; those about one network are joined. `x`, `y` and `by` are keys: a
    measure (l2), gap, or a dotted path (recipe.subset, outcome.test_error). Several `y` make
    panels, each value of `by` a line. What is None is chosen: as `x` what varies most. Values are
    averaged over the seed alone; `errorbar` is minmax, sd, se, ci95 or none, None for the standard
    deviation of three seeds or more and all points of fewer.

    `figure` names a figure instead: 1 to 4 are those of the paper; "growth", "margins" and
    "ranking" are of records; "training" takes networks of `gentool.load` and `gentool.train`, or
    checkpoints, too; "samples" and "direction" take one of them that is saved. The other `options`
    are those of `gentool plot` for these figures, as `reference`, `path_norms` or `alpha`.

    `style` is "screen", "paper" or "talk", `size` the width and height of the figure in inches.
    With `ax`, Matplotlib's axes, a figure of one panel is drawn into them, in the user's own style.

    Return the Matplotlib figure, which a notebook shows where it is the value of a cell; nothing is
    written: `figure.savefig("figure.pdf")` does that. What is left out is warned of.

    Raise UsageError for a key that no record has and for an option that the figure does not use,
    GentoolError if there is nothing to draw.

    >>> import gentool
    >>> from torch import nn
    >>> modules = [nn.Sequential(nn.Flatten(), nn.Linear(4, k)) for k in (2, 4, 8)]
    >>> records = [gentool.measure(m, (1, 2, 2), only="l2_unnormalized") for m in modules]
    >>> figure = gentool.plot(records, x="recipe.classes", y="l2_unnormalized")
    >>> figure.savefig("classes.png")
    """
    if ax is not None and (size is not None or style != "screen"):
        raise UsageError("the axes of ax have a size and a style; leave out size and style")
    page = parse_page(style, size if size is None or isinstance(size, str) else _in_words(size))
    if figure is None:
        errorbar = options.pop("errorbar", None)
        if options:
            raise UsageError(f"{next(iter(options))} is for named figures; leave it out")
        keys = y.split(",") if isinstance(y, str) else y
        prepared = chart(merge(_records(records)), x, keys and list(keys), by, errorbar)
    else:
        if (x, y, by) != (None, None, None):
            raise UsageError(f"figure {figure} has its own axes; leave out x, y and by")
        entry = FIGURES[str(figure)]
        prepared = entry.prepare(_inputs(entry, records), _options(entry, options))
    for note in prepared.notes:
        warnings.warn(note, stacklevel=2)
    return draw(prepared, title, page) if ax is None else draw_into(ax, prepared, title)


def _in_words(size: tuple[float, float]) -> str:
    """Return a size as on the command line, as 3.3x2.5."""
    try:
        width, height = (float(side) for side in size)
    except (TypeError, ValueError):
        raise UsageError(f"size is {size!r}; give a width and a height in inches") from None
    return f"{width:f}x{height:f}"


def _options(entry: NamedFigure, options: FigureArguments) -> FigureOptions:
    """Return the options of a figure; raise UsageError for one that it does not use."""
    names = {field.name for field in fields(FigureOptions)} & set(FigureArguments.__annotations__)
    for name in options:
        if name not in names:
            raise TypeError(f"unexpected keyword argument {name!r}")
        if name not in entry.options:
            raise UsageError(f"{name} has no meaning for figure {entry.name}; leave it out")
    values: Json = dict(options)
    for name in ("witness", "data_dir"):
        if values.get(name) is not None:
            values[name] = Path(values[name])
    return FigureOptions(**{"quiet": True} | values)


def _inputs(
    entry: NamedFigure, given: Given | Network | Iterable[Given | Network]
) -> list[Record] | Path:
    """Return records, or the path of a checkpoint, as a figure needs them."""
    items = _items(given)
    if entry.reads == "records":
        return merge(_records(items))
    if entry.reads == "outcomes":
        records = [_outcome(item) if isinstance(item, Network) else item for item in items]
        files = [Path(item) for item in records if isinstance(item, str | Path)]
        inside = [item for item in records if isinstance(item, Mapping)]
        return merge([*inside, *(read_inputs(entry, files) if files else [])])
    paths = [item.path if isinstance(item, Network) else item for item in items]
    if len(paths) != 1 or not isinstance(paths[0], str | Path):
        raise UsageError(f"figure {entry.name} is of one saved network; give it or its file")
    return read_inputs(entry, [Path(paths[0])])


def _records(given: Given | Network | Iterable[Given | Network]) -> list[Record]:
    items = _items(given)
    if any(isinstance(item, Network) for item in items):
        raise UsageError("a network is no record; gentool.measure and gentool.sharpness make them")
    return given_records(items)


def _items(given: Given | Network | Iterable[Given | Network]) -> list[Given | Network]:
    is_one = isinstance(given, Mapping | str | Path | Network)
    return [given] if is_one else list(given)


def _outcome(network: Network) -> Record:
    """Return a record with the recipe and the outcome of a network in memory."""
    if network.outcome is None:
        raise UsageError("another program trained this network; its epochs are not known")
    file = "in memory" if network.path is None else network.path.name
    return {
        "checkpoint": {"file": file, "sha256": network.sha256},
        "recipe": network.recipe.to_json(),
        "outcome": network.outcome.to_json(),
        "measures": {},
        "log10": {},
        "notes": [],
    }
