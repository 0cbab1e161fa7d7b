"""Hold what is written down: recipes, checkpoint metadata, measure files, tables. No torch."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gentool.records.data_frame import frame

__all__ = ["frame"]


def __getattr__(name: str) -> object:
    """Import `frame` at its first use, so that reading a measure file waits for no table."""
    if name == "frame":
        from gentool.records.data_frame import frame

        return frame
    raise AttributeError(f"module 'gentool.records' has no attribute {name!r}")
