"""Register figures by name, with a decorator."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from gentool.checkpoints.hints import NO_HINTS, OPTIONS, Hints
from gentool.common.registry import Registry

HINTS = tuple(OPTIONS.get(hint.name, hint.name) for hint in fields(Hints))
"""Options of figures that read a checkpoint: what a foreign one does not say."""


@dataclass(frozen=True)
class FigureOptions:
    """Hold the options of `gentool plot` for named figures; each figure uses some of them."""

    reference: bool = False
    path_norms: str = "maxpool"
    errorbar: str | None = None
    witness: Path | None = None
    alpha: float | None = None
    data: str | None = None
    data_dir: Path | None = None
    device: str = "auto"
    seed: int = 0
    threads: int | None = None
    quiet: bool = False
    hints: Hints = NO_HINTS


@dataclass(frozen=True)
class NamedFigure:
    """Hold a figure: the function that prepares it, its kind of files and its options.

    `reads` is "records" (measure files), "outcomes" (measure files and checkpoints, of which the
    metadata alone is read) or "checkpoint" (one, with its tensors).
    """

    name: str
    reads: str
    options: frozenset[str]
    prepare: Callable


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
