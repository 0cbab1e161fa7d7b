"""Group networks into families: recipes that differ only in what a claim varies and the seed."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gentool.common.json import Json
from gentool.records.averaging import DIGEST, FILE, LIMIT, conditions, epoch_limits, group_key
from gentool.records.measure_file import Record
from gentool.records.recipe import Role, describe_source, fields_with, initial_weights


@dataclass(frozen=True)
class Study:
    """Describe a kind of experiment: which settings vary, and which families belong to it."""

    varies: tuple[str, ...]
    is_about: Callable[[list[Record]], bool]
    needs: str  # the networks to train, in words, where no family belongs to it


@dataclass(frozen=True)
class Family:
    """Hold networks that differ only in what a study varies, and a name for the family."""

    name: str
    settings: Json
    networks: list[Record]


LABELS = Study(
    ("labels", "subset"),
    lambda networks: {"true", "random"} <= _values(networks, "labels"),
    "networks with true and with random labels (--labels), alike otherwise",
)
CONFUSION = Study(
    ("confusion",),
    lambda networks: any(confusion or 0 for confusion in _values(networks, "confusion")),
    "networks with confusion sets of several sizes (--confusion), alike otherwise",
)
HIDDEN = Study(
    ("hidden",),
    lambda networks: (
        _values(networks, "labels") == {"true"} and len(_values(networks, "hidden") - {None}) > 1
    ),
    "MLPs with several numbers of hidden units (--hidden) and true labels, alike otherwise",
)


def settings(record: Record, without: Iterable[str] = ()) -> Json:
    """Return the settings of a recipe that determine a network, without its seed and some keys."""
    recipe = record["recipe"]
    derived = fields_with(Role.DERIVED)
    described = {key: value for key, value in recipe.items() if key not in derived}
    described["data"] = describe_source(recipe.get("data") or "unknown")
    if recipe.get("fingerprint"):  # two folders of one name may hold different data
        described["data"] += f" {recipe['fingerprint'][:8]}"
    described["init"] = initial_weights(recipe)
    left_out = ("seed", *without)
    return {
        key: value
        for key, value in described.items()
        if value is not None and key not in left_out  # in an older file the key is absent
    }


def families(networks: list[Record], study: Study) -> list[Family]:
    """Return the families that a study is about; every network must have a recipe.

    Networks of other programs are compared too, though never averaged with one another.
    """
    grouped = defaultdict(list)
    varied = (FILE, DIGEST, *(f"recipe.{key}" for key in study.varies))
    limits = epoch_limits(networks)
    for network in networks:
        if None in (network["recipe"].get(key) for key in study.varies):
            continue  # a VGG has no hidden units
        shared = {k: value for k, value in conditions(network).items() if k not in varied}
        if id(network) in limits:
            shared[LIMIT] = limits[id(network)]
        grouped[group_key(shared)].append(network)
    groups = [group for group in grouped.values() if study.is_about(group)]
    shared = [settings(group[0], study.varies) for group in groups]
    return [Family(*parts) for parts in zip(_names(shared), shared, groups, strict=True)]


def _names(families: list[Json]) -> list[str]:
    """Name each family by the fewest settings that distinguish all; a single family by nothing."""
    chosen: list[str] = []
    for key in dict.fromkeys(key for shared in families for key in shared):
        if _distinct(families, [*chosen, key]) > _distinct(families, chosen):
            chosen.append(key)
    return [", ".join(_label(key, shared.get(key)) for key in chosen) for shared in families]


def _distinct(families: list[Json], keys: list[str]) -> int:
    """Count the families that differ in these keys."""
    return len({group_key([shared.get(key) for key in keys]) for shared in families})


def _label(key: str, value: object) -> str:
    text = str(value)[:24]
    return text if key in ("model", "data") else f"{key} {text}"


def _values(networks: list[Record], key: str) -> set[object]:
    return {network["recipe"].get(key) for network in networks}
