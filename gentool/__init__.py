"""Train VGGs and MLPs on true or random labels, and measure why they generalize.

The public face: what `import gentool` offers, nothing else.

    import gentool
    from torch import nn

    record = gentool.measure(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), (1, 8, 8))
    print(record["measures"]["l1_path_unnormalized"])
"""

from typing import TYPE_CHECKING

from gentool.common.version import __version__

if TYPE_CHECKING:
    from gentool.measures.measure import measure

__all__ = ["__version__", "measure"]


def __getattr__(name: str) -> object:
    """Import `measure` at its first use, so that the command line starts without torch."""
    if name == "measure":
        from gentool.measures.measure import measure

        return measure
    raise AttributeError(f"module 'gentool' has no attribute {name!r}")
