"""Write a figure to a file in the format of its suffix."""

import io
from pathlib import Path

from matplotlib.figure import Figure

from gentool.common.errors import UsageError
from gentool.common.files import write_whole
from gentool.figures.page import settings

FORMATS = (".png", ".pdf", ".svg")


def write(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, PDF or SVG by its suffix; the same figure gives the same bytes."""
    write_whole(path, as_bytes(figure, path.suffix))


def as_bytes(figure: Figure, suffix: str) -> bytes:
    """Return the content of a file with a figure, in the format of a suffix of FORMATS."""
    content = io.BytesIO()
    dates = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(suffix, {})
    with settings():
        figure.savefig(content, format=suffix[1:], dpi=200, metadata=dates)
    return content.getvalue()


def check_format(path: Path) -> None:
    """Raise UsageError if the name of a figure has another suffix than FORMATS."""
    if path.suffix not in FORMATS:
        raise UsageError(
            f"{path} is no figure that can be drawn; its name ends in .png, .pdf or .svg"
        )
