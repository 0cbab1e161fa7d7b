"""Plan the runs of a command: one network or a grid of them, and the files of each. No torch."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil
from pathlib import Path

from gentool.common.errors import GentoolError, UsageError
from gentool.common.files import Existing, check_output
from gentool.common.json import Json
from gentool.records.recipe import Recipe, Role, default_stem, fields_with

LARGEST_STACK = 16


@dataclass(frozen=True)
class PlannedRun:
    """Hold the plan of one training: recipe, model options that were set, path of the checkpoint.

    `model_options` are None where the model's own default is to be taken. `keep_initial`,
    `save_every` and `keep_at` ask for intermediate checkpoints.
    """

    recipe: Recipe
    model_options: Json
    path: Path
    keep_initial: bool = False
    save_every: int | None = None
    keep_at: tuple[float, ...] = ()

    @property
    def state_path(self) -> Path:
        """Return the path of the file that holds the state of the run while it trains."""
        return self.path.with_name(f"{self.path.name}.state")

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
        names = fields_with(Role.IDENTITY, Role.CONDITION, Role.STEP)
        if not meets_stop_rule:  # limits have no effect on a network that met it
            names += fields_with(Role.LIMIT)
        planned = {name: getattr(self.recipe, name) for name in names}
        optional = {"subset": self.recipe.subset} | self.model_options
        planned |= {name: value for name, value in optional.items() if value is not None}
        return [
            f"{name.replace('_', '-')} {there}, not {value}"
            for name, value in planned.items()
            if (there := getattr(existing, name)) != value
        ]

    def is_missing(self, existing: Existing, resume: bool) -> bool:
        """Return whether the network has yet to be trained.

        Raise GentoolError if a file of the run exists and may not be replaced.
        """
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


def grid(
    recipe: Recipe, model_options: Json, axes: dict[str, Sequence[object]]
) -> list[tuple[Recipe, Json]]:
    """Return all combinations of the axes' values, each as a recipe and its model options.

    An axis is an option of the recipe, or of its model where `model_options` has its name. Raise
    UsageError if an axis has the same value twice.
    """
    for name, values in axes.items():
        if len(set(values)) < len(values):
            raise UsageError(f"--{name} names a value twice: {','.join(map(str, values))}")
    networks = []
    for values in product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        of_model = {name: value for name, value in chosen.items() if name in model_options}
        of_recipe = {name: value for name, value in chosen.items() if name not in model_options}
        networks.append((replace(recipe, **of_recipe), model_options | of_model))
    return networks


def in_folder(
    networks: Sequence[tuple[Recipe, Json]], folder: Path, **checkpoint_options: object
) -> list[PlannedRun]:
    """Plan a run for each network, its checkpoint in a folder, named after the recipe.

    `checkpoint_options` are `keep_initial`, `save_every` and `keep_at`.
    """
    return [
        PlannedRun(
            recipe,
            model_options,
            folder / f"{default_stem(recipe, model_options)}.safetensors",
            **checkpoint_options,
        )
        for recipe, model_options in networks
    ]


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
