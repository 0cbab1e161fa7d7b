"""Load the data that a checkpoint was trained on; for a foreign one, options describe the data."""

import math
from dataclasses import replace
from pathlib import Path

import torch

from gentool.checkpoints.checkpoint import Checkpoint
from gentool.checkpoints.hints import NO_HINTS, Hints, as_options
from gentool.common.errors import GentoolError, UsageError
from gentool.common.paths import path_of_recorded
from gentool.data.dataset import DataSet
from gentool.data.examples import TrainingSet, training_set
from gentool.data.reading import check_classes, reading_of
from gentool.data.sources import DataSets
from gentool.networks.layer_list import chain
from gentool.networks.layer_shapes import output_shapes
from gentool.records.recipe import Recipe

_DEFAULTS = {"labels": "true", "seed": 0, "confusion": 0, "draw": "random"}
_FACTS = ("data", "labels", "subset", "draw", "seed", "mean", "std")
_READING = {"folder": ("channels", "resize"), "npz": ("channel_order",)}


def facts_about(data: str) -> tuple[str, ...]:
    """Return the names of the facts about training data that a record lists, as in a recipe.

    All but `data` are assumed where nobody says them. Some are for folders or npz archives only.
    """
    return (*_FACTS, *_READING.get(data.partition(":")[0], ()))


def recipe_with_data(recipe: Recipe, data: str | None, hints: Hints) -> Recipe:
    """Return the recipe with the options about its training data, before that is drawn.

    Raise UsageError if neither recipe nor options name the data, or if options describe the data of
    a network that gentool trained.
    """
    options = hints.data()
    if recipe.origin is None:
        if options:
            raise UsageError(
                f"the checkpoint describes its training data; {as_options(options)} is for "
                "foreign checkpoints"
            )
        return replace(recipe, data=data or recipe.data)
    if data is None and recipe.data is None:
        raise UsageError("the training data of the network is unknown; name it with --data")
    recipe = _as_recorded(recipe, data, hints)
    for name, value in _DEFAULTS.items():
        if getattr(recipe, name) is None:
            options.setdefault(name, value)
    return replace(recipe, data=data or recipe.data, **options)


def assumed_facts(recipe: Recipe, data: str | None, hints: Hints) -> tuple[str, ...]:
    """Return which facts about a foreign network's training data nobody said.

    Neither its file nor the options say them; the recipe in a converted file may hold facts that
    were assumed in the conversion. Of a network that gentool trained all are known.
    """
    if recipe.origin is None:
        return ()
    recorded, options = _as_recorded(recipe, data, hints), set(hints.data())
    before = recipe.origin.get("assumed", ())
    if "subset" in options:
        options.add("draw")  # --subset says that it is random, --first that it is not
    return tuple(
        name
        for name in facts_about(data or recipe.data)
        if name != "data" and name not in options
        if getattr(recorded, name) is None or name in before
        if name not in recipe.origin  # mean and std of a normalising layer in the file
    )


def _as_recorded(recipe: Recipe, data: str | None, hints: Hints) -> Recipe:
    """Return the recipe without the facts that options about the data replace."""
    is_other = data is not None and data != recipe.data
    if is_other:
        recipe = replace(recipe, channels=None, resize=None, channel_order=None)
    if hints.data() or is_other:
        facts = ("digest", "fingerprint", "subset", "draw", "mean", "std")
        return replace(recipe, **dict.fromkeys(facts))
    return recipe


def recipe_at_data_shape(recipe: Recipe, data: DataSet, hints: Hints) -> Recipe:
    """Return the recipe of a foreign network with the input shape of its data.

    The network is measured at the shape of its data unless --input-shape names another. Raise
    GentoolError if the network does not accept that shape, UsageError if --mean and --std cannot be
    applied to the images.
    """
    channels = data.input_shape[0]
    if hints.mean is not None and data.train_images.dtype != torch.uint8:
        raise UsageError("images of floats are not normalised; leave out --mean and --std")
    if recipe.mean is None and "mean" in recipe.origin:
        recipe = _with_own_normalisation(recipe, data)
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
        shape = "x".join(map(str, data.input_shape))
        if recipe.input_shape is None:
            raise GentoolError(
                f"the network does not take the images of {recipe.data} as they are ({error}); "
                f"name their shape with --input-shape {shape}, or other data with --data"
            ) from error
        expected = "x".join(map(str, recipe.input_shape))
        raise GentoolError(
            f"the images of {recipe.data} are {shape}, the network takes {expected} ({error}); "
            "name other data with --data"
        ) from error
    return replace(recipe, input_shape=data.input_shape)


