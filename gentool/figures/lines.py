"""Divide the networks of a chart into lines, and name each by the keys in which they differ.

A line joins networks that are alike in everything but the key on the x axis; each of its points is
a mean over seeds alone. Where x is a measure or an outcome each network is a point of its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gentool.common.json import Json, is_number
from gentool.figures.legend import label_order
from gentool.records.averaging import (
    CUT,
    DIGEST,
    FILE,
    LIMIT,
    SeedGroup,
    differences,
    differing,
    epoch_limits,
    group_key,
    is_known,
    seed_groups,
    shown_value,
    without,
)
from gentool.records.measure_file import Record, lookup
from gentool.records.presets import PRESET_OPTIONS, preset_of
from gentool.records.recipe import Role, describe_source, fields_with
from gentool.records.settings import in_words, is_cut, settings_of

WIDTH = "recipe.width"
OTHERS = "network"  # the condition of networks of other programs that share a line
MOST_NAMED = 3  # keys in a label; of more, the fewest that tell the lines apart
_SHAPE = ("width", "depth", "hidden", "last_pool", "layers")  # None in a model that has none
_FOLLOWING = frozenset(
    f"recipe.{name}" for name in fields_with(Role.DERIVED, Role.UNNAMED) if name != "data"
)


@dataclass(frozen=True)
class Line:
    """Hold the groups of one line by the key of their panel; `look` is the name of its look."""

    label: str
    look: str
    groups: dict[str, list[SeedGroup]]


def is_averaged(x: str) -> bool:
    """Return whether networks at one x may be averaged: where x is a field of the recipe."""
    part, _, name = x.partition(".")
    return part == "recipe" and name not in fields_with(Role.REPEATED)


def divide(
    records: Sequence[Record], x: str, ys: Iterable[str], bys: Sequence[str]
) -> tuple[list[Line], list[str]]:
    """Return the lines of a chart in the order of their labels, and notes on how they differ.

    `records` have an x. Every record with a value under a key of `ys` is in one group of it.
    """
    limits = {} if LIMIT in (x, *bys) else epoch_limits(records)
    groups = {y: _groups(_having(records, y), x, y, bys, limits) for y in ys}
    groups, following = _with_presets(groups, x)
    everything = [group for some in groups.values() for group in some]
    varied = _varied(everything, x)
    distinct = {y: [without(g, (*varied, *bys)) for g in some] for y, some in groups.items()}
    keys = list(dict.fromkeys(key for some in distinct.values() for key in _keys(some)))
    by_line: dict[str, dict[str, list[SeedGroup]]] = defaultdict(lambda: defaultdict(list))
    firsts: dict[str, SeedGroup] = {}
    for y, some in groups.items():
        for group in some:
            line = group_key([group.conditions.get(key) for key in (*bys, *keys)])
            firsts.setdefault(line, group)
            by_line[line][y].append(group)
    names = _names(list(firsts.values()), bys, keys)
    lines = [
        (order, Line(label, look, dict(by_line[line])))
        for line, (order, label, look) in zip(firsts, names, strict=True)
    ]
    ordered = [line for _, line in sorted(lines, key=lambda pair: pair[0])]
    return _with_looks(ordered), [*following, *_notes(distinct.values(), keys)]


def _with_presets(
    groups: dict[str, list[SeedGroup]], x: str
) -> tuple[dict[str, list[SeedGroup]], list[str]]:
    """Return groups in which options that a preset derives from x are no difference, and notes.

    A preset sets the learning rate of a VGG by its width: where x is the width, networks that all
    have the rate of one preset share a line.
    """
    notes: list[str] = []
    for option in PRESET_OPTIONS if x == WIDTH else ():
        key = f"recipe.{option}"
        kinds: dict[str, list[SeedGroup]] = defaultdict(list)
        for group in (group for some in groups.values() for group in some):
            kinds[group_key(without(group, (x, key)).conditions)].append(group)
        following: dict[int, SeedGroup] = {}
        for kind in kinds.values():
            only = [SeedGroup({key: g.conditions.get(key)}, g.networks) for g in kind]
            recipes = [group.networks[0].get("recipe") or {} for group in kind]
            if not differing(only) or (preset := preset_of(recipes, option)) is None:
                continue
            notes.append(f"{differences(only)} follows from {x}")
            meant = {key: f"of --recipe {preset}"}
            following |= {id(g): replace(g, conditions=g.conditions | meant) for g in kind}
        groups = {y: [following.get(id(g), g) for g in some] for y, some in groups.items()}
    return groups, list(dict.fromkeys(notes))


def _keys(groups: list[SeedGroup]) -> list[str]:
    """Return the keys in which lines differ; fields of a recipe only among those that have them.

    Networks of other programs that share a line have none.
    """
    of_recipes = differing([group for group in groups if OTHERS not in group.conditions])
    others = [key for key in differing(groups) if not key.startswith("recipe.")]
    return list(dict.fromkeys([*of_recipes, *others]))


def _having(records: Iterable[Record], y: str) -> list[Record]:
    return [r for r in records if is_number(lookup(r, y)) or r["log10"].get(y) is not None]


def _groups(
    records: list[Record], x: str, y: str, bys: Sequence[str], limits: Mapping[int, float]
) -> list[SeedGroup]:
    """Return the groups of one panel; values of `bys` that are no field of a recipe divide too."""
    if not is_averaged(x):
        return [SeedGroup(_alone(record, y) | _by(record, bys), [record]) for record in records]
    parts: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        parts[group_key(_by(record, bys))].append(record)
    groups = [
        replace(group, conditions=_by(group.networks[0], bys) | group.conditions)
        for part in parts.values()
        for group in seed_groups(part, y, limits)
    ]
    return _with_one_line_of_others(groups, x, y, bys)


def _with_one_line_of_others(
    groups: list[SeedGroup], x: str, y: str, bys: Sequence[str]
) -> list[SeedGroup]:
    """Return groups in which networks of other programs are points of one line, without a line.

    Only where no two of them are at one x: else each has a line of its own, named by its file.
    """
    others = [group for group in groups if is_of_others(group)]
    known = {
        id(g): {x: g.conditions.get(x), OTHERS: "of another program"}
        | _by(g.networks[0], bys)
        | _alone(g.networks[0], y)
        for g in others
    }
    places = {group_key([known[id(g)], lookup(g.networks[0], x)]) for g in others}
    if len(places) < len(others):
        return groups
    return [replace(g, conditions=known.get(id(g), g.conditions)) for g in groups]


def is_of_others(group: SeedGroup) -> bool:
    """Return whether it is not known how the network of a group was trained."""
    return not is_known(group.networks[0].get("recipe") or {})


def _alone(record: Record, y: str) -> Json:
    """Return how the value of a network that is a point of its own was measured."""
    return settings_of(record, y) | ({CUT: True} if is_cut(record, y) else {})


def _by(record: Record, bys: Sequence[str]) -> Json:
    return {by: lookup(record, by) for by in bys}


def _varied(groups: list[SeedGroup], x: str) -> tuple[str, ...]:
    """Return the conditions that are no difference between lines: x, and a search cut short.

    Two data sets of one name, told apart by their fingerprints, are at one x but differ.
    """
    places = {group_key([shown_value(g, x), g.conditions.get(x)]) for g in groups}
    named = {group_key(shown_value(g, x)) for g in groups}
    return (CUT, x) if len(places) == len(named) else (CUT,)


def _names(
    groups: list[SeedGroup], bys: Sequence[str], keys: list[str]
) -> list[tuple[list, str, str]]:
    """Return the sort key, the label and the name of the look of each line."""
    named = [key for key in keys if key not in _FOLLOWING and key not in (FILE, DIGEST)]
    if len(named) > MOST_NAMED:
        named = _fewest(groups, bys, named)
    labels = [_label(group, bys, named, keys) for group in groups]
    for others in (keys, (*keys, FILE), (*keys, FILE, DIGEST)):
        if len(set(labels)) < len(labels):  # they differ in a key that labels leave out
            more = [key for key in others if key not in named]
            labels = [
                label if labels.count(label) == 1 else _joined([label, *_parts(group, more)])
                for label, group in zip(labels, groups, strict=True)
            ]
    if OTHERS in keys:
        labels = [label or "networks of gentool" for label in labels]
    shown = (*bys, *named)
    orders = [[_order(shown_value(group, key)) for key in shown] for group in groups]
    firsts = [str(shown_value(group, bys[0])) if bys else "" for group in groups]
    return [
        ([*order, label_order(label)], label, first)
        for order, label, first in zip(orders, labels, firsts, strict=True)
    ]


def _with_looks(lines: list[Line]) -> list[Line]:
    """Return lines with looks: the first of true labels has theirs, further ones their own."""
    seen: set[str] = set()
    found = []
    for line in lines:
        found.append(replace(line, look=line.label if line.look in seen else line.look))
        seen.add(line.look)
    return found


def _fewest(groups: list[SeedGroup], bys: Sequence[str], keys: list[str]) -> list[str]:
    """Return the first keys that tell apart all that the keys together tell apart."""

    def told_apart(chosen: Sequence[str]) -> int:
        return len({group_key([g.conditions.get(key) for key in (*bys, *chosen)]) for g in groups})

    chosen: list[str] = []
    for key in keys:
        if told_apart([*chosen, key]) > told_apart(chosen):
            chosen.append(key)
    return chosen


def _label(group: SeedGroup, bys: Sequence[str], named: list[str], keys: list[str]) -> str:
    """Return the values of `bys`, then each key that differs with its value."""
    parts = [str(_plain(shown_value(group, by))) for by in bys]
    if FILE in keys and FILE in group.conditions:
        chosen = [] if is_of_others(group) else named
        return _joined([*parts, *_parts(group, chosen), str(group.conditions[FILE])])
    return _joined([*parts, *_parts(group, named)])


def _parts(group: SeedGroup, keys: Iterable[str]) -> list[str]:
    return [_part(key, shown_value(group, key), group) for key in keys]


def _part(key: str, value: object, group: SeedGroup) -> str:
    """Return a key with its value: `lr 0.1`, `batch norm`, `no patience`, `ε 0.05`."""
    if key == FILE:
        return str(group.networks[0]["checkpoint"].get("file"))
    if key == DIGEST:
        return group.networks[0]["checkpoint"]["sha256"][:6]
    if not key.startswith("recipe."):
        return "" if value is None else in_words(key, value)
    name = key.removeprefix("recipe.")
    if value is None and name in _SHAPE:
        return ""
    if name == "data":
        known = (group.networks[0].get("recipe") or {}).get("fingerprint") or ""
        return f"data {describe_source(str(value))} {known[:6]}".strip()
    words = name.replace("_", " ")
    if value is None or isinstance(value, bool):
        return words if value else f"no {words}"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{words} {text if len(text) <= 24 else text[:24] + '…'}"


def _order(value: object) -> tuple[int, float, str]:
    """Return the sort key of a value; a setting that is off comes before its values."""
    return (-1, 0.0, "") if value is None else label_order(value)


def _plain(value: object) -> object:
    """Return a number without a fraction as a whole one: its label is then the same."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(filter(None, parts))


def _notes(panels: Iterable[list[SeedGroup]], keys: list[str]) -> list[str]:
    """Return a note that names the keys in which lines differ without having been asked for."""
    named = [key for key in keys if key not in (FILE, DIGEST, OTHERS)]
    named = [key for key in named if key not in _FOLLOWING] or named
    notes = []
    for some in panels:
        of_gentool = [group for group in some if not is_of_others(group)]
        only = [SeedGroup({k: g.conditions.get(k) for k in named}, g.networks) for g in of_gentool]
        if words := differences(only):
            notes.append(f"networks that differ in {words} have lines of their own")
    if FILE in keys or DIGEST in keys:
        notes.append(
            "networks of which the training is not known, or of one recipe and one seed, are never "
            "averaged: each has a line of its own"
        )
    return list(dict.fromkeys(notes))
