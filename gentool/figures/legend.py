"""Networks of any kind in one panel, told apart by what differs in their recipes.

True labels are blue and random ones vermilion; of those with the same labels, the later are darker.
Where all have the same labels, the colours are those of sizes in order.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from gentool.common.json import is_number
from gentool.figures import number_formats, style
from gentool.figures.selection import count
from gentool.records.measure_file import Record
from gentool.records.recipe import Role, describe_source, fields_with

ENDS = {"true": -math.inf, "random": math.inf}  # of the order of labels
_NAMES: dict[str, Callable[[object], str]] = {
    "labels": lambda value: f"{value:g} random labels" if is_number(value) else f"{value} labels",
    "subset": lambda value: f"{number_formats.size(value)} images",
    "confusion": lambda value: f"{number_formats.size(value)} confusion" if value else "",
    "hidden": lambda value: f"{value} units",
    "depth": lambda value: f"{value} hidden layers",
    "model": lambda value: str(value).upper(),
    "data": lambda value: describe_source(str(value)),
}


@dataclass(frozen=True)
class LegendEntry:
    """A network with its name and colour in the legend."""

    record: Record
    name: str
    colour: str


def legend_entries(records: list[Record]) -> list[LegendEntry]:
    """The networks in order: by labels, then by whatever else differs."""
    recipes = [_recipe(record) for record in records]
    unnamed = fields_with(Role.UNNAMED)
    keys = dict.fromkeys(key for recipe in recipes for key in recipe if key not in unnamed)
    differing = [key for key in keys if len({repr(recipe.get(key)) for recipe in recipes}) > 1]
    differing.sort(key=lambda key: (key != "labels", key == "seed"))
    shown = differing or ["labels"]

    def order(record: Record) -> list[tuple]:
        return [label_order(_recipe(record).get(key)) for key in shown]

    ordered = sorted(records, key=order)
    names = [_name(_recipe(record), shown) for record in ordered]
    files = [str(record["checkpoint"].get("file")) for record in ordered]
    names = [
        name if name and names.count(name) == 1 else f"{name} {file}".strip()
        for name, file in zip(names, files, strict=True)
    ]
    return [LegendEntry(*told) for told in zip(ordered, names, _colours(ordered), strict=True)]


def summary(records: list[Record]) -> str:
    """What was drawn, in one line: the data sets, the models and the number of networks."""
    recipes = [_recipe(record) for record in records]
    data = {describe_source(recipe["data"]) for recipe in recipes if recipe.get("data")}
    models = {recipe["model"].upper() for recipe in recipes if recipe.get("model")}
    return ", ".join([*sorted(data), *sorted(models), count(len(records), "network")])


def _recipe(record: Record) -> dict:
    return record.get("recipe") or {}


def _name(recipe: dict, keys: list[str]) -> str:
    """The values that a recipe has under some keys, in words."""
    words = []
    for key in keys:
        value = recipe.get(key)
        if key in _NAMES and value is not None:
            words += filter(None, [_NAMES[key](value)])
        elif isinstance(value, bool):
            words.append(("" if value else "no ") + key.replace("_", " "))
        elif value is not None:
            words.append(f"{key.replace('_', ' ')} {value}")
    return ", ".join(words)


def _colours(ordered: list[Record]) -> list[str]:
    """A colour for each network of a list in which equal labels are neighbours."""
    groups: dict[object, int] = defaultdict(int)
    for record in ordered:
        groups[_recipe(record).get("labels")] += 1
    if len(groups) == 1 and len(ordered) > 1:
        return style.sequence(len(ordered))
    looks = style.looks(list(map(str, groups)))
    found = []
    for (colour, _), size in zip(looks, groups.values(), strict=True):
        found += style.tints(colour, size)
    return found


def label_order(label: object) -> tuple[int, float, str]:
    """Return a sort key: true labels, noisy ones, random ones; numbers by size, words by letter."""
    if isinstance(label, (int, float)):  # false before true
        return (0, float(label), "")
    text = str(label)
    if text in ENDS:
        return (0, ENDS[text], text)
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)
