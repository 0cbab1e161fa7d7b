"""Train a network for Python, without files unless they are asked for."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path

import numpy

from gentool.checkpoints.checkpoint import Checkpoint, apart, content_of
from gentool.checkpoints.load import TrainedNetwork, network_of
from gentool.common.errors import GentoolError, UsageError, unknown
from gentool.common.files import Existing, check_output, write_whole
from gentool.common.json import Json
from gentool.common.paths import default_data_dir
from gentool.data.examples import training_set
from gentool.data.reading import check_classes, reading_of
from gentool.data.sources import DataSets
from gentool.networks.models import initial_digest, options_of, with_defaults
from gentool.numerics.device import resolve, versions
from gentool.records.presets import PRESET_OPTIONS, training_options
from gentool.records.recipe import LAYERS, Recipe, Role, parse_batch_norm, parse_labels
from gentool.training.jobs import check_names
from gentool.training.loop import train as train_until_it_fits
from gentool.training.run import EpochReport
from gentool.training.state import with_stop_check

_BY_PRESET = ("optimizer", *PRESET_OPTIONS)
_OF_MODEL = ("batch_norm", "dropout", "last_pool", "width", "depth", "hidden")


def train(
    recipe: Recipe | Mapping[str, object],
    path: str | Path | None = None,
    *,
    device: str = "auto",
    data_dir: str | Path | None = None,
    force: bool = False,
    resume: bool = False,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> TrainedNetwork:
    """Train a network until it fits its training set, as `gentool train` does.

    `recipe` names what the options of the command name, with the same defaults: `model`, `hidden`,
    `width`, `data`, `labels`, `subset` or `first`, `confusion`, `seed`, `lr`, `epochs`, `stop_loss`
    and so on; `recipe` itself is "fast" or "paper". Or it is a `gentool.Recipe`, as that of a
    network that was loaded, whose data is checked to be the same.

    Nothing is written without `path`, which names a checkpoint, a .safetensors file. One that
    exists is replaced with `force`. While a network with a path is trained, its state is kept
    beside the file every ten seconds; with `resume` an interrupted run is continued from there.
    `data_dir` is the folder of the data sets, by default GENTOOL_DATA or the user's cache, where
    torchvision puts those that it downloads. `on_epoch` is called with the epoch, its running loss
    and error, and its speed.

    Return the network: its `module` in evaluation mode, its `recipe` with the facts of the data,
    its `outcome` (epochs; losses: mean cross-entropies; errors: fractions; whether it fits) and its
    `path`. The same seed gives the file of the command, byte for byte on one machine's CPU.

    Raise UsageError for an option that is unknown or out of range, GentoolError if the data is
    missing or differs, the file exists, or training diverges.

    >>> import gentool
    >>> recipe = {"model": "mlp", "hidden": 32, "data": "digits", "subset": 100, "lr": 0.1}
    >>> net = gentool.train(recipe)
    >>> net.outcome.stop_rule_met, net.outcome.train_error, net.recipe.subset
    (True, 0.0, 100)
    """
    recipe = _completed(recipe) if isinstance(recipe, Recipe) else recipe_of_options(recipe)
    check_names(recipe)
    if path is None and resume:
        raise UsageError("resume continues from the state beside a file; give the path, too")
    path = None if path is None else _checked_path(Path(path).expanduser(), force, resume)
    data_sets = DataSets(default_data_dir() if data_dir is None else Path(data_dir))
    where = resolve(device)
    loaded = data_sets.load(recipe.data, reading_of(recipe))
    recipe, sets = training_set(recipe, loaded, where)
    state_path = None if path is None else _state_of(path)
    recipe = replace(recipe, initial_digest=initial_digest(recipe))
    recipe = with_stop_check(recipe, state_path if resume else None)
    module, outcome = train_until_it_fits(
        recipe,
        sets,
        where,
        state_path=state_path,
        resume=resume,
        on_epoch=on_epoch or (lambda report: None),
    )
    content = content_of(module, recipe, outcome)
    if path is not None:
        write_whole(path, content)
        state_path.unlink(missing_ok=True)
    checkpoint = Checkpoint(
        path=path or Path(f"{recipe.model}.safetensors"),
        sha256=hashlib.sha256(content).hexdigest(),
        tensors=apart(module.state_dict()),
        recipe=recipe,
        outcome=outcome,
        versions=versions(),
    )
    return network_of(checkpoint, data_sets.folder, path)


def recipe_of_options(options: Mapping[str, object]) -> Recipe:
    """Return the recipe of options that are named as those of `gentool train`.

    Raise UsageError for an unknown option, and for a value that is out of range.
    """
    known = [*_option_names(), "recipe", "first", "classes"]
    values: Json = {}
    for name, value in options.items():
        name = name.replace("-", "_")
        if name not in known:
            raise unknown("option of a recipe", name, known)
        if value is not None:
            values[name] = value.item() if isinstance(value, numpy.generic) else value
    preset = values.pop("recipe", "fast")
    values |= {"model": values.get("model", "vgg")}
    if "first" in values:
        if "subset" in values:
            raise UsageError("first and subset exclude each other; name one")
        values |= {"subset": values.pop("first"), "draw": "first"}
    if isinstance(values.get("labels"), str):
        values["labels"] = parse_labels(values["labels"])
    if isinstance(values.get("batch_norm"), str):
        values["batch_norm"] = parse_batch_norm(values["batch_norm"], values["model"])
    check_classes(values.get("data", "cifar10"), values.get("classes"))
    of_model = {name: values.pop(name) for name in _OF_MODEL if name in values}
    of_preset = {name: values.pop(name, None) for name in _BY_PRESET}
    of_preset["optimizer"] = of_preset["optimizer"] or "sgd"
    width = of_model.get("width")
    trained = training_options(preset, values["model"], width, of_preset)
    return Recipe(**values | trained | with_defaults(values["model"], of_model))


def _completed(recipe: Recipe) -> Recipe:
    """Return a recipe with the defaults of its model for the options that are None."""
    if recipe.model == LAYERS:
        raise UsageError("another program trained this network; its recipe cannot be repeated")
    defaults = {option.name: option.default for option in fields(Recipe)}
    options = {name: getattr(recipe, name) for name in _OF_MODEL}
    said = {name: value for name, value in options.items() if value != defaults[name]}
    kept = {name: options[name] for name in options_of(recipe.model) if name in options}
    return replace(recipe, **with_defaults(recipe.model, kept | said))


def _checked_path(path: Path, force: bool, resume: bool) -> Path:
    """Return the path of a checkpoint to write; raise if it cannot or must not be written.

    With `force` the state of an interrupted run is removed.
    """
    if path.suffix != ".safetensors":
        raise UsageError(f"path is {path}; its name has to end in .safetensors")
    if force and resume:
        raise UsageError("force starts over and resume continues; choose one")
    if path.is_file() and not force:
        raise GentoolError(f"{path} exists; replace it with force=True, or load it")
    check_output(path, Existing.FORCE)
    state_path = _state_of(path)
    if force:
        state_path.unlink(missing_ok=True)
    elif state_path.exists() and not resume:
        raise GentoolError(
            f"{state_path} holds an interrupted run; continue with resume=True, or start over with "
            "force=True"
        )
    return path


def _state_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.state")


def _option_names() -> list[str]:
    """Return the fields of a recipe that are options, not facts about data or a file."""
    return [
        option.name
        for option in fields(Recipe)
        if option.name not in ("layers", "draw") and Role.DERIVED not in option.metadata["roles"]
    ]
