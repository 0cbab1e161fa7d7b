"""Draw the figures that records allow, and say of the others why they are not drawn."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gentool.common.errors import GentoolError
from gentool.figures import FIGURES, draw
from gentool.figures.chart import chart
from gentool.figures.registry import FigureOptions, NamedFigure
from gentool.figures.report.svg import inline_svg
from gentool.figures.sheet import Sheet
from gentool.records.keys import has_some
from gentool.records.measure_file import Record

MOST_LINES = 60  # beyond these nobody tells the lines of a figure apart
MOST_POINTS = 12_000  # of all panels: about one MiB of SVG
MOST_PANELS = 9  # of a free chart


@dataclass(frozen=True)
class Drawing:
    """Hold a figure of a report, or in `reason` why it is not drawn.

    `command` draws it again; `words` say what it shows, for those who do not see it.
    """

    title: str
    command: str
    svg: str = ""
    words: str = ""
    notes: tuple[str, ...] = ()
    reason: str = ""


def drawings(networks: list[Record], measures: Sequence[str]) -> list[Drawing]:
    """Return a drawing, or the reason for none, of free charts and of each named figure.

    The charts are of these measures; of the usual ones if there are too many or none.
    """
    ys = list(measures) if 0 < len(measures) <= MOST_PANELS else None
    chosen = f" --y {','.join(ys)}" if ys else ""
    wanted = [
        (
            "Measures against what varies most",
            f"gentool plot FILES{chosen}",
            lambda: chart(networks, ys=ys),
        ),
        (
            "Measures against the generalization gap",
            f"gentool plot FILES --x gap{chosen}",
            lambda: _against_gap(networks, ys),
        ),
        *((_title(entry), _command(entry), _preparation(entry, networks)) for entry in FIGURES),
    ]
    return [
        _drawing(title, command, prepare, f"f{number}")
        for number, (title, command, prepare) in enumerate(wanted, 1)
    ]


def _drawing(title: str, command: str, prepare: Callable[[], Sheet], prefix: str) -> Drawing:
    """Return a drawing; errors that a user can mend are its reason."""
    empty = Drawing(title, command)
    try:
        sheet = prepare()
        _check_size(sheet)
        svg = inline_svg(draw(sheet), prefix)
    except GentoolError as error:
        return replace(empty, reason=str(error))
    return replace(empty, svg=svg, words=_words(sheet), notes=tuple(sheet.notes))


def _against_gap(networks: list[Record], ys: list[str] | None) -> Sheet:
    if not has_some(networks, "gap"):
        raise GentoolError("no network has both a training error and a test error")
    return chart(networks, "gap", ys)


def _preparation(entry: NamedFigure, networks: list[Record]) -> Callable[[], Sheet]:
    def prepare() -> Sheet:
        if entry.reads == "checkpoint":
            raise GentoolError("it is drawn from a checkpoint, and a report is of measure files")
        return entry.prepare(networks, FigureOptions(quiet=True))

    return prepare


def _check_size(sheet: Sheet) -> None:
    """Raise GentoolError for a figure with more lines or points than a page can show."""
    labels = {curve.label for panel in sheet.panels for curve in panel.curves}
    points = sum(len(curve.x) for panel in sheet.panels for curve in panel.curves)
    if len(labels) > MOST_LINES:
        raise GentoolError(
            f"its {len(labels)} lines could not be told apart; choose networks with --where"
        )
    if points > MOST_POINTS:
        raise GentoolError(
            f"its {points} points would make the page too large; choose networks with --where"
        )


def _words(sheet: Sheet) -> str:
    """Return what the axes and lines of a figure are."""
    panels = [
        ": ".join(filter(None, [panel.title, f"{panel.y.label} against {panel.x.label}"]))
        for panel in sheet.panels
    ]
    labels = dict.fromkeys(c.label for panel in sheet.panels for c in panel.curves if c.label)
    lines = f". Lines: {', '.join(labels)}" if len(labels) > 1 else ""
    return " ".join(f"{'; '.join(panels)}{lines}.".split())


def _title(entry: NamedFigure) -> str:
    """Return what a figure shows: the first paragraph of its docstring, from its object on."""
    text = " ".join(inspect.getdoc(entry.prepare).split("\n\n")[0].split())
    text = text.removeprefix("Prepare ").rstrip(".")
    return text[0].upper() + text[1:]


def _command(entry: NamedFigure) -> str:
    files = "CHECKPOINT" if entry.reads == "checkpoint" else "FILES"
    return f"gentool plot {files} --figure {entry.name}"
