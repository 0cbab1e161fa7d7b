"""Figures with a name: those of the paper from measure files, and looks at data and networks.

Each is one function in FIGURES that prepares a Sheet, plain values which tests can check; one
function draws any sheet.
"""

from gentool.figures import confusion, margins, size, training, width
from gentool.figures.drawing import draw
from gentool.figures.registry import FIGURES

__all__ = ["FIGURES", "confusion", "draw", "margins", "size", "training", "width"]
