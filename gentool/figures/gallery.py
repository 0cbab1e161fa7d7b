"""Hold images with their labels as plain values, and draw them."""

import math
import textwrap
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy import ndarray

from gentool.figures import style
from gentool.figures.page import SCREEN, Page, literal, settings
from gentool.figures.shown import ShownFigure

COLUMNS = 8
SIDE, COLUMN, ROW = 0.84, 1.0, 1.28  # inches: of an image, from one to the next, labels included
HEADING, LINE, EDGE = 0.32, 0.14, 0.1
TITLE = 0.3  # inches of a line of the title
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


def draw_gallery(gallery: Gallery, title: str | None = None, page: Page = SCREEN) -> Figure:
    """Draw a gallery; right labels have the colour of true labels, wrong ones that of random.

    A page with a size shrinks or enlarges the whole figure, letters too; its sides keep their
    proportions, with white beside or below.
    """
    with settings(page.style):
        return _draw(gallery, title, page)


def _draw(gallery: Gallery, title: str | None, page: Page) -> Figure:
    width = COLUMN * COLUMNS + 2 * EDGE
    lines = textwrap.wrap(literal(gallery.caption), 120)
    heads = textwrap.wrap(literal(title or ""), 72)
    rows = sum(math.ceil(len(shelf.tiles) / COLUMNS) for shelf in gallery.shelves)
    top = TITLE * len(heads)
    height = top + HEADING * len(gallery.shelves) + ROW * rows + LINE * len(lines) + 2 * EDGE
    sides = page.size or (width, height)
    factor = min(sides[0] / width, sides[1] / height)
    figure = ShownFigure(figsize=sides)
    FigureCanvasAgg(figure)
    across, up = sides[0] / factor, sides[1] / factor  # inches before all is scaled
    edge = (across - width) / 2 + EDGE
    centre = {"ha": "center", "linespacing": 1.2}
    figure.text(0.5, 1 - EDGE / up, "\n".join(heads), size=13 * factor, va="top", **centre)
    down = top + EDGE  # inches from the top
    for shelf in gallery.shelves:
        place = (edge / across, 1 - (down + 0.22) / up)
        figure.text(*place, literal(shelf.heading), size=11 * factor)
        down += HEADING
        for i, tile in enumerate(shelf.tiles):
            left = edge + i % COLUMNS * COLUMN + (COLUMN - SIDE) / 2
            bottom = up - down - i // COLUMNS * ROW - SIDE
            place = (left / across, bottom / up, SIDE / across, SIDE / up)
            _draw_tile(figure.add_axes(place), tile, factor)
        down += ROW * math.ceil(len(shelf.tiles) / COLUMNS)
    bottom = (up - height + EDGE) / up
    figure.text(0.5, bottom, "\n".join(lines), size=8 * factor, color="0.4", ha="center")
    return figure


def _draw_tile(axes: Axes, tile: Tile, factor: float) -> None:
    """Draw an image in a frame, with its given label below it, and the true one if it differs."""
    colour, _ = style.fixed("true" if tile.is_right else "random")
    height, width = tile.pixels.shape[:2]
    is_stripe = max(height, width) > 4 * min(height, width)  # a vector, not an image
    axes.imshow(tile.pixels, "gray", aspect="auto" if is_stripe else "equal")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=colour, linewidth=2 * factor)
    label = _short(tile.given) + ("\n" if tile.is_right else f"\n({_short(tile.true)})")
    axes.set_xlabel(label, size=9 * factor, color=colour, labelpad=3 * factor)


def _short(name: str) -> str:
    name = literal(name)
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
