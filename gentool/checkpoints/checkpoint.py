"""Read and write checkpoints: the weights, recipe and outcome of a network in a safetensors file.

The tensors are the plain state dict, so that `model.load_state_dict(load_file(path))` works without
gentool; recipe and outcome are one JSON text under the metadata key `gentool`. The trap avoided:
times or paths in the file, with which the same recipe would not give the same bytes.

A file without that key, or a file of torch.save, comes from another program: its recipe is inferred
from the names and shapes of its tensors (see `gentool.checkpoints.foreign`).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from gentool.checkpoints.foreign.chain import check_agreement, recipe_of_chain, tells_activation
from gentool.checkpoints.foreign.inference import infer_recipe
from gentool.checkpoints.foreign.reading import (
    READABLE,
    Weights,
    checked_weights,
    read_pytorch,
    read_safetensors,
    weights_of,
)
from gentool.checkpoints.foreign.tensor_sets import ForeignTensors, with_key
from gentool.checkpoints.hints import NO_HINTS, Hints, as_options
from gentool.checkpoints.module import described_by_list, described_by_module
from gentool.common.errors import GentoolError, UsageError
from gentool.common.files import sha256, write_whole
from gentool.common.json import Json, dumps
from gentool.networks.layer_shapes import output_shapes, some_shape
from gentool.networks.models import build
from gentool.numerics.device import versions
from gentool.records.checkpoint_metadata import FORMAT, KEY, parse, recipe_and_outcome
from gentool.records.file_kind import file_kind
from gentool.records.recipe import LAYERS, Outcome, Recipe


@dataclass(frozen=True)
class Checkpoint:
    """Hold the content of a checkpoint file; `sha256` is the digest of the whole file.

    `kind` is "gentool" for a file with gentool's metadata. For a foreign file, whose recipe was
    inferred and whose outcome is unknown, it is the format, "safetensors" or "pytorch". `versions`
    are those of the libraries that wrote the metadata.
    """

    path: Path
    sha256: str
    tensors: dict[str, Tensor]
    recipe: Recipe
    outcome: Outcome | None
    kind: str = "gentool"
    versions: Json | None = None

    def model(self) -> nn.Module:
        """Return the trained network in evaluation mode.

        Raise GentoolError if the tensors do not fit the recipe's model.
        """
        model = self.empty_model()
        model.load_state_dict(self.tensors, assign=True)
        return model.eval()

    def empty_model(self) -> nn.Module:
        """Return the recipe's model without values, as torch.nn modules on the meta device.

        Raise GentoolError if the tensors have other names or shapes, or if the sizes of successive
        layers do not fit.
        """
        try:
            model = build(self.recipe)
            _check_fit(self.tensors, model.state_dict())
            if self.recipe.model == LAYERS:
                network = build(self.recipe)
                output_shapes(network, self.recipe.input_shape or some_shape(network.eval()))
        except GentoolError as error:
            raise GentoolError(f"{self.path}: {error}") from error
        return model


def training_as_json(recipe: Recipe, outcome: Outcome | None) -> Json:
    """Return the keys `recipe` and `outcome` as they stand in checkpoints and in records."""
    return {
        "recipe": recipe.to_json(),
        "outcome": outcome.to_json() if outcome is not None else None,
    }


def write(path: Path, model: nn.Module, recipe: Recipe, outcome: Outcome | None) -> None:
    """Write a checkpoint, whole or not at all. Raise GentoolError with the reason if that fails."""
    write_whole(path, content_of(model, recipe, outcome))


def content_of(model: nn.Module, recipe: Recipe, outcome: Outcome | None) -> bytes:
    """Return the content of the file of a checkpoint."""
    about = {
        "format": FORMAT,
        **training_as_json(recipe, outcome),
        "versions": versions(),
    }
    return save(apart(model.state_dict()), {KEY: dumps(about)})


def apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as safetensors takes them: contiguous, and none that share their numbers."""
    apart: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return apart


