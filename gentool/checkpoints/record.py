"""Assemble the parts that every measure file has."""

import time

import torch

from gentool.checkpoints.checkpoint import Checkpoint
from gentool.common.json import Json, log10
from gentool.common.version import __version__
from gentool.networks.canonical import canonical
from gentool.networks.layer_table import layer_table
from gentool.numerics.device import describe, versions
from gentool.records.recipe import Recipe

FORMAT = 1
Values = dict[str, float | None]


def assemble(
    checkpoint: Checkpoint,
    recipe: Recipe,
    device: torch.device,
    command: Json,
    values: Values,
    notes: list[str],
    began: float,
) -> Json:
    """The parts that every measure file has."""
    outcome = checkpoint.outcome
    return {
        "format": FORMAT,
        "gentool": __version__,
        "command": command,
        "checkpoint": {
            "file": checkpoint.path.name,
            "sha256": checkpoint.sha256,
        },
        "recipe": recipe.to_json(),
        "outcome": outcome.to_json() if outcome is not None else None,
        "measures": values,
        "log10": {name: log10(value) for name, value in values.items()},
        "layers": layer_table(canonical(checkpoint.model(), recipe.input_shape)),
        "margin": None,
        "notes": notes,
        "seconds": round(time.perf_counter() - began, 3),
        "device": describe(device),
        "versions": versions(),
    }
