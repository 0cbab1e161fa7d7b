"""Divide the rows of a table into groups that differ in their seed alone, and average them."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from gentool.common.json import Json, is_number
from gentool.records.averaging import (
    CUT,
    SeedGroup,
    average,
    differing,
    seed_groups,
    shown_value,
)
from gentool.records.cells import Cell, Large, NoValue, cell, has_value, in_words
from gentool.records.measure_file import Record
from gentool.records.settings import is_cut, settings_of

COUNT = "n"
"""The column with the number of networks of a group."""
LAYER = "layer.name"


@dataclass(frozen=True)
class Group:
    """Hold the networks of a row, alike in all but their seed, and what tells the row apart."""

    seeds: SeedGroup

    def cell(self, key: str) -> Cell:
        """Return the average under a key; the value itself if it is the same in all or no number.

        Texts that differ are listed. Numbers beyond the floats have no average.
        """
        if key == COUNT:
            return len(self.seeds.networks)
        if key in self.seeds.conditions and not key.startswith(("recipe.", "checkpoint.")):
            return shown_value(self.seeds, key)
        cells = [cell(network, key) for network in self.seeds.networks]
        values = [value for value in cells if has_value(value)]
        if not values:
            return cells[0]
        if key.startswith("recipe.") and len({str(value) for value in values}) == 1:
            return values[0]
        if all(map(is_number, values)):
            return average(values, "sd")
        if any(isinstance(value, Large) for value in values):
            return values[0] if len(values) == 1 else NoValue.NULL
        return ", ".join(dict.fromkeys(in_words(value, 6) for value in values))


def grouped(
    records: list[Record], keys: Iterable[str], group_by: Iterable[str]
) -> tuple[list[Group], list[str]]:
    """Return groups for rows with the averages of `keys`, and the keys that tell the rows apart.

    These are `group_by` and whatever else differs between two groups: networks that are not alike,
    or that were measured with different settings, are never averaged.
    """
    keys, group_by = list(keys), list(group_by)
    groups = []
    for rows in _divided(records, lambda record: str(cell(record, LAYER))):
        for group in seed_groups(rows):
            groups += _split(group, keys, group_by)
    extra = [key for key in differing(groups) if key not in group_by]
    if LAYER not in group_by and any("layer" in record for record in records):
        extra.append(LAYER)
    return [Group(group) for group in groups], [*group_by, *extra]


def _split(group: SeedGroup, keys: list[str], group_by: list[str]) -> list[SeedGroup]:
    """Split a group by the values that a user names, and by settings in which values differ."""
    by = [
        key for key in keys if len({_made(network, key) for network in group.networks} - {""}) > 1
    ]
    parts = _divided(
        group.networks,
        lambda network: json.dumps(
            [
                *(in_words(cell(network, key), 17) for key in group_by),
                *(_made(network, key) for key in by),
            ]
        ),
    )
    return [
        SeedGroup(
            group.conditions | {k: v for key in by for k, v in _settings(part, key).items()}, part
        )
        for part in parts
    ]


def _made(network: Record, key: str) -> str:
    """Return how the value under a key was made, as text; empty where there is no value."""
    if not has_value(cell(network, key)):
        return ""
    return json.dumps([settings_of(network, key), is_cut(network, key)], sort_keys=True)


def _settings(part: list[Record], key: str) -> Json:
    """Return the settings behind a value, from a network that has one."""
    network = next((n for n in part if _made(n, key)), part[0])
    return settings_of(network, key) | ({CUT: True} if is_cut(network, key) else {})


def _divided(records: Iterable[Record], by) -> list[list[Record]]:  # noqa: ANN001
    """Divide records by a function of them, in the order of the first of each."""
    parts: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        parts[by(record)].append(record)
    return list(parts.values())