def read(path: Path, hints: Hints = NO_HINTS) -> Checkpoint:
    """Read a checkpoint; `hints` describe the architecture where a foreign file does not.

    Raise GentoolError, naming the file, if it is missing, damaged, of a later format, or neither a
    VGG nor an MLP; UsageError if a hint is missing, or given for a file that describes itself.
    """
    if path.is_dir():
        raise GentoolError(f"{path} is a folder, not a checkpoint")
    is_pytorch = file_kind(path) == "pytorch"
    if is_pytorch:
        tensors, metadata = read_pytorch(path, hints.key), {}
    else:
        tensors, metadata = read_safetensors(path)
    try:
        if KEY in metadata:
            return _from_metadata(path, tensors, metadata[KEY], hints)
        foreign = tensors if is_pytorch else with_key(tensors, hints.key)
        digest = sha256(path)
        recipe, tensors = _foreign(foreign, hints, path.name, digest, is_pytorch)
    except GentoolError as error:
        raise type(error)(f"{path}: {error}") from error
    kind = "pytorch" if is_pytorch else "safetensors"
    return Checkpoint(path, digest, tensors, recipe, None, kind)


def _foreign(
    foreign: ForeignTensors, hints: Hints, file: str, digest: str, is_ordered: bool
) -> tuple[Recipe, dict[str, Tensor]]:
    """Return recipe and state dict of a foreign file; the recipe's origin tells what was read."""
    if hints.module is not None:  # the user's module has its own formulas and counters
        recipe, tensors, normalisation = described_by_module(foreign.tensors, hints, file, digest)
        words = [normalisation.words] if normalisation is not None else []
    else:
        weights = weights_of(foreign.tensors)
        normalisation, words = weights.normalisation, weights.words
        recipe, tensors = _without_module(foreign, weights, hints, file, digest, is_ordered)
    origin = {"file": file, "sha256": digest, **recipe.origin}
    origin["inferred"] = [*origin["inferred"], *foreign.words, *words]
    if foreign.key is not None:
        origin["key"] = foreign.key
    if foreign.others:
        origin["other_keys"] = list(foreign.others)
    if normalisation is not None:
        origin["mean"] = list(normalisation.mean)
        origin["std"] = list(normalisation.std)
    return replace(recipe, origin=origin), tensors


def _without_module(
    foreign: ForeignTensors,
    weights: Weights,
    hints: Hints,
    file: str,
    digest: str,
    is_ordered: bool,
) -> tuple[Recipe, dict[str, Tensor]]:
    """Return recipe and state dict of a foreign file: as listed, by its module, or inferred."""
    if hints.layers is not None:
        return described_by_list(checked_weights(weights.tensors), hints, file, digest)
    if foreign.tree is None:
        return infer_recipe(weights.tensors, hints, file, digest, is_ordered=is_ordered)
    without = weights.normalisation.name if weights.normalisation is not None else None
    chain = recipe_of_chain(foreign.tree, checked_weights(weights.tensors), without, hints)
    if chain is not None:
        return chain
    recipe, tensors = infer_recipe(
        weights.tensors, hints, file, digest, is_ordered, tells_activation(foreign.tree)
    )
    check_agreement(foreign.tree, recipe)
    return recipe, tensors


def _from_metadata(path: Path, tensors: dict[str, Tensor], text: str, hints: Hints) -> Checkpoint:
    """Return the checkpoint of a file with gentool's metadata."""
    if options := hints.architecture():
        raise UsageError(f"it describes itself; {as_options(options)} is for foreign checkpoints")
    metadata = parse(text)
    recipe, outcome = recipe_and_outcome(metadata)
    if outcome is None and recipe.origin is None:  # only foreign networks may have none
        raise GentoolError("the outcome is not one that gentool wrote")
    try:
        build(recipe)
    except GentoolError as error:  # the file is wrong, not the command
        raise GentoolError(str(error)) from error
    versions = metadata.get("versions")
    return Checkpoint(path, sha256(path), tensors, recipe, outcome, versions=versions)


def _check_fit(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raise GentoolError unless the tensors have the names, shapes and kinds of a model's.

    Tensors of half precision are replaced by float32.
    """
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            raise GentoolError(f"the weight {name!r} of the recipe's model is missing")
        if name not in expected:
            raise GentoolError(f"the weight {name!r} has no place in the recipe's model")
        if tensors[name].shape != expected[name].shape:
            shapes = [tuple(state[name].shape) for state in (tensors, expected)]
            raise GentoolError(
                f"the weight {name!r} has shape {shapes[0]}, in the recipe's model {shapes[1]}"
            )
        is_float = expected[name].dtype.is_floating_point
        if tensors[name].dtype not in (READABLE if is_float else (expected[name].dtype,)):
            raise GentoolError(f"the weight {name!r} is of type {tensors[name].dtype}")
        if tensors[name].dtype in (torch.float16, torch.bfloat16):
            tensors[name] = tensors[name].float()
