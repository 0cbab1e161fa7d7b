"""gentool: train VGGs and MLPs on true or random labels, and measure why they generalize.

import gentool

gentool.measure(module, (3, 32, 32))["measures"]["l1_path_unnormalized"]
"""

from typing import TYPE_CHECKING

from gentool.common.version import __version__

if TYPE_CHECKING:
    from gentool.measures.measure import measure

__all__ = ["__version__", "measure"]


def __getattr__(name: str) -> object:
    """`gentool.measure`, imported when it is asked for: the command line starts without torch."""
    if name == "measure":
        from gentool.measures.measure import measure

        return measure
    raise AttributeError(f"module 'gentool' has no attribute {name!r}")