def _with_own_normalisation(recipe: Recipe, data: DataSet) -> Recipe:
    """Return the recipe with the mean and deviation that the network's file holds, by channel."""
    channels = data.input_shape[0]
    mean, std = (recipe.origin.get(name) for name in ("mean", "std"))
    for numbers in (mean, std):
        is_list = isinstance(numbers, (list, tuple)) and len(numbers) == len(mean) > 0
        if not is_list or not all(isinstance(number, float) for number in numbers):
            raise GentoolError("the mean and std in the recipe's origin are not lists of numbers")
    mean, std = tuple(mean), tuple(std)
    if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise GentoolError("the mean or std of the network's normalising layer is out of range")
    if data.train_images.dtype != torch.uint8 and (any(mean) or any(part != 1 for part in std)):
        raise GentoolError(
            "the network normalises its images, and images of floats are taken as they are; store "
            "them as whole numbers from 0 to 255"
        )
    if len(mean) not in (1, channels):
        raise GentoolError(
            f"the network normalises {len(mean)} channels, the images have {channels}; name other "
            "data with --data"
        )
    if len(mean) < channels:
        mean, std = mean * channels, std * channels
    return replace(recipe, mean=mean, std=std)


def load_training_set(
    checkpoint: Checkpoint,
    device: torch.device,
    data_sets: DataSets,
    *,
    data: str | None,
    hints: Hints = NO_HINTS,
) -> tuple[Recipe, TrainingSet]:
    """Load the training set of a checkpoint, and complete its recipe with the facts about the set.

    `data` and `hints` describe the data of a foreign checkpoint. Raise GentoolError if the data
    differs from the recorded training data, UsageError if neither recipe nor options name it.
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
    """Load the data set of a checkpoint, and complete the recipe that draws the training set."""
    recipe = recipe_with_data(checkpoint.recipe, data, hints)
    if recipe.classes == 1:  # one output for two classes, see `networks.class_logits`
        recipe = replace(recipe, classes=2)
    reading = reading_of(recipe)
    where = recipe.data if data is not None else _where(recipe.data, checkpoint.path)
    if recipe.origin is None:
        return recipe, data_sets.load(where, reading)
    check_classes(recipe.data, hints.classes)
    reading = replace(reading, classes=hints.classes)
    source = data_sets.load(where, reading)
    if _takes_one_channel_of(recipe, source):
        recipe = replace(recipe, channels=1)
        source = data_sets.load(where, replace(reading, channels=1))
    if checkpoint.recipe.classes == 1 and source.classes > 2:
        raise GentoolError(
            f"{checkpoint.path}: the network has one output, for the labels 0 and 1, but "
            f"{recipe.data} has {source.classes} classes; name other data with --data"
        )
    return recipe_at_data_shape(recipe, source, hints), source


def _where(data: str, checkpoint: Path) -> str:
    """Return the data that a checkpoint names; a relative path is tried from its folder too.

    Raise GentoolError, naming --data, if there is nothing.
    """
    name, _, path = data.partition(":")
    found = path_of_recorded(path) if path else None
    if found is None or found.exists():
        return data
    beside = path_of_recorded(str(checkpoint.parent / path))
    if beside.exists():
        return f"{name}:{beside}"
    places = "" if found.is_absolute() else " here or beside it"
    raise GentoolError(
        f"{checkpoint}: its training data {data} does not exist{places}; say where it is with "
        f"--data {name}:PATH"
    )


def _takes_one_channel_of(recipe: Recipe, data: DataSet) -> bool:
    """Return whether a network takes one channel, not three, of the grey images of a folder."""
    if not recipe.data.startswith("folder:") or recipe.channels is not None:
        return False
    images, (_, *size) = (data.train_images, data.test_images), data.input_shape
    if _accepts(recipe, data.input_shape) or not _accepts(recipe, (1, *size)):
        return False
    return all(torch.equal(part[:, :1].expand_as(part), part) for part in images)


def _accepts(recipe: Recipe, input_shape: tuple[int, int, int]) -> bool:
    with torch.device("meta"):
        model = chain(recipe.layers)
    try:
        output_shapes(model, input_shape)
    except GentoolError:
        return False
    return True
