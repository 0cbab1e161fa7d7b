"""Show the progress of a search."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gentool.common.console import progress

if TYPE_CHECKING:  # the command line shows help without torch
    from gentool.sharpness.search.state import SearchState


@contextmanager
def search_progress(quiet: bool, name: str) -> "Iterator[Callable[[SearchState], None]]":
    """Show a progress bar; yield the function that updates it from the state of a search."""
    with progress(quiet, "best_rise", "passes") as bar:
        task = bar.add_task(name, total=1.0, best_rise="-", passes="-")

        def show(state: "SearchState") -> None:
            bar.update(
                task,
                completed=state.fraction_done,
                best_rise=f"{state.rise:.6g}",
                passes=f"{state.units_spent:.0f}",
            )

        yield show
