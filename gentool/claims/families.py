"""Networks that differ in nothing but what a claim is about, and their seed."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gentool.common.json import Json
from gentool.records.measure_file import Record
from gentool.records.recipe import describe_source

# What follows from the rest of a recipe and the draw, or tells where a network came from.
DERIVED = (
    *("input_shape", "classes", "digest", "fingerprint", "mean", "std"),
    *("initial_digest", "origin"),
)


@dataclass(frozen=True)
class Study:
    """A kind of experiment: what varies in it, which families are one, and what it takes."""

    varies: tuple[str, ...]
    is_about: Callable[[list[Record]], bool]
    needs: str


@dataclass(frozen=True)
class Family:
    """Networks alike in all that a study does not vary, named by what sets them apart."""

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
    """What determines a network but for its seed, less the keys that are left out."""
    recipe = record["recipe"]
    found = {key: value for key, value in recipe.items() if key not in DERIVED}
    found["data"] = describe_source(recipe.get("data") or "unknown")
    if recipe.get("fingerprint"):  # two folders of one name are not one data set
        found["data"] += f" {recipe['fingerprint'][:8]}"
    left_out = ("seed", *without)
    return {
        key: value
        for key, value in found.items()
        if value is not None and key not in left_out  # None is as good as an older file's silence
    }


def families(networks: list[Record], study: Study) -> list[Family]:
    """The families that a study is about; the networks all have a recipe."""
    grouped = defaultdict(list)
    for network in networks:
        if None in (network["recipe"].get(key) for key in study.varies):
            continue  # a VGG has no hidden units
        grouped[frozen(settings(network, study.varies))].append(network)
    found = [group for group in grouped.values() if study.is_about(group)]
    shared = [settings(group[0], study.varies) for group in found]
    return [Family(*parts) for parts in zip(_names(shared), shared, found, strict=True)]


def frozen(values: Json | list[object]) -> str:
    """The values as one string, to compare and group by."""
    return json.dumps(values, sort_keys=True)


def _names(found: list[Json]) -> list[str]:
    """The settings that tell the families apart, as few as it takes; empty where there is one."""
    chosen: list[str] = []
    for key in dict.fromkeys(key for one in found for key in one):
        if _told_apart(found, [*chosen, key]) > _told_apart(found, chosen):
            chosen.append(key)
    return [", ".join(_words(key, one.get(key)) for key in chosen) for one in found]


def _told_apart(found: list[Json], keys: list[str]) -> int:
    return len({frozen([one.get(key) for key in keys]) for one in found})


def _words(key: str, value: object) -> str:
    text = str(value)[:24]
    return text if key in ("model", "data") else f"{key} {text}"


def _values(networks: list[Record], key: str) -> set[object]:
    return {network["recipe"].get(key) for network in networks}
