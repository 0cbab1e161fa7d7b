"""Plan the runs of a command: one network or a grid of them, and the files of each. No torch."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil
from pathlib import Path

from gentool.common.errors import GentoolError, UsageError
from gentool.common.files import Existing, check_output
from gentool.common.json import Json
from gentool.common.special_files import check_name, target_of
from gentool.records.checkpoint_metadata import read, recipe_and_outcome
from gentool.records.presets import PRESET_OPTIONS, training_options
from gentool.records.recipe import (
    Recipe,
    Role,
    default_stem,
    fields_with,
    initial_weights,
    older_stem,
    parse_batch_norm,
    stop_check_of,
)
from gentool.records.replaced import replaced_checkpoint

LARGEST_STACK = 16
MODEL_OPTIONS = ("batch_norm", "dropout", "last_pool", "width", "depth", "hidden")
OVERRIDES = ("optimizer", *PRESET_OPTIONS)
"""Options that take the place of those of a preset."""
OUTER, INNER = ("model",), ("batch_norm", "dropout", "subset", "confusion", "seed", "width")
"""The axes of a grid that vary slowest, and fastest, in the order of its networks."""


@dataclass(frozen=True)
class PlannedNetwork:
    """Hold a network that is asked for: its recipe, and the options that were given.

    `training_options` are those of training, not of model and data; `varied` are the names of those
    that have several values in this command.
    """

    recipe: Recipe
    model_options: Json
    training_options: Json
    varied: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedRun:
    """Hold the plan of one training: recipe, model options that were set, path of the checkpoint.

    `model_options` are None where the model's own default is to be taken. `keep_initial`,
    `save_every` and `keep_at` ask for intermediate checkpoints. `other_path` is the path for a
    network whose `path` another one has taken, None if there is none.
    """

    recipe: Recipe
    model_options: Json
    path: Path
    keep_initial: bool = False
    save_every: int | None = None
    keep_at: tuple[float, ...] = ()
    other_path: Path | None = None

    @property
    def state_path(self) -> Path:
        """Return the path of the file that holds the state of the run while it trains."""
        return self.path.with_name(f"{self.path.name}.state")

    @property
    def last_state_path(self) -> Path:
        """Return the path of the last state of a run that ended without meeting the stop rule."""
        return self.path.with_name(f"{self.path.name}.last-state")

    @property
    def state_to_resume(self) -> Path:
        """Return the path of the state of an interrupted run, else of the last one of an ended run.

        That one counts as long as its checkpoint exists.
        """
        has_ended = self.path.exists() and self.last_state_path.exists()
        return (
            self.last_state_path
            if has_ended and not self.state_path.exists()
            else (self.state_path)
        )

    @property
    def has_intermediate_checkpoints(self) -> bool:
        """Return whether checkpoints before the last one are to be written."""
        return self.keep_initial or self.save_every is not None

    def intermediate_path(self, epoch: int) -> Path | None:
        """Return the path of the checkpoint after an epoch (0: initial); None if there is none."""
        if epoch == 0:
            return self._path_with("initial") if self.keep_initial else None
        is_due = self.save_every is not None and epoch % self.save_every == 0
        return self._path_with(f"epoch{epoch:04}") if is_due else None

    def threshold_path(self, threshold: float) -> Path:
        """Return the path of the checkpoint at the first loss below a threshold."""
        return self._path_with(f"loss{threshold:g}")

    def intermediate_checkpoints(self) -> list[Path]:
        """Return the paths of the intermediate checkpoints that exist."""
        initial = [self._path_with("initial")] if self.keep_initial else []
        stem = glob.escape(self.path.name.removesuffix(".safetensors"))
        later = self.path.parent.glob(f"{stem}.epoch*.safetensors") if self.save_every else []
        at_losses = map(self.threshold_path, self.keep_at)
        return [path for path in [*initial, *sorted(later), *at_losses] if path.exists()]

    def differences(self, existing: Recipe, meets_stop_rule: bool) -> list[str]:
        """List where the recipe of an existing checkpoint differs, as `lr 0.03, not 0.04`.

        `meets_stop_rule` says whether the existing network met the stop rule.
        """
        differing = _differing(self.recipe, self.model_options, existing, meets_stop_rule)
        return [
            f"{name.replace('_', '-')} {_there(existing, name)}, not {value}"
            for name, value in differing.items()
        ]

    def default_differences(self, existing: Recipe) -> list[str]:
        """List where an existing network has another default, which an earlier version had.

        A run of that version goes on with it, so that this is no difference of the plan.
        """
        now = stop_check_of(self.recipe)
        if self.recipe.stop_check is not None or existing.stop_check == now:
            return []
        return [f"stop-check {existing.stop_check}, not {now}"]

    def reason_against_more_epochs(self) -> str | None:
        """Return why the existing network cannot be trained further as planned; None if it can."""
        try:
            recipe, outcome = recipe_and_outcome(read(self.path))
        except GentoolError as error:
            return f"{error}; replace it with --force"
        fits = outcome is not None and outcome.stop_rule_met
        differing = _differing(self.recipe, self.model_options, recipe, fits)
        if fits or not set(differing) <= set(fields_with(Role.LIMIT)):
            return f"{self.path} exists; replace it with --force or keep it with --skip-existing"
        if not differing:
            return (
                f"{self.path} ended after {recipe.epochs} epochs without meeting the stop rule; "
                "continue with more: --resume --epochs MORE"
            )
        if not self.state_to_resume.exists():
            return f"{self.path} has no state beside it to continue from; train anew with --force"
        return None

    def path_to_write(self) -> Path:
        """Return the path of the checkpoint, or the other one if `path` has been taken.

        Another command may have trained a network with other options, and written it, since this
        one was planned.
        """
        if self.other_path is None:
            return self.path
        is_taken = _holds_another(self.path, self.recipe, self.model_options, fields_with(*_SAID))
        return self.other_path if is_taken else self.path

    def check_names(self) -> None:
        """Raise GentoolError, before any work, for a name that is too long or stands for a stream.

        The state and the lock of a run are files beside its checkpoint.
        """
        last = self.recipe.epochs or 0
        epoch = [self._path_with(f"epoch{last:04}")] if self.save_every else []
        initial = [self._path_with("initial")] if self.keep_initial else []
        at_losses = map(self.threshold_path, self.keep_at)
        for path in [self.path, *epoch, *initial, *at_losses, self.last_state_path]:
            check_name(path)
        if target_of(self.path).is_stream:
            raise GentoolError(
                f"{self.path} is no file; the state of the training is kept beside the checkpoint, "
                "so name a file with -o"
            )

    def replaced(self) -> str:
        """Return what is said of the checkpoint that --force replaces; empty if it is the same."""
        return replaced_checkpoint(
            self.path, lambda before: self.differences(before, meets_stop_rule=True)
        )

    def is_missing(self, existing: Existing, resume: bool, is_longer: bool = False) -> bool:
        """Return whether the network has yet to be trained.

        With `is_longer`, one that did not meet the stop rule is trained further where this plan has
        more epochs and its state was kept. Raise GentoolError if a file of the run exists and may
        not be replaced.
        """
        if is_longer and existing is not Existing.FORCE and self.path.exists():
            reason = self.reason_against_more_epochs()
            if reason is None:
                return True
            if existing is Existing.ERROR:
                raise GentoolError(reason)
        is_missing = check_output(self.path, existing)
        if is_missing and existing is not Existing.FORCE and not resume:
            for path in self.intermediate_checkpoints():
                raise GentoolError(
                    f"{path} exists; replace it with --force, or continue with --resume"
                )
        return is_missing

    def _path_with(self, moment: str) -> Path:
        stem = self.path.name.removesuffix(".safetensors")
        return self.path.with_name(f"{stem}.{moment}.safetensors")


_SAID = (Role.CONDITION, Role.STEP)


def plan_networks(base: Recipe, values: dict[str, Sequence[object]]) -> list[PlannedNetwork]:
    """Return the network of each combination of values, labels varying fastest.

    `values` holds the values of each option that was given, by its name in a recipe; `preset` is
    the preset of training options, and `batch_norm` holds words. `base` holds the options that
    take one value only. Raise UsageError for a value that no recipe has, or that is named twice.
    """
    inner = [name for name in (*INNER, "hidden", "labels") if name in values]
    outer = [name for name in OUTER if name in values]
    names = [*outer, *(name for name in values if name not in {*outer, *inner}), *inner]
    varied = tuple(name for name in names if len(values[name]) > 1)
    networks = []
    for combination in product(*(values[name] for name in names)):
        networks.append(_network(base, dict(zip(names, combination, strict=True)), varied))
    for name in names:
        chosen = values[name]
        if len(set(chosen)) < len(chosen):
            raise UsageError(f"--{_option(name)} names a value twice: {','.join(map(str, chosen))}")
    return networks


def _network(base: Recipe, chosen: Json, varied: tuple[str, ...]) -> PlannedNetwork:
    """Return the network with the options that were chosen, and the defaults of its preset."""
    model = chosen.get("model", base.model)
    model_options = {name: chosen.get(name) for name in MODEL_OPTIONS}
    if model_options["batch_norm"] is not None:
        model_options["batch_norm"] = parse_batch_norm(model_options["batch_norm"], model)
    overrides = {name: chosen.get(name) for name in OVERRIDES}
    overrides["optimizer"] = overrides["optimizer"] or base.optimizer
    of_preset = training_options(
        chosen.get("preset", "fast"), model, model_options["width"], overrides
    )
    elsewhere = {*MODEL_OPTIONS, *OVERRIDES, "preset"}
    own = {name: value for name, value in chosen.items() if name not in elsewhere}
    of_data = ("model", "labels", "subset", "confusion", "seed")
    unnamed = {*MODEL_OPTIONS, *of_data, *(set(fields_with(Role.LIMIT)) - set(varied))}
    said = {name: value for name, value in chosen.items() if name not in unnamed}
    own["last_pool"] = None  # that of the base belongs to its model
    return PlannedNetwork(replace(base, **own, **of_preset), model_options, said, varied)


def in_folder(
    networks: Sequence[PlannedNetwork], folder: Path, **checkpoint_options: object
) -> list[PlannedRun]:
    """Plan a run for each network, its checkpoint in a folder, named after the recipe.

    The name holds the training options that have several values. Where a file of that name holds a
    network trained with other options, it holds all that were given. A file under the name that an
    earlier version gave it is kept, if it holds this network. `checkpoint_options` are
    `keep_initial`, `save_every` and `keep_at`.
    """
    planned = []
    for network in networks:
        path, other_path = _paths(network, folder)
        run = PlannedRun(network.recipe, network.model_options, path, **checkpoint_options)
        planned.append(replace(run, other_path=other_path))
    return planned


def _paths(network: PlannedNetwork, folder: Path) -> tuple[Path, Path | None]:
    """Return the path of a network in a folder, and the one to use if the first gets taken."""
    recipe, shape, said = network.recipe, network.model_options, network.training_options
    said = {_option(name): value for name, value in said.items()}
    varied = {name: said[name] for name in map(_option, network.varied) if name in said}
    plain, full = (
        folder / f"{default_stem(recipe, shape, parts)}.safetensors" for parts in (varied, said)
    )
    older = folder / f"{older_stem(recipe, shape)}.safetensors"
    if not varied and older != plain and older.exists() and not plain.exists():
        everything = fields_with(Role.IDENTITY, *_SAID, Role.LIMIT)
        if not _holds_another(older, recipe, shape, everything):
            return older, None
    if full == plain:
        return plain, None
    names = set(network.training_options)
    names |= set(PRESET_OPTIONS) if "preset" in names else set()
    if _holds_another(plain, recipe, shape, names):
        return full, None
    return plain, full


def _holds_another(path: Path, recipe: Recipe, model_options: Json, names: Iterable[str]) -> bool:
    """Return whether a checkpoint holds a network that differs in one of these options.

    A file that cannot be read holds none; that is reported where it is about to be kept.
    """
    if not path.exists():
        return False
    try:
        existing, outcome = recipe_and_outcome(read(path))
    except GentoolError:
        return False
    fits = outcome is not None and outcome.stop_rule_met
    return bool(set(_differing(recipe, model_options, existing, fits)) & set(names))


def _differing(
    recipe: Recipe, model_options: Json, existing: Recipe, meets_stop_rule: bool
) -> Json:
    """Return what is planned where an existing network has something else."""
    names = fields_with(Role.IDENTITY, Role.CONDITION, Role.STEP)
    if not meets_stop_rule:  # limits have no effect on a network that met it
        names += fields_with(Role.LIMIT)
    planned = {name: getattr(recipe, name) for name in names}
    optional = {"subset": recipe.subset, "stop_check": planned.pop("stop_check")} | model_options
    planned |= {name: value for name, value in optional.items() if value is not None}
    there = {name: getattr(existing, name) for name in planned}
    for options in (planned, there):  # null means what the batch norm asks for
        options["init"] = initial_weights(existing.to_json() | options)
    return {name: value for name, value in planned.items() if there[name] != value}


def _there(existing: Recipe, name: str) -> object:
    """Return an option of an existing network, for initial weights the name of what null means."""
    return initial_weights(existing.to_json()) if name == "init" else getattr(existing, name)


def _option(name: str) -> str:
    """Return the name of an option on the command line."""
    return "recipe" if name == "preset" else name.replace("_", "-")


def worker_batches(plan: Sequence[PlannedRun], jobs: int) -> Iterator[list[PlannedRun]]:
    """Split the planned runs into batches for worker processes; stackable networks share a batch.

    Stackable networks differ in labels and seed alone. A batch holds at most a worker's equal share
    of all runs.
    """
    alike: dict[str, list[PlannedRun]] = {}
    for planned in plan:
        key = repr((replace(planned.recipe, seed=0, labels="true"), planned.model_options))
        alike.setdefault(key, []).append(planned)
    size = min(LARGEST_STACK, ceil(len(plan) / jobs))
    for group in alike.values():
        for start in range(0, len(group), size):
            yield group[start : start + size]
