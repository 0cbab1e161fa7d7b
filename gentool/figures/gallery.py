"""Hold images with their labels as plain values, and draw them."""

import math
import textwrap
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy import ndarray

from gentool.figures import style

COLUMNS = 8
SIDE, COLUMN, ROW = 0.84, 1.0, 1.28  # inches: of an image, from one to the next, labels included
HEADING, LINE, EDGE = 0.32, 0.14, 0.1
LONGEST = 13  # characters of a class name below an image


@dataclass(frozen=True)
class Tile:
    """Hold one image, pixels of shape (H, W) or (H, W, 3), with its given and its true class."""

    pixels: ndarray
    given: str
    true: str

    @property
    def is_right(self) -> bool:
        return self.given == self.true


@dataclass(frozen=True)
class Shelf:
    """Hold images under a heading."""

    heading: str
    tiles: list[Tile]


@dataclass(frozen=True)
class Gallery:
    """Hold a figure of images: shelves one below the other, the line under them, and notes."""

    shelves: list[Shelf]
    caption: str
    notes: list[str] = field(default_factory=list)


def draw_gallery(gallery: Gallery, title: str | None = None) -> Figure:
    """Draw a gallery; right labels have the colour of true labels, wrong ones that of random."""
    rows = sum(math.ceil(len(shelf.tiles) / COLUMNS) for shelf in gallery.shelves)
    lines = textwrap.wrap(gallery.caption, 125)
    top = HEADING * bool(title)
    height = top + HEADING * len(gallery.shelves) + ROW * rows + LINE * len(lines) + 2 * EDGE
    width = COLUMN * COLUMNS + 2 * EDGE
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    if title:
        figure.text(0.5, 1 - EDGE / height, title, size=13, ha="center", va="top")
    down = top + EDGE  # inches from the top
    for shelf in gallery.shelves:
        figure.text(EDGE / width, 1 - (down + 0.22) / height, shelf.heading, size=11)
        down += HEADING
        for i, tile in enumerate(shelf.tiles):
            left = EDGE + i % COLUMNS * COLUMN + (COLUMN - SIDE) / 2
            bottom = height - down - i // COLUMNS * ROW - SIDE
            place = (left / width, bottom / height, SIDE / width, SIDE / height)
            _draw_tile(figure.add_axes(place), tile)
        down += ROW * math.ceil(len(shelf.tiles) / COLUMNS)
    figure.text(0.5, EDGE / height, "\n".join(lines), size=8, color="0.4", ha="center")
    return figure


def _draw_tile(axes: Axes, tile: Tile) -> None:
    """Draw an image in a frame, with its given label below it, and the true one if it differs."""
    colour, _ = style.fixed("true" if tile.is_right else "random")
    height, width = tile.pixels.shape[:2]
    is_stripe = max(height, width) > 4 * min(height, width)  # a vector, not an image
    axes.imshow(tile.pixels, "gray", aspect="auto" if is_stripe else "equal")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=colour, linewidth=2)
    label = _short(tile.given) + ("\n" if tile.is_right else f"\n({_short(tile.true)})")
    axes.set_xlabel(label, size=9, color=colour, labelpad=3)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
