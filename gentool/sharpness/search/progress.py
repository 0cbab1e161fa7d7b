"""Show and log the progress of a search."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gentool.common.json import Json, finite
from gentool.common.progress import progress

if TYPE_CHECKING:  # the command line shows help without torch
    from gentool.sharpness.search.state import SearchState


@contextmanager
def search_progress(
    quiet: bool, name: str, count: str = ""
) -> "Iterator[Callable[[SearchState], None]]":
    """Show a progress line; yield the function that updates it from the state of a search."""
    with progress(quiet, name, count) as show:

        def show_state(state: "SearchState") -> None:
            show(
                state.fraction_done,
                best_rise=f"{state.rise:.6g}",
                passes=f"{state.units_spent:.0f}",
            )

        yield show_state


def as_step(state: "SearchState") -> Json:
    """Return what a log says about a step of a search."""
    return {
        "alpha": state.alpha,
        "method": state.method,
        "rise": finite(state.rise),
        "passes": round(state.units_spent, 3),
    }
