"""The table of figures, filled by a decorator."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gentool.common.registry import Registry

if TYPE_CHECKING:
    from gentool.figures.sheet import Sheet
    from gentool.records.measure_file import Record


@dataclass(frozen=True)
class FigureOptions:
    """What a figure is told besides the files: options of `gentool plot`, each for some figures."""

    reference: bool = False
    witness: Path | None = None
    alpha: float | None = None
    data: str | None = None
    data_dir: Path | None = None
    device: str = "auto"
    seed: int = 0
    threads: int | None = None
    quiet: bool = False


FromRecords = Callable[["list[Record]", FigureOptions], "Sheet"]
FromCheckpoint = Callable[[Path, FigureOptions], object]


@dataclass(frozen=True)
class NamedFigure:
    """A figure: what prepares it, from which files, with which options.

    `reads` is "records" (measure files), "outcomes" (measure files and checkpoints, of which the
    metadata alone is read) or "checkpoint" (one, with its tensors).
    """

    name: str
    reads: str
    options: frozenset[str]
    prepare: Callable

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.prepare.__doc__ or "").splitlines()[0].rstrip(".")


class Figures(Registry[NamedFigure]):
    """Hold the figures by name, sorted by name."""

    def register(
        self, name: str, reads: str, *options: str
    ) -> Callable[[Callable[..., object]], Callable[..., object]]:
        """Add a function under a name; use as a decorator."""

        def add(function: Callable[..., object]) -> Callable[..., object]:
            self.add(name, NamedFigure(name, reads, frozenset(options), function))
            return function

        return add


FIGURES = Figures("figure", is_sorted=True)
