"""From a checkpoint to its sharpness record."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from gentool import __version__
from gentool.checkpoint import Checkpoint
from gentool.device import describe, versions
from gentool.measuring import drawn_again, layer_table
from gentool.network import canonical
from gentool.recipe import Json
from gentool.sharpness.finding import Finder, Found, SearchOptions
from gentool.sharpness.problem import Problem
from gentool.sharpness.subject import Subject, subject
from gentool.training_set import TrainingSet

FORMAT = 1
Values = dict[str, float | None]


@dataclass(frozen=True)
class SharpnessOptions:
    """What `gentool sharpness` was asked for; `data` None means the recipe's."""

    alphas: tuple[float, ...] = (5e-4,)
    search: SearchOptions = field(default_factory=SearchOptions)
    fold_batch_norm: bool = True
    compare: bool = False
    data: str | None = None

    def to_json(self) -> Json:
        return {
            "name": "sharpness",
            "alpha": list(self.alphas),
            "fold_batch_norm": self.fold_batch_norm,
            **asdict(self.search),
            "compare": self.compare,
            "data": self.data,
        }


@dataclass(frozen=True)
class Loaded:
    """A checkpoint made ready: what is perturbed, and the examples that it was trained on."""

    checkpoint: Checkpoint
    subject: Subject
    sets: TrainingSet


def load(
    checkpoint: Checkpoint,
    *,
    fold_batch_norm: bool,
    data: str | None,
    device: torch.device,
    data_dir: Path,
    show_progress: bool = False,
) -> Loaded:
    """Make a checkpoint ready; GentoolError where it or the data do not fit its recipe."""
    perturbed = subject(
        checkpoint.model(), checkpoint.recipe.input_shape, fold_batch_norm=fold_batch_norm
    )
    sets = drawn_again(checkpoint, device, data_dir, data=data, show_progress=show_progress)
    return Loaded(checkpoint, perturbed, sets)


def searched(
    loaded: Loaded,
    options: SharpnessOptions,
    show: Callable[[Problem], None] = lambda problem: None,
) -> tuple[Json, list[Found]]:
    """The record of the searches at every α, and what they found, in the order of the alphas.

    An interruption ends the list; what was found until then is in it, marked.
    """
    began = time.perf_counter()
    finder = Finder(loaded.subject, loaded.sets.all, options.search, show)
    if not math.isfinite(finder.before.loss):
        reason = f"the training loss is {finder.before.loss}, which nothing can rise from"
        values = {"sharpness": None, "sharpness_keskar": None}
        notes = [f"{name}: {reason}" for name in values]
        return assemble(loaded, options.to_json(), values, notes, began), []
    found, others = [], []
    for alpha in options.alphas:
        found.append(finder.find(alpha))
        others.append([])
        if options.compare and found[-1].stopped != "interrupted":
            for other in finder.compare(alpha, found[-1].units):
                others[-1].append(other)
                if other.stopped == "interrupted":
                    break
        if "interrupted" in [one.stopped for one in (found[-1], *others[-1])]:
            break
    record = assemble(
        loaded,
        options.to_json(),
        {"sharpness": found[0].rise, "sharpness_keskar": found[0].keskar},
        [note for one in found for note in _notes(one)],
        began,
    )
    record["sharpness"] = {
        "folded": loaded.subject.is_folded,
        "parameters": len(loaded.subject.weights),
        "images": len(loaded.sets.all),
        "loss": finder.before.loss,
        "error": finder.before.error,
        "batching": found[0].batching.to_json(),
        "points": [_row(one, rest) for one, rest in zip(found, others, strict=True)],
    }
    return record, found


def assemble(loaded: Loaded, command: Json, values: Values, notes: list[str], began: float) -> Json:
    """The parts that every measure file has."""
    recipe = loaded.checkpoint.recipe
    return {
        "format": FORMAT,
        "gentool": __version__,
        "command": command,
        "checkpoint": {
            "file": loaded.checkpoint.path.name,
            "sha256": loaded.checkpoint.sha256,
        },
        "recipe": recipe.to_json(),
        "outcome": loaded.checkpoint.outcome.to_json(),
        "measures": values,
        "log10": {name: _log10(value) for name, value in values.items()},
        "layers": layer_table(canonical(loaded.checkpoint.model(), recipe.input_shape)),
        "margin": None,
        "notes": notes,
        "seconds": round(time.perf_counter() - began, 3),
        "device": describe(loaded.sets.subset.labels.device),
        "versions": versions(),
    }


def _row(found: Found, others: list[Found]) -> Json:
    """What was found at one α, by the search asked for and by those compared with it."""
    best = [start.rise for start in found.starts if math.isfinite(start.rise)]
    images = found.spent.forward + found.spent.gradient
    return {
        "alpha": found.alpha,
        "method": found.method,
        "rise": found.rise,
        "keskar": found.keskar,
        "loss": found.after.loss,
        "error": found.after.error,
        "class": found.after.top_class,
        "class_fraction": found.after.top_fraction,
        "starts": [
            {**asdict(start), "rise": start.rise if math.isfinite(start.rise) else None}
            for start in found.starts
        ],
        "spread": max(best) - min(best) if best else None,
        "forward_evaluations": found.spent.forward,
        "gradient_evaluations": found.spent.gradient,
        "units": round(found.units, 3),
        "images_per_second": round(images / max(found.spent.seconds, 1e-9)),
        "seconds": round(found.spent.seconds, 3),
        "precision": found.precision,
        "stopped": found.stopped,
        "compared": [
            {
                "method": other.method,
                "rise": other.rise,
                "units": round(other.units, 3),
                "seconds": round(other.spent.seconds, 3),
            }
            for other in others
        ],
    }


def _notes(found: Found) -> list[str]:
    notes = []
    if found.stopped is not None:
        because = {"time": "its time was over", "interrupted": "it was interrupted"}
        notes.append(
            f"sharpness: at alpha {found.alpha:g} the search stopped early, when "
            f"{because[found.stopped]}; the value is the best until then"
        )
    if found.overflowed:
        notes.append(
            f"sharpness: at alpha {found.alpha:g} the loss overflows at some points of the box; "
            "the value is the best of the others, and the maximum is larger"
        )
    return notes


def _log10(value: float | None) -> float | None:
    return math.log10(value) if value is not None and value > 0 else None
