"""Show the progress of a search."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gentool.common.console import progress

if TYPE_CHECKING:  # the command line shows help without torch
    from gentool.sharpness.search.state import Problem


@contextmanager
def search_progress(quiet: bool, name: str) -> "Iterator[Callable[[Problem], None]]":
    """A progress bar of a search, as the function that the search tells of its progress."""
    with progress(quiet, "best_rise", "passes") as bar:
        task = bar.add_task(name, total=1.0, best_rise="-", passes="-")

        def show(problem: "Problem") -> None:
            bar.update(
                task,
                completed=problem.fraction_done,
                best_rise=f"{problem.rise:.6g}",
                passes=f"{problem.units_spent:.0f}",
            )

        yield show
