"""Prepare and draw figures: those of the paper, of networks and their data, and charts of any key.

Each named figure is one function in FIGURES. It prepares plain values, a Sheet or a Gallery of
images, which tests can check; `draw` draws them.
"""

from matplotlib.figure import Figure

from gentool.figures import (
    confusion_set,
    direction,
    growth,
    hidden_units,
    learning_curves,
    margins,
    ranking,
    samples,
    training_size,
)
from gentool.figures.drawing import draw_sheet
from gentool.figures.gallery import Gallery, draw_gallery
from gentool.figures.page import SCREEN, Page
from gentool.figures.registry import FIGURES
from gentool.figures.sheet import Sheet

__all__ = [
    "FIGURES",
    "confusion_set",
    "direction",
    "draw",
    "growth",
    "hidden_units",
    "learning_curves",
    "margins",
    "ranking",
    "samples",
    "training_size",
]


def draw(prepared: Sheet | Gallery, title: str | None = None, page: Page = SCREEN) -> Figure:
    """Draw a sheet or a gallery for a page."""
    if isinstance(prepared, Gallery):
        return draw_gallery(prepared, title, page)
    return draw_sheet(prepared, title, page)
