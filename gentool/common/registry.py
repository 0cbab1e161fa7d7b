"""Hold models, measures, figures and other choices by name, and read their docstrings."""

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from gentool.common.errors import unknown

Entry = TypeVar("Entry")
Function = TypeVar("Function", bound=Callable[..., object])


class Registry(Generic[Entry]):
    """Hold entries by name, in the order of addition, or sorted by name if `is_sorted`.

    `kind` is what an entry is called in the error for an unknown name.
    """

    def __init__(
        self, kind: str, entries: Mapping[str, Entry] | None = None, *, is_sorted: bool = False
    ) -> None:
        self.kind = kind
        self.is_sorted = is_sorted
        self._entries = dict(entries or {})

    def add(self, name: str, entry: Entry) -> None:
        """Add an entry under a name."""
        self._entries[name] = entry

    @property
    def names(self) -> list[str]:
        """Return all names in order."""
        return sorted(self._entries) if self.is_sorted else list(self._entries)

    def check(self, name: str) -> None:
        """Raise UsageError, with the nearest name, if no entry has this name."""
        if name not in self._entries:
            raise unknown(self.kind, name, self.names)

    def __getitem__(self, name: str) -> Entry:
        """Return the entry of a name; raise UsageError as `check` does."""
        self.check(name)
        return self._entries[name]

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over the entries, not over their names."""
        return iter(self._entries[name] for name in self.names)


class FunctionRegistry(Registry[Callable]):
    """Hold functions under their own names, with hyphens for underscores."""

    def register(self, function: Function) -> Function:
        """Add a function; use as a decorator."""
        self.add(function.__name__.replace("_", "-"), function)
        return function


def definition_parts(docstring: str) -> tuple[str, str, str]:
    """Return summary (first paragraph), formula (indented line) and source (last line)."""
    lines = docstring.splitlines()
    formula = next(line.strip() for line in lines if line.startswith("    "))
    return " ".join(lines[: lines.index("")]), formula, lines[-1].strip()


def claim_parts(docstring: str) -> tuple[str, str, str]:
    """Return statement (first paragraph), rule (those between) and source (last paragraph)."""
    statement, *rule, source = (" ".join(part.split()) for part in docstring.split("\n\n"))
    return statement, " ".join(rule), source
