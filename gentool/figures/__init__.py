"""Figures with a name: those of the paper from measure files, and looks at data and networks.

Each is one function in FIGURES that prepares a Sheet (a Gallery, of images), plain values which
tests can check; one function draws any.
"""

from matplotlib.figure import Figure

from gentool.figures import (
    confusion_set,
    direction,
    hidden_units,
    learning_curves,
    margins,
    samples,
    training_size,
)
from gentool.figures.drawing import draw_sheet
from gentool.figures.gallery import Gallery, draw_gallery
from gentool.figures.registry import FIGURES
from gentool.figures.sheet import Sheet

__all__ = [
    "FIGURES",
    "confusion_set",
    "direction",
    "draw",
    "hidden_units",
    "learning_curves",
    "margins",
    "samples",
    "training_size",
]


def draw(prepared: Sheet | Gallery, title: str | None = None) -> Figure:
    """The figure of what was prepared."""
    if isinstance(prepared, Gallery):
        return draw_gallery(prepared, title)
    return draw_sheet(prepared, title)
