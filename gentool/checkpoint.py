"""Checkpoints: one safetensors file holds a trained network's weights, its recipe and its outcome.

The tensors are the plain state dict, so that anyone's `model.load_state_dict(load_file(path))`
works; all else is one JSON text under the metadata key `gentool`. Nothing that changes from run to
run (times, paths) is in the file: the same recipe gives the same bytes.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn

from gentool.device import versions
from gentool.errors import GentoolError
from gentool.files import sha256, write_whole
from gentool.models import build
from gentool.recipe import Json, Outcome, Recipe

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds. `sha256` is of the whole file."""

    path: Path
    sha256: str
    tensors: dict[str, Tensor]
    recipe: Recipe
    outcome: Outcome

    def model(self) -> nn.Module:
        """The trained network in evaluation mode.

        Raises GentoolError where the tensors do not fit the recipe's model.
        """
        try:
            model = build(self.recipe)
            _check_fit(self.tensors, model.state_dict())
        except GentoolError as error:
            raise GentoolError(f"{self.path}: {error}") from error
        model.load_state_dict(self.tensors, assign=True)
        return model.eval()


def write(path: Path, model: nn.Module, recipe: Recipe, outcome: Outcome) -> None:
    """Write a checkpoint, whole or not at all; GentoolError with the reason where that fails."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    about = {
        "format": FORMAT,
        "recipe": recipe.to_json(),
        "outcome": outcome.to_json(),
        "versions": versions(),
    }
    metadata = {"gentool": json.dumps(about, ensure_ascii=False, allow_nan=False)}
    write_whole(path, save(tensors, metadata))


def read(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises GentoolError, naming the file, where it is missing, damaged, not gentool's, or of a later
    format.
    """
    if path.is_dir():
        raise GentoolError(f"{path} is a folder, not a checkpoint")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    except FileNotFoundError:
        raise GentoolError(f"{path} does not exist") from None
    except (OSError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise GentoolError(
            f"{path} is no whole safetensors file ({reason}); copy it again"
        ) from error
    try:
        about = _about(metadata)
        recipe, outcome = Recipe.from_json(about["recipe"]), Outcome.from_json(about["outcome"])
    except GentoolError as error:
        raise GentoolError(f"{path}: {error}") from error
    return Checkpoint(path, sha256(path), tensors, recipe, outcome)


def _about(metadata: dict[str, str]) -> Json:
    """The JSON object under the metadata key `gentool`."""
    if "gentool" not in metadata:
        raise GentoolError("no gentool metadata; this checkpoint was saved by another program")
    try:
        about = json.loads(metadata["gentool"])
    except (ValueError, RecursionError) as error:
        raise GentoolError("its gentool metadata is not JSON; the file is damaged") from error
    if not isinstance(about, dict) or not {"format", "recipe", "outcome"} <= set(about):
        raise GentoolError(
            "its gentool metadata lacks format, recipe or outcome; the file is damaged"
        )
    if about["format"] != FORMAT:
        raise GentoolError(
            f"format {about['format']!r} is not known here (known: {FORMAT}); update gentool"
        )
    return about


def _check_fit(tensors: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Raise GentoolError unless the tensors have the names and shapes that a model wants."""
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise GentoolError(f"the weight {name!r} of the recipe's model is missing")
        if name not in wanted:
            raise GentoolError(f"the weight {name!r} has no place in the recipe's model")
        if tensors[name].shape != wanted[name].shape:
            found, shape = tuple(tensors[name].shape), tuple(wanted[name].shape)
            raise GentoolError(
                f"the weight {name!r} has shape {found}, the recipe's model wants {shape}"
            )
        if wanted[name].dtype.is_floating_point != tensors[name].dtype.is_floating_point:
            raise GentoolError(f"the weight {name!r} is of type {tensors[name].dtype}")
        if tensors[name].dtype in (torch.float16, torch.bfloat16):
            tensors[name] = tensors[name].float()
