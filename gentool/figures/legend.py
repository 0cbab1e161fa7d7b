"""Name and colour networks in one panel by the keys in which their recipes differ.

True labels are blue and random ones vermilion, in tints if several networks have the same labels.
If all networks have the same labels, their colours are those of sizes in order.
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
    "dropout": lambda value: f"dropout {value:g}" if value else "no dropout",
    "hidden": lambda value: f"{value} units",
    "depth": lambda value: f"{value} hidden layers",
    "model": lambda value: str(value).upper(),
    "data": lambda value: describe_source(str(value)),
}


@dataclass(frozen=True)
class LegendEntry:
    """Hold a network with its name and colour in the legend."""

    record: Record
    name: str
    colour: str


def legend_entries(records: list[Record]) -> list[LegendEntry]:
    """Return the networks with names and colours, sorted by labels, then by other keys."""
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
    return [LegendEntry(*parts) for parts in zip(ordered, names, _colours(ordered), strict=True)]


def summary(records: list[Record]) -> str:
    """Return one line for the caption: the data sets, the models and the number of networks."""
    recipes = [_recipe(record) for record in records]
    data = {describe_source(recipe["data"]) for recipe in recipes if recipe.get("data")}
    models = {recipe["model"].upper() for recipe in recipes if recipe.get("model")}
    return ", ".join([*sorted(data), *sorted(models), count(len(records), "network")])


def _recipe(record: Record) -> dict:
    return record.get("recipe") or {}


def _name(recipe: dict, keys: list[str]) -> str:
    """Return the values that a recipe has under some keys, in words."""
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
    """Return a colour for each network of a list in which equal labels are neighbours."""
    groups: dict[object, int] = defaultdict(int)
    for record in ordered:
        groups[_recipe(record).get("labels")] += 1
    if len(groups) == 1 and len(ordered) > 1:
        return style.sequence(len(ordered))
    looks = style.looks(list(map(str, groups)))
    colours = []
    for (colour, _), size in zip(looks, groups.values(), strict=True):
        colours += style.tints(colour, size)
    return colours


def label_order(label: object) -> tuple[int, float, str]:
    """Return a sort key: true, noisy, then random labels; numbers by size; words by alphabet."""
    if isinstance(label, (int, float)):  # false before true
        return (0, float(label), "")
    text = str(label)
    if text in ENDS:
        return (0, ENDS[text], text)
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)
