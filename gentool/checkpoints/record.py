"""Assemble records of measure files: the keys that all commands write, in one place."""

import time

import torch

from gentool.checkpoints.checkpoint import Checkpoint, training_as_json
from gentool.checkpoints.foreign.assumptions import assumption_notes
from gentool.common.json import Json, log10
from gentool.common.version import __version__
from gentool.networks.canonical import canonical
from gentool.networks.layer_table import layer_table
from gentool.numerics.device import describe, versions
from gentool.records.measure_facts import changed_by_rescaling
from gentool.records.measure_file import FORMAT
from gentool.records.recipe import Recipe

Values = dict[str, float | None]
"""Numbers by the names of their measures; None for a number that does not exist."""


def assemble(
    checkpoint: Checkpoint,
    *,
    recipe: Recipe,
    device: torch.device,
    command: Json,
    began: float,
    measures: Values,
    notes: list[str],
    log10: Values | None = None,
    layers: list[Json] | None = None,
    margin: Json | None = None,
    evaluation: Json | None = None,
    invariance: Json | None = None,
) -> Json:
    """Return the record of one checkpoint and one command, with its keys in the order of the file.

    `recipe` is the checkpoint's, with the facts about the training data where that was read;
    `began` is the time.perf_counter() of the start. `log10` and `layers` are computed here unless a
    command has them already; `evaluation` is None without data. `changed_by_rescaling` names the
    measures that change where layers are rescaled at the same function; `invariance` says by how
    much, and by what else.
    """
    if log10 is None:
        log10 = _logarithms(measures)
    if layers is None:
        layers = layer_table(canonical(checkpoint.model(), recipe.input_shape))
    return {
        **heading(checkpoint, command),
        **training_as_json(recipe, checkpoint.outcome),
        "evaluation": evaluation,
        "measures": measures,
        "log10": log10,
        "layers": layers,
        "margin": margin,
        "notes": [*notes, *assumption_notes(checkpoint.recipe)],
        "changed_by_rescaling": changed_by_rescaling(measures),
        **({} if invariance is None else {"invariance": invariance}),
        "seconds": round(time.perf_counter() - began, 3),
        "device": describe(device),
        "versions": versions(),
    }


def heading(checkpoint: Checkpoint, command: Json) -> Json:
    """Return the first keys of every record: format, program, command and checkpoint."""
    return {
        "format": FORMAT,
        "gentool": __version__,
        "command": command,
        "checkpoint": {"file": checkpoint.path.name, "sha256": checkpoint.sha256},
    }


def _logarithms(measures: Values) -> Values:
    return {name: log10(value) for name, value in measures.items()}
