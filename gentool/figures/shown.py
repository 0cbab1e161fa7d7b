"""A Matplotlib figure that a notebook shows, and that is saved as `gentool plot` saves it."""

import io

from matplotlib.figure import Figure

from gentool.figures.page import settings


class ShownFigure(Figure):
    """A figure apart from pyplot: it is shown once, where it is the value of a cell."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=100)
        return content.getvalue()

    def savefig(self, *args: object, **kwargs: object) -> None:
        """Save the figure as Matplotlib does, with fonts that publishers take."""
        with settings():
            super().savefig(*args, **kwargs)
