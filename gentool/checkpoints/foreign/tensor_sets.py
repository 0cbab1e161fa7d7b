"""Find the sets of tensors in the content of a file, and choose the one to read.

A file may hold weights under any key, beside an optimizer, counters and metrics, as a state dict or
as a whole module, once or several times. What an optimizer keeps is no set of weights.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from gentool.checkpoints.foreign.inert_pickle import Inert
from gentool.checkpoints.foreign.module_tree import ModuleTree, module_tree, tensors_of_module
from gentool.checkpoints.foreign.pickled_tensors import PickledFile, StoredTensor
from gentool.common.errors import GentoolError, UsageError, unknown

MAIN = ("state_dict", "model_state_dict", "model", "net")
DEEPEST = 8
MOST_VISITED = 20_000
_VARIANT = re.compile(
    r"(^|[_.])(ema|swa|avg|averaged?|average_model|shadow|teacher|best|init|initial|old|prev|last)"
    r"([_.]|$)|ema$|^ema"
)
_WEIGHTS = ("weight", "weight_orig", "weight_v", "weight_mask", "original", "original1", "kernel")
_OPTIMIZER = {"state", "param_groups"}


@dataclass(frozen=True)
class TensorSet:
    """Hold the tensors at one key of a file, before their numbers are read.

    `key` is the dotted path to them, empty for the file itself. `aside` are the names of entries
    that are no tensors. `tree` is the tree of layers where a whole module was saved.
    """

    key: str
    tensors: dict[str, StoredTensor]
    aside: tuple[str, ...] = ()
    tree: ModuleTree | None = None

    @property
    def has_weights(self) -> bool:
        return any(
            name.rpartition(".")[2] in _WEIGHTS and (len(stored.shape) > 1 or stored.trouble)
            for name, stored in self.tensors.items()
        )


@dataclass(frozen=True)
class ForeignTensors:
    """Hold the tensors that were chosen in a file, and which other sets it has.

    `key` is None if the file is one state dict, without a key; `tree` is as in `TensorSet`.
    """

    tensors: dict[str, Tensor]
    key: str | None = None
    others: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    tree: ModuleTree | None = None

    @property
    def words(self) -> list[str]:
        """Return in words which set was read and what was left aside."""
        words = []
        if self.tree is not None:
            words.append(f"a whole {self.tree.type} was saved; nothing in it was run")
        if self.others:
            words.append(
                f"read from {self.key!r}; other sets of weights: {', '.join(self.others)} "
                "(choose with --key)"
            )
        elif self.key:
            words.append(f"read from {self.key!r}")
        if self.aside:
            words.append(f"left aside, as no tensors: {listed(self.aside)}")
        return words


def chosen_tensors(file: PickledFile, key: str | None) -> ForeignTensors:
    """Return the only set of weights in a file, its main one, or the one that `key` names.

    Raise UsageError if none is clearly the main one, GentoolError if there is no set.
    """
    sets = _without_copies(list(_sets(file)))
    if not sets:
        what = "one tensor without a name" if file.stored(file.root) else _described(file.root)
        raise GentoolError(f"it holds no tensors of a network, but {what}; nothing in it was run")
    if key is None:
        chosen, prefix = _main(sets), ""
    else:
        chosen, prefix = named_set(sets, key)
    tensors = {}
    for name, stored in chosen.tensors.items():
        if name.startswith(prefix):
            if stored.trouble:
                raise GentoolError(
                    f"tensor {name[:80]!r} {stored.trouble}; weights are dense and "
                    "float16, bfloat16, float32 or float64"
                )
            tensors[name.removeprefix(prefix)] = file.read(stored)
    others = tuple(other.key or "the file itself" for other in sets if other is not chosen)
    read_key = chosen.key if not prefix else key
    return ForeignTensors(
        tensors, read_key or None, others, chosen.aside, None if prefix else chosen.tree
    )


def with_key(tensors: dict[str, Tensor], key: str | None) -> ForeignTensors:
    """Return the tensors of one state dict whose names begin with a key, without it."""
    if key is None:
        return ForeignTensors(tensors)
    part = {
        name.removeprefix(f"{key}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{key}.")
    }
    if not part:
        raise unknown("key", key, sorted({name.partition(".")[0] for name in tensors}))
    return ForeignTensors(part, key)


def named_set(sets: list[TensorSet], key: str) -> tuple[TensorSet, str]:
    """Return the set at a key, and the prefix of names in it that the rest of the key asks for."""
    for candidate in sets:
        if candidate.key == key:
            return candidate, ""
    for candidate in sorted(sets, key=lambda item: -len(item.key)):
        if candidate.key and not key.startswith(f"{candidate.key}."):
            continue
        prefix = key[len(candidate.key) :].lstrip(".") + "."
        if any(name.startswith(prefix) for name in candidate.tensors):
            return candidate, prefix
    inside = [item for item in sets if any(name.startswith(f"{key}.") for name in item.tensors)]
    if len(inside) == 1:
        return inside[0], f"{key}."
    parts = {name.partition(".")[0] for candidate in sets for name in candidate.tensors}
    raise unknown("key", key, [item.key for item in sets if item.key] or sorted(parts))


def listed(names: tuple[str, ...] | list[str], most: int = 6) -> str:
    """Return names in one line, the first few if there are many."""
    words = ", ".join(name[:60] for name in names[:most])
    return words if len(names) <= most else f"{words} and {len(names) - most} more"


def _main(sets: list[TensorSet]) -> TensorSet:
    """Return the only set of weights, or the one with a usual name beside variants of it."""
    if len(sets) == 1:
        return sets[0]
    main = [item for item in sets if not item.key or item.key.rpartition(".")[2] in MAIN]
    variants = [item for item in sets if item.key and _VARIANT.search(item.key.lower())]
    main = [item for item in main if item not in variants]
    if len(main) == 1 and len(variants) == len(sets) - 1:
        return main[0]
    keys = [item.key or "the file itself" for item in sets]
    choices = [item.key for item in sets if item.key]
    raise UsageError(
        f"it holds several state dicts ({listed(keys)}); choose one with --key, as --key "
        f"{choices[0]}"
    )


def _without_copies(sets: list[TensorSet]) -> list[TensorSet]:
    """Return the sets of weights, one of those that share all numbers; if there is none, all.

    Of two that share their numbers the whole module is kept, since it tells more.
    """
    sets = [item for item in sets if item.has_weights] or sets[:1]
    kept: dict[object, TensorSet] = {}
    for item in sets:
        places = frozenset(
            (name, *stored.place) if not stored.trouble else (name, stored.trouble)
            for name, stored in item.tensors.items()
        )
        if places not in kept or (item.tree is not None and kept[places].tree is None):
            kept[places] = item
    return list(kept.values())


def _sets(file: PickledFile) -> Iterator[TensorSet]:
    """Return all sets of tensors in the content of a file, from the outside in."""
    seen: set[int] = set()
    waiting: list[tuple[str, object, int]] = [("", file.root, 0)]
    while waiting:
        key, value, depth = waiting.pop(0)
        if id(value) in seen or depth > DEEPEST or len(seen) > MOST_VISITED:
            continue
        seen.add(id(value))
        if tree := module_tree(value):
            tensors = tensors_of_module(file, value)
            if tensors:
                yield TensorSet(key, tensors, (), tree)
            continue
        entries = entries_of(value)
        if entries.keys() >= _OPTIMIZER:
            continue
        tensors, aside = {}, []
        for name, entry in entries.items():
            stored = file.stored(entry)
            if not isinstance(name, str):
                if stored is not None:
                    raise GentoolError(
                        f"it has {_text(name)} for a name; the names in a state dict are strings"
                    )
                continue
            if stored is not None:
                tensors[name] = stored
                continue
            aside.append(name)
            if isinstance(entry, (dict, list, tuple, Inert)):
                waiting.append((f"{key}.{name}".lstrip("."), entry, depth + 1))
        if tensors:
            yield TensorSet(key, tensors, tuple(aside))
        for index, entry in enumerate(_items_of(value)):
            if isinstance(entry, (dict, list, tuple, Inert)):
                waiting.append((f"{key}.{index}".lstrip("."), entry, depth + 1))


def entries_of(value: object) -> dict:
    """Return what a mapping or an object holds by name; empty for anything else."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, Inert):
        return {}
    if value.items or value.name == "collections.OrderedDict":
        return value.items or _pairs(value.args)
    return value.state if isinstance(value.state, dict) else {}


def _pairs(args: object) -> dict:
    """Return the items of an OrderedDict that Python 2 wrote, as a list of pairs."""
    pairs = args[0] if isinstance(args, tuple) and args else []
    if not isinstance(pairs, list):
        return {}
    return {
        pair[0]: pair[1]
        for pair in pairs
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str)
    }


def _items_of(value: object) -> list | tuple:
    if isinstance(value, (list, tuple)):
        return value[:100]
    return value.values[:100] if isinstance(value, Inert) else []


def _described(value: object) -> str:
    """Return in words what the content of a file is."""
    if isinstance(value, Inert):
        return f"an object of class {value.name[:80] or 'unknown'}"
    names = [name for name in entries_of(value) if isinstance(name, str)]
    words = f" ({listed(names)})" if names else ""
    return f"a {type(value).__name__}{words}"


def _text(value: object) -> str:
    return str(value)[:80] if isinstance(value, (int, float, bytes, type(None))) else "an object"
