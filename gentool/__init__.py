"""Train VGGs and MLPs on true or random labels, and measure why they generalize.

The public face: what `import gentool` offers, nothing else. Nothing is imported before it is used,
so that the command line starts without torch.

    import gentool
    from torch import nn

    record = gentool.measure(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), (1, 8, 8))
    print(record["measures"]["l1_path_unnormalized"])
"""

from typing import TYPE_CHECKING

from gentool.common.version import __version__

if TYPE_CHECKING:
    from gentool import records
    from gentool.checkpoints.load import TrainedNetwork, load
    from gentool.claims.report import claims
    from gentool.common.errors import GentoolError, UsageError
    from gentool.figures.plot import plot
    from gentool.measures.in_memory import measure
    from gentool.records.recipe import Recipe
    from gentool.sharpness.in_memory import expected_sharpness, flatness, sharpness
    from gentool.training.train import train

__all__ = [
    "GentoolError",
    "Recipe",
    "TrainedNetwork",
    "UsageError",
    "__version__",
    "claims",
    "expected_sharpness",
    "flatness",
    "load",
    "measure",
    "plot",
    "records",
    "sharpness",
    "train",
]

_HOMES = {
    "GentoolError": "gentool.common.errors",
    "Recipe": "gentool.records.recipe",
    "TrainedNetwork": "gentool.checkpoints.load",
    "UsageError": "gentool.common.errors",
    "expected_sharpness": "gentool.sharpness.in_memory",
    "flatness": "gentool.sharpness.in_memory",
    "load": "gentool.checkpoints.load",
    "measure": "gentool.measures.in_memory",
    "plot": "gentool.figures.plot",
    "train": "gentool.training.train",
}
"""The module of each public name; `claims`, `records` and `sharpness` are packages themselves."""


def __getattr__(name: str) -> object:
    """Import a public name at its first use."""
    if name not in __all__:
        raise AttributeError(f"module 'gentool' has no attribute {name!r}")
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    return import_module(f"gentool.{name}")


def __dir__() -> list[str]:
    """List the public names, those not yet imported too, so that editors complete them."""
    return __all__
