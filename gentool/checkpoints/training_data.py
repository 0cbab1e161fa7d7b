"""What a foreign network was trained on: what the user says of it, checked on the network."""

from dataclasses import replace

import torch

from gentool.checkpoints.checkpoint import Checkpoint
from gentool.checkpoints.hints import NO_HINTS, Hints, as_options
from gentool.common.errors import GentoolError, UsageError
from gentool.data.dataset import DataSet
from gentool.data.examples import TrainingSet, training_set
from gentool.data.sources import DataSets
from gentool.networks.layer_list import chain
from gentool.networks.layer_shapes import output_shapes
from gentool.records.recipe import Recipe

_KNOWN_UNLESS_SAID = {"labels": "true", "seed": 0, "confusion": 0}


def recipe_with_data(recipe: Recipe, data: str | None, hints: Hints) -> Recipe:
    """The recipe with what was said about its data, before that is drawn.

    Raises UsageError where nothing says what the data is, or something is said about a network that
    gentool trained and knows it of.
    """
    said = hints.data()
    if recipe.origin is None:
        if said:
            raise UsageError(
                f"the checkpoint knows what it was trained on; {as_options(said)} is for "
                "foreign checkpoints"
            )
        return replace(recipe, data=data or recipe.data)
    if data is None and recipe.data is None:
        raise UsageError("nothing says what the network was trained on; name it with --data")
    if said or (data is not None and data != recipe.data):
        recipe = replace(recipe, digest=None, fingerprint=None, subset=None, mean=None, std=None)
    for name, value in _KNOWN_UNLESS_SAID.items():
        if getattr(recipe, name) is None:
            said.setdefault(name, value)
    return replace(recipe, data=data or recipe.data, **said)


def recipe_at_data_shape(recipe: Recipe, data: DataSet, hints: Hints) -> Recipe:
    """The recipe of a foreign network with the input shape of its data, where that fits.

    It is the data's shape that the network is measured at, unless --input-shape says otherwise.
    Raises GentoolError where the network does not accept it, UsageError where the normalisation
    that was asked for cannot be applied.
    """
    channels = data.input_shape[0]
    if hints.mean is not None and data.train_images.dtype != torch.uint8:
        raise UsageError("images of floats are taken as they are; leave out --mean and --std")
    for name in ("mean", "std"):
        if getattr(hints, name) is not None and len(getattr(hints, name)) != channels:
            raise UsageError(f"--{name} has to be one number for each of {channels} channels")
    if recipe.data.startswith("npz:") and data.classes < recipe.classes:
        recipe = replace(recipe, classes=data.classes)  # few labels need not reach the last class
    if data.input_shape == recipe.input_shape or hints.input_shape is not None:
        return recipe
    with torch.device("meta"):
        model = chain(recipe.layers)
    try:
        output_shapes(model, data.input_shape)
    except GentoolError as error:
        shape, wanted = ("x".join(map(str, s)) for s in (data.input_shape, recipe.input_shape))
        raise GentoolError(
            f"the images of {recipe.data} are {shape}, the network takes {wanted} ({error}); name "
            "other data with --data"
        ) from error
    return replace(recipe, input_shape=data.input_shape)


def load_training_set(
    checkpoint: Checkpoint,
    device: torch.device,
    data_sets: DataSets,
    *,
    data: str | None,
    hints: Hints = NO_HINTS,
) -> tuple[Recipe, TrainingSet]:
    """The examples that a checkpoint was trained on, and its recipe with the facts about them.

    `data` and `hints` say what the recipe of a foreign checkpoint does not. GentoolError where the
    data differs from what it was trained on, UsageError where nothing says what that was.
    """
    recipe, source = load_data_set(checkpoint, data_sets, data, hints)
    drawn, sets = training_set(recipe, source, device)
    return replace(drawn, classes=checkpoint.recipe.classes), sets


def load_data_set(
    checkpoint: Checkpoint,
    data_sets: DataSets,
    data: str | None,
    hints: Hints = NO_HINTS,
) -> tuple[Recipe, DataSet]:
    """The data set that a checkpoint's training set is drawn from, and the recipe to draw it by."""
    recipe = recipe_with_data(checkpoint.recipe, data, hints)
    source = data_sets.load(recipe.data)
    if recipe.origin is not None:
        recipe = recipe_at_data_shape(recipe, source, hints)
    return recipe, source
