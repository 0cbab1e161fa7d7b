"""Define the page that a figure is drawn for: its size, its letters and its lines.

The trap avoided: Matplotlib's settings, which a user may have changed, apart from those given here.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from matplotlib import rc_context, rcdefaults, rcParams

from gentool.common.errors import GentoolError, UsageError, unknown
from gentool.common.text import printable, shortened

INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "": 1.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)(in|cm|mm|)")
SMALLEST, LARGEST = 0.5, 100.0  # inches of a side


@dataclass(frozen=True)
class PageStyle:
    """Hold the size of letters in points, and factors of lines and of the panels' sizes."""

    text: float = 10.0
    line: float = 1.0
    panel: float = 1.0


STYLES = {
    "screen": PageStyle(),
    "paper": PageStyle(text=8.0, line=0.7, panel=0.62),  # three panels fill a page of 7.2 inches
    "talk": PageStyle(text=16.0, line=1.7, panel=1.35),
}


@dataclass(frozen=True)
class Page:
    """Hold a style and, in inches, a size of the whole figure; None: as large as it has to be."""

    style: PageStyle = STYLES["screen"]
    size: tuple[float, float] | None = None


SCREEN = Page()


def parse_page(style: str, size: str | None) -> Page:
    """Return the page of a style's name and of a size as 3.3x2.5 (inches), 88x60mm or 9x6cm."""
    if style not in STYLES:
        raise unknown("style of a figure", style, STYLES)
    if size is None:
        return Page(STYLES[style])
    match = _SIZE.fullmatch(size.strip().lower())
    sides = [float(part) * INCHES[match[3]] for part in match.groups()[:2]] if match else []
    if not sides or not all(SMALLEST <= side <= LARGEST for side in sides):
        raise UsageError(
            f"--size is {shortened(size)!r}; it has to be a width and a height of {SMALLEST:g} to "
            f"{LARGEST:g} inches, as 3.3x2.5, or 88x60mm"
        )
    return Page(STYLES[style], (sides[0], sides[1]))


@contextmanager
def settings(style: PageStyle = STYLES["screen"]) -> Iterator[None]:
    """Set Matplotlib's parameters while a figure is drawn or written.

    Texts are literal, without formulas between dollar signs; letters stay letters in PDF and SVG.
    """
    line = style.line
    with rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s).*[Gg]lyph.*missing from")
        warnings.filterwarnings("error", message=".*layout not applied")
        rcdefaults()
        rcParams.update(
            {
                "font.size": style.text,
                "axes.titlesize": 1.1 * style.text,
                "axes.titleweight": "normal",
                "axes.labelsize": style.text,
                "xtick.labelsize": 0.95 * style.text,
                "ytick.labelsize": 0.95 * style.text,
                "legend.fontsize": 0.9 * style.text,
                "legend.title_fontsize": 0.95 * style.text,
                "lines.linewidth": 1.6 * line,
                "lines.markersize": 6 * line,
                "axes.linewidth": 0.8 * line,
                "grid.linewidth": 0.8 * line,
                "xtick.major.width": 0.8 * line,
                "ytick.major.width": 0.8 * line,
                "text.parse_math": False,
                "axes.formatter.min_exponent": 4,
                "pdf.fonttype": 42,  # publishers refuse Type 3
                "svg.fonttype": "none",
                "svg.hashsalt": "gentool",  # without a salt the ids in an SVG are random
            }
        )
        yield


def no_room(page: Page) -> GentoolError:
    """Return the error for a figure whose labels leave no room for its panels."""
    width, height = page.size or (0, 0)
    return GentoolError(
        f"a figure of {width:g} x {height:g} inches has no room for its panels beside their labels "
        "and legend; name a larger --size, or leave it out"
    )


def literal(text: str) -> str:
    """Return a name in one line of characters that can be drawn; others are escaped."""
    return printable(text)
