"""Average values over seeds, within networks that are alike in everything else. No torch.

Every average that gentool shows is made here: in figures, in claims and in tables. Networks are
alike if their recipes agree in every field but the seed, and if the value was measured with the
same settings. A field or a setting that is new is compared without being named here.

A limit on epochs that a training did not reach is no difference.

The trap avoided: a mean over whatever happens to share an x, called a mean over runs.
"""

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gentool.common.errors import GentoolError, unknown
from gentool.common.json import Json, is_number
from gentool.records.measure_file import Record, lookup
from gentool.records.recipe import (
    LAYERS,
    REGARDLESS_OF_EPOCHS,
    Role,
    default_init,
    fields_with,
)
from gentool.records.settings import is_cut, settings_of

CUT = "cut short"
FILE, DIGEST = "checkpoint.file", "checkpoint.sha256"
LIMIT = "recipe.epochs"
_REPEATED = fields_with(Role.REPEATED)
FEWEST_FOR_SD = 3
SHOWN = 8  # values of a key that an error lists
CONFIDENCE = 0.95
ERRORBARS = {
    "minmax": "lowest to highest",
    "sd": "standard deviation",
    "se": "standard error",
    "ci95": "95 % confidence interval of the mean (Student's t)",
    "none": "",
}
"""The kinds of error bars over seeds, and their words in a caption."""


class NotAlikeError(GentoolError):
    """Raised where values would be averaged or compared that were not made alike; names the keys"""


@dataclass(frozen=True)
class SeedGroup:
    """Hold networks that differ in their seed alone, and all in which they agree, by key."""

    conditions: Json
    networks: list[Record]


@dataclass(frozen=True)
class Average:
    """Hold the mean of the values of several seeds, and its bar; None for no bar.

    `half` is the standard deviation, the standard error or half the interval, if the bar is one.
    """

    mean: float
    values: tuple[float, ...]
    low: float | None = None
    high: float | None = None
    half: float | None = None

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def sd(self) -> float | None:
        """Return the standard deviation, with the divisor n − 1; None of a single value."""
        return statistics.stdev(self.values) if self.n > 1 else None


def conditions(record: Record, key: str | None = None) -> Json:
    """Return everything in which two values under a key must agree to be averaged, by name.

    The fields of the recipe are `recipe.NAME`, without the seed and what follows from its draws;
    the rest are settings of the measurement, as `epsilon`. A network of which the training is not
    known has its file and checkpoint among them, so that it is like no other. That of a module in
    memory is known if its user said the seed.
    """
    recipe = record.get("recipe") or {}
    shared = {
        f"recipe.{name}": value
        for name, value in recipe.items()
        if value is not None and name not in _REPEATED  # in an older file the field is absent
    }
    if fingerprint := shared.pop("recipe.fingerprint", None):
        shared["recipe.data"] = fingerprint  # two folders of one name may hold different data
    shared.pop("recipe.origin", None)  # of a foreign network, which is known by its checkpoint
    if not is_known(recipe):
        shared |= _identity(record)
    elif recipe.get("init") == default_init(recipe.get("batch_norm")):
        del shared["recipe.init"]  # the default, by its name
    if key is not None:
        shared |= settings_of(record, key)
        if is_cut(record, key):
            shared[CUT] = True
    return shared


def is_known(recipe: Json) -> bool:
    """Return whether it is known how a network was trained: by its recipe, or by its user.

    Of a network of which the layers are listed it is not, unless its user said the seed in Python.
    """
    said = (recipe.get("origin") or {}).get("said")
    is_told = isinstance(said, dict) and "seed" in said and bool(recipe.get("layers"))
    return recipe.get("seed") is not None and (recipe.get("model") != LAYERS or is_told)


def epoch_limits(records: Sequence[Record]) -> dict[int, float]:
    """Return the limits on epochs by which networks are compared, by `id`, where not their own.

    A training that did not reach its limit is the same under any other that it does not reach.
    Networks that are alike otherwise share the highest limit among them; those of a kind in which
    none reached it, one that they have in common with other kinds.
    """
    limits = {lookup(record, LIMIT) for record in records}
    if len(limits) < 2 or not all(map(is_number, limits)):
        return {}
    kinds: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        shared = conditions(record)
        del shared[LIMIT]
        kinds[group_key(shared)].append(record)
    reached = {lookup(record, LIMIT) for record in records if not _is_below_limit(record)}
    common = max(reached or limits)
    found = {}
    for kind in kinds.values():
        below = [record for record in kind if _is_below_limit(record)]
        shared_limit = max(lookup(record, LIMIT) for record in kind)
        if len(below) == len(kind):
            epochs = max(lookup(record, "outcome.epochs") for record in kind)
            shared_limit = common if epochs <= common else max(limits)
        found |= {id(record): shared_limit for record in below}
    return found


def _is_below_limit(record: Record) -> bool:
    """Return whether a training would have been the same with more epochs allowed."""
    epochs, limit = lookup(record, "outcome.epochs"), lookup(record, LIMIT)
    if lookup(record, "recipe.schedule") not in REGARDLESS_OF_EPOCHS or not is_number(epochs):
        return False
    ended = ("outcome.stop_rule_met", "outcome.gave_up")
    return epochs < limit or any(lookup(record, key) is True for key in ended)


