"""Name and colour networks in one panel by the keys in which their recipes differ.

True labels are blue and random ones vermilion, in tints if several networks have the same labels.
If all networks have the same labels, their colours are those of sizes in order. Many networks have
different dashes too.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from gentool.common.json import is_number
from gentool.figures import number_formats, style
from gentool.figures.selection import count
from gentool.records.measure_file import Record
from gentool.records.recipe import LAYERS, Role, describe_source, fields_with, initial_weights

MOST_SHADES, MOST_TINTS = 5, 3  # of a palette, and of one colour, that are told apart
ENDS = {"true": -math.inf, "random": math.inf}  # of the order of labels
_NAMES: dict[str, Callable[[object], str]] = {
    "labels": lambda value: f"{value:g} random labels" if is_number(value) else f"{value} labels",
    "subset": lambda value: f"{number_formats.size(value)} images",
    "confusion": lambda value: f"{number_formats.size(value)} confusion" if value else "",
    "dropout": lambda value: f"dropout {value:g}" if value else "no dropout",
    "hidden": lambda value: f"{value} units",
    "depth": lambda value: f"{value} hidden layers",
    "model": lambda value: _model(str(value)),
    "data": lambda value: describe_source(str(value)),
}


@dataclass(frozen=True)
class LegendEntry:
    """Hold a network with its name and colour in the legend."""

    record: Record
    name: str
    colour: str
    dash: str = "-"


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
    looks = _looks(ordered)
    return [
        LegendEntry(record, name, *look)
        for record, name, look in zip(ordered, _distinct(names, ordered), looks, strict=True)
    ]


def _distinct(names: list[str], records: list[Record]) -> list[str]:
    """Return the names; those of several networks, and empty ones, with the name of their file."""
    files = [str(record["checkpoint"].get("file")) for record in records]
    digests = [str(record["checkpoint"].get("sha256"))[:6] for record in records]
    files = [
        file if files.count(file) == 1 else f"{file}, {digest}"
        for file, digest in zip(files, digests, strict=True)
    ]
    return [
        name if name and names.count(name) == 1 else f"{file} ({name})" if name else file
        for name, file in zip(names, files, strict=True)
    ]


def summary(records: list[Record]) -> str:
    """Return one line for the caption: the data sets, the models and the number of networks."""
    recipes = [_recipe(record) for record in records]
    data = {describe_source(recipe["data"]) for recipe in recipes if recipe.get("data")}
    models = {_model(recipe["model"]) for recipe in recipes if recipe.get("model")}
    return ", ".join([*sorted(data), *sorted(models), count(len(records), "network")])


def _model(name: str) -> str:
    return "custom network" if name == LAYERS else name.upper()


def _recipe(record: Record) -> dict:
    recipe = record.get("recipe") or {}
    return recipe | {"init": initial_weights(recipe)} if "init" in recipe else recipe


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


def _looks(ordered: list[Record]) -> list[tuple[str, str]]:
    """Return colour and dash of each network of a list in which equal labels are neighbours.

    Where many have nearly the same colour, the dashes of neighbours differ.
    """
    groups: dict[object, int] = defaultdict(int)
    for record in ordered:
        groups[_recipe(record).get("labels")] += 1
    if len(groups) == 1 and len(ordered) > 1:
        return _dashed(style.sequence(len(ordered)), MOST_SHADES)
    found: list[tuple[str, str]] = []
    for (colour, _), size in zip(style.looks(list(map(str, groups))), groups.values(), strict=True):
        found += _dashed(style.tints(colour, size), MOST_TINTS)
    return found


def _dashed(colours: list[str], most: int) -> list[tuple[str, str]]:
    dashes = style.DASHES if len(colours) > most else ("-",)
    return [(colour, dashes[i % len(dashes)]) for i, colour in enumerate(colours)]


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
