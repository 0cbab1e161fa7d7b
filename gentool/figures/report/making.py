"""Prepare how the numbers of a report were made: settings, commands, versions, definitions."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gentool.common.json import Json, is_number
from gentool.common.text import printable
from gentool.records import settings
from gentool.records.cells import cell, has_value, in_words
from gentool.records.key_words import explanation
from gentool.records.keys import has_some, varying
from gentool.records.measure_file import DERIVED, Record, known_keys, lookup

DIGITS = 6


@dataclass(frozen=True)
class Run:
    """Hold a command with its options, and the program and machine that it ran on."""

    command: str
    options: list[tuple[str, str]]
    machine: list[tuple[str, str]]
    records: int
    seconds: str


@dataclass(frozen=True)
class Definition:
    """Hold the definition of a measure: what it is, its formula, and where it comes from."""

    name: str
    summary: str
    formula: str
    source: str


@dataclass(frozen=True)
class Making:
    """Hold how numbers were made: recipe shared by all, settings of measures, runs, definitions.

    `settings` holds the measures that have each settings, with the number of networks.
    """

    recipe: list[tuple[str, str]]
    differing: list[str]
    settings: list[tuple[str, str, int]]
    runs: list[Run]
    definitions: list[Definition]


def making(records: Sequence[Record], networks: list[Record], measures: Sequence[str]) -> Making:
    """Return how the numbers were made: `records` as they are in files, `networks` merged."""
    return Making(
        _shared_recipe(networks),
        [key.removeprefix("recipe.") for key in varying(networks)],
        _settings(networks, measures),
        _runs(records),
        _definitions(networks),
    )


def _shared_recipe(networks: list[Record]) -> list[tuple[str, str]]:
    """Return the settings of training that are the same in all networks."""
    keys = [key for key in known_keys(networks) if key.startswith("recipe.")]
    values = {key: {json.dumps(lookup(n, key)) for n in networks} for key in keys}
    return [
        (key.removeprefix("recipe.").replace("_", " "), _text(lookup(networks[0], key)))
        for key in keys
        if len(values[key]) == 1 and lookup(networks[0], key) is not None
    ]


def _settings(networks: list[Record], measures: Sequence[str]) -> list[tuple[str, str, int]]:
    """Return measures, settings and number of networks, those measured alike in one line."""
    counts: dict[str, dict[str, int]] = {}
    for key in measures:
        of_key: dict[str, int] = defaultdict(int)
        for network in networks:
            if has_value(cell(network, key)):
                made = settings.settings_of(network, key)
                words = [settings.in_words(*pair) for pair in made.items()]
                words += ["cut short"] * settings.is_cut(network, key)
                of_key[", ".join(words) or "no setting changes it"] += 1
        counts[key] = of_key
    alike: dict[tuple[str, int], list[str]] = defaultdict(list)
    for key, of_key in counts.items():
        for words, count in of_key.items():
            alike[words, count].append(key)
    return [(", ".join(keys), words, count) for (words, count), keys in alike.items()]


def _runs(records: Iterable[Record]) -> list[Run]:
    """Return each command with the same options, versions and device once."""
    same: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        made = [record.get(part) for part in ("command", "gentool", "versions", "device")]
        same[json.dumps(made, sort_keys=True)].append(record)
    return [_run(of_run) for of_run in same.values()]


def _run(records: list[Record]) -> Run:
    first = records[0]
    command = dict(first["command"])
    name = str(command.pop("name", "unknown command"))
    versions = {"gentool": first["gentool"], **(first.get("versions") or {})}
    machine = versions | {"device": first.get("device")}
    seconds = [r["seconds"] for r in records if is_number(r.get("seconds"))]
    return Run(printable(f"gentool {name}"), _pairs(command), _pairs(machine), len(records),
        f"{sum(seconds):.4g}" if seconds else "")  # fmt: skip


def _definitions(networks: list[Record]) -> list[Definition]:
    """Return the definitions of all measures that some network has, from their docstrings."""
    from gentool.measures import MEASURES
    from gentool.sharpness.definitions import definitions

    known = {each.name: each for each in (*MEASURES, *definitions())}
    names = [
        key
        for key in known_keys(networks)
        if "." not in key and key not in DERIVED and has_some(networks, key)
    ]
    return [
        Definition(name, known[name].summary, known[name].formula, known[name].source)
        if name in known
        else Definition(name, explanation(name), "", "")
        for name in names
    ]


def _pairs(values: Json) -> list[tuple[str, str]]:
    """Return names and values in words, without those that are null."""
    return [
        (printable(name.replace("_", " ")), _text(value))
        for name, value in values.items()
        if value is not None
    ]


def _text(value: object) -> str:
    if isinstance(value, dict):
        return printable(", ".join(f"{name} {_text(each)}" for name, each in value.items()))
    return printable(in_words(value, DIGITS))
