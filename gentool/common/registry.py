"""A table of functions by name, filled by a decorator: models, data sets, schedules.

And how the docstring of a measure is read.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from gentool.common.errors import unknown

Function = TypeVar("Function", bound=Callable[..., object])


class Registry:
    """Functions under their own names (underscores become hyphens), in the order of definition."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._functions: dict[str, Callable[..., object]] = {}

    def register(self, function: Function) -> Function:
        """Add a function; use as a decorator."""
        self._functions[function.__name__.replace("_", "-")] = function
        return function

    def __getitem__(self, name: str) -> Callable[..., object]:
        if name not in self._functions:
            raise unknown(self.kind, name, self)
        return self._functions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._functions)


def parts(docstring: str) -> tuple[str, str, str]:
    """Summary (first line), formula (indented line) and source (last line) of a docstring."""
    lines = docstring.splitlines()
    formula = next(line.strip() for line in lines if line.startswith("    "))
    return lines[0], formula, lines[-1].strip()