def seed_groups(
    records: Iterable[Record], key: str | None = None, limits: Mapping[int, float] | None = None
) -> list[SeedGroup]:
    """Divide networks into groups that may be averaged: alike in all that `conditions` names.

    Two networks of one recipe and one seed are no two samples (checkpoints of one training, say, or
    the same training on two machines): each of such a group is a group of its own, named by its
    file. Groups are in the order of their first network. `limits` are the `epoch_limits` of all
    networks of a figure, if these are not all of them.
    """
    records = list(records)
    limits = epoch_limits(records) if limits is None else limits
    grouped: dict[str, list[tuple[Record, Json]]] = defaultdict(list)
    for record in records:
        shared = conditions(record, key)
        if id(record) in limits:
            shared[LIMIT] = limits[id(record)]
        grouped[group_key(shared)].append((record, shared))
    groups = []
    for members in grouped.values():
        networks = [record for record, _ in members]
        shared = members[0][1]
        seeds = {(network.get("recipe") or {}).get("seed") for network in networks}
        if len(seeds) == len(networks):
            groups.append(SeedGroup(shared, networks))
        else:
            groups += [SeedGroup(shared | _identity(network), [network]) for network in networks]
    return groups


def check_one_group(records: Iterable[Record], key: str | None = None) -> None:
    """Raise NotAlikeError, naming the keys, if networks differ in more than their seed."""
    groups = seed_groups(records, key)
    if len(groups) < 2:
        return
    if set(differing(groups)) <= {FILE, DIGEST}:
        files = [str(group.conditions[FILE]) for group in groups]
        names = ", ".join(files[:SHOWN])
        raise NotAlikeError(
            f"{names} differ in more than their seed, by nothing in their recipes; give one of them"
        )
    raise NotAlikeError(f"networks differ in {differences(groups)}")


def check_errorbar(name: str | None) -> None:
    """Raise UsageError, with the known names, for an unknown kind of error bars; None is one."""
    if name is not None and name not in ERRORBARS:
        raise unknown("errorbar", name, ERRORBARS)


def average(values: Sequence[float], errorbar: str | None = None) -> Average:
    """Return the mean of a group's values, with its bar; `errorbar` is a name of ERRORBARS.

    None means the standard deviation of three values or more, and no bar of fewer. Standard
    deviations have the divisor n − 1; one value has no bar. Raise UsageError for an unknown name.
    """
    check_errorbar(errorbar)
    mean, n = statistics.fmean(values), len(values)
    values = tuple(values)
    if errorbar == "minmax" and n > 1:
        return Average(mean, values, min(values), max(values))
    if errorbar in ("none", "minmax") or n < (FEWEST_FOR_SD if errorbar is None else 2):
        return Average(mean, values)
    half = statistics.stdev(values)
    if errorbar in ("se", "ci95"):
        half /= math.sqrt(n)
    if errorbar == "ci95":
        from scipy.special import stdtrit

        half *= float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return Average(mean, values, mean - half, mean + half, half)


def without(group: SeedGroup, keys: Iterable[str]) -> SeedGroup:
    """Return a group whose conditions lack some keys."""
    kept = {key: value for key, value in group.conditions.items() if key not in keys}
    return SeedGroup(kept, group.networks)


def differing(groups: Sequence[SeedGroup]) -> list[str]:
    """Return the keys in which groups differ, in the order of the recipe; of two files the name."""
    keys = dict.fromkeys(key for group in groups for key in group.conditions)
    differ = [
        key for key in keys if len({group_key(group.conditions.get(key)) for group in groups}) > 1
    ]
    return [key for key in differ if key != DIGEST or FILE not in differ]


def shown_value(group: SeedGroup, key: str) -> object:
    """Return the value of a group under one of its conditions, as its recipe means it."""
    if key.startswith("recipe."):
        return lookup(group.networks[0], key)
    return group.conditions.get(key)


def differences(groups: Sequence[SeedGroup]) -> str:
    """Return the keys in which groups differ and their values, in one line of an error."""
    parts = []
    for key in differing(groups):
        values = {group_key(v): v for v in (shown_value(group, key) for group in groups)}
        if len(values) == 1:  # data of one name, told apart by their fingerprints
            digests = [str(group.conditions.get(key))[:8] for group in groups]
            values = dict(zip(digests, digests, strict=True))
        texts = _ordered(values.values())
        more = f" and {len(texts) - SHOWN} more" * (len(texts) > SHOWN)
        parts.append(f"{key} ({', '.join(texts[:SHOWN])}{more})")
    return ", ".join(parts)


def check_measured_alike(records: Iterable[Record], key: str) -> None:
    """Raise NotAlikeError, naming the setting, if a measure was computed with several settings."""
    every = (settings_of(record, key) for record in records)
    made = list({repr(settings): settings for settings in every}.values())  # mostly one
    for name in dict.fromkeys(name for settings in made for name in settings):
        values = {group_key(settings.get(name)): settings.get(name) for settings in made}
        if len(values) > 1:
            texts = ", ".join(_ordered(values.values()))
            raise NotAlikeError(f"{key} has several values of {name}: {texts}")


def _ordered(values: Iterable[object]) -> list[str]:
    """Return values as texts: numbers by size, then words, short ones first."""
    ordered = sorted(values, key=lambda v: (0, v, "") if is_number(v) else (1, len(str(v)), str(v)))
    return list(map(str, ordered))


def group_key(values: object) -> str:
    """Return a JSON value as one string, to compare and group by.

    1 and 1.0 are the same number, and so are numbers that agree in nine digits.
    """
    return json.dumps(_plain(values), sort_keys=True)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return float(f"{value:.9g}") if is_number(value) else value


def _identity(network: Record) -> Json:
    checkpoint = network["checkpoint"]
    return {FILE: checkpoint.get("file"), DIGEST: checkpoint["sha256"]}
