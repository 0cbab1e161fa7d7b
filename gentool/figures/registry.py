"""The table of figures, filled by a decorator."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gentool.common.errors import unknown

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


class Figures:
    """Figures by name, in the order of their names."""

    def __init__(self) -> None:
        self._entries: dict[str, NamedFigure] = {}

    def register(
        self, name: str, reads: str, *options: str
    ) -> Callable[[Callable[..., object]], Callable[..., object]]:
        """Add a function under a name; use as a decorator."""

        def add(function: Callable[..., object]) -> Callable[..., object]:
            self._entries[name] = NamedFigure(name, reads, frozenset(options), function)
            return function

        return add

    def __getitem__(self, name: str) -> NamedFigure:
        if name not in self._entries:
            raise unknown("figure", name, sorted(self._entries))
        return self._entries[name]

    def __iter__(self) -> Iterator[NamedFigure]:
        return iter(self._entries[name] for name in sorted(self._entries))


FIGURES = Figures()
