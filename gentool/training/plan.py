"""The networks that a command asks for: one, or a grid of them, and the files of each. No torch."""

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
    """A network to train: what is asked of it, the options of its model that were given, its file.

    `keep_initial` and `save_every` ask for further checkpoints along the way.
    """

    asked: Recipe
    shape: Json
    path: Path
    keep_initial: bool = False
    save_every: int | None = None

    @property
    def state_path(self) -> Path:
        """Where the state of its run is kept while it is trained."""
        return self.path.with_name(f"{self.path.name}.state")

    @property
    def has_several_files(self) -> bool:
        """Whether checkpoints along the way are asked for."""
        return self.keep_initial or self.save_every is not None

    def path_at(self, epoch: int) -> Path | None:
        """The checkpoint along the way after an epoch, 0 being the initial one; None for none."""
        if epoch == 0:
            return self._named("initial") if self.keep_initial else None
        is_wanted = self.save_every is not None and epoch % self.save_every == 0
        return self._named(f"epoch{epoch:04}") if is_wanted else None

    def along_the_way(self) -> list[Path]:
        """The checkpoints along the way that exist."""
        initial = [self._named("initial")] if self.keep_initial else []
        stem = glob.escape(self.path.name.removesuffix(".safetensors"))
        later = self.path.parent.glob(f"{stem}.epoch*.safetensors") if self.save_every else []
        return [path for path in [*initial, *sorted(later)] if path.exists()]

    def differences(self, found: Recipe, meets_stop_rule: bool) -> list[str]:
        """Where the recipe of a network that is there is not what is asked, as `lr 0.03, not 0.04`.

        `meets_stop_rule` tells that it met the stop rule.
        """
        names = fields_with(Role.IDENTITY, Role.CONDITION, Role.STEP)
        if not meets_stop_rule:  # limits have no effect on a network that met it
            names += fields_with(Role.LIMIT)
        asked = {name: getattr(self.asked, name) for name in names}
        given = {"subset": self.asked.subset} | self.shape
        asked |= {name: value for name, value in given.items() if value is not None}
        return [
            f"{name.replace('_', '-')} {there}, not {value}"
            for name, value in asked.items()
            if (there := getattr(found, name)) != value
        ]

    def is_missing(self, existing: Existing, resume: bool) -> bool:
        """Whether there is anything to do; GentoolError where a file must not be written."""
        is_missing = check_output(self.path, existing)
        if is_missing and existing is not Existing.FORCE and not resume:
            for path in self.along_the_way():
                raise GentoolError(
                    f"{path} exists; replace it with --force, or go on with --resume"
                )
        return is_missing

    def _named(self, moment: str) -> Path:
        stem = self.path.name.removesuffix(".safetensors")
        return self.path.with_name(f"{stem}.{moment}.safetensors")


def grid(
    asked: Recipe, shape: Json, axes: dict[str, Sequence[object]]
) -> list[tuple[Recipe, Json]]:
    """All combinations of the values of some axes, each an option of the recipe or of its model.

    Raises UsageError where a value is there twice.
    """
    for name, values in axes.items():
        if len(set(values)) < len(values):
            raise UsageError(f"--{name} names a value twice: {','.join(map(str, values))}")
    networks = []
    for values in product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        of_model = {name: value for name, value in chosen.items() if name in shape}
        of_recipe = {name: value for name, value in chosen.items() if name not in shape}
        networks.append((replace(asked, **of_recipe), shape | of_model))
    return networks


def in_folder(
    networks: Sequence[tuple[Recipe, Json]], folder: Path, **along_the_way: object
) -> list[PlannedRun]:
    """Networks with the files that their recipes name, in one folder."""
    return [
        PlannedRun(
            asked, shape, folder / f"{default_stem(asked, shape)}.safetensors", **along_the_way
        )
        for asked, shape in networks
    ]


def worker_batches(planned: Sequence[PlannedRun], jobs: int) -> Iterator[list[PlannedRun]]:
    """What is trained at a time by one of several processes: alike networks go together.

    They may be stacked, then: those that differ in labels and seed alone. No more than a process's
    share of them all.
    """
    alike: dict[str, list[PlannedRun]] = {}
    for one in planned:
        key = repr((replace(one.asked, seed=0, labels="true"), one.shape))
        alike.setdefault(key, []).append(one)
    most = min(LARGEST_STACK, ceil(len(planned) / jobs))
    for group in alike.values():
        for start in range(0, len(group), most):
            yield group[start : start + most]
