"""Describe the settings of networks by whole numbers, once for all measures. No torch.

The trap avoided: networks of one recipe and several seeds taken for independent evidence. They are
one cluster, and a bootstrap draws clusters.
"""

from dataclasses import dataclass

import numpy as np

from gentool.claims.families import settings
from gentool.records.averaging import group_key, is_known
from gentool.records.measure_file import Record


@dataclass(frozen=True)
class Design:
    """Hold which settings n networks were trained with.

    `codes`, of shape (n, settings), holds a number for each value of each setting that varies;
    `names` are these settings. Networks of one `recipe` differ in their seed alone. A network
    without a recipe is not `described`, and is a recipe of its own.
    """

    names: tuple[str, ...]
    codes: np.ndarray  # (n, settings)
    seed: np.ndarray  # (n,)
    recipe: np.ndarray  # (n,), from 0 on
    described: np.ndarray  # (n,), bool

    @property
    def recipes(self) -> int:
        return int(self.recipe.max()) + 1 if len(self.recipe) else 0

    def of(self, kept: np.ndarray) -> "Design":
        """Return the design of the networks at some indices."""
        codes, described = self.codes[kept], self.described[kept]
        varies = [i for i in range(len(self.names)) if len(np.unique(codes[described, i])) > 1]
        names = tuple(self.names[i] for i in varies)
        recipe = _numbers(self.recipe[kept])
        return Design(names, codes[:, varies], self.seed[kept], recipe, described)


@dataclass(frozen=True)
class Neighbours:
    """Hold all pairs of networks that differ in exactly one setting, whatever their seeds.

    Pairs of the same two recipes are one `environment`; pairs of the same seed that agree in all
    settings but one are one `group` of that setting, −1 for pairs of two seeds.
    """

    first: np.ndarray  # (pairs,), index of a network
    second: np.ndarray  # (pairs,)
    setting: np.ndarray  # (pairs,), the setting that differs
    environment: np.ndarray  # (pairs,)
    group: np.ndarray  # (pairs,)


def design(networks: list[Record]) -> Design:
    """Return the design of all networks, with the settings in which those with a recipe differ."""
    described = [settings(n) if n.get("recipe") else None for n in networks]
    names = list(dict.fromkeys(name for values in described for name in values or ()))
    known: dict[str, str] = {}

    def code(value: object) -> str:
        text = repr(value)
        if text not in known:
            known[text] = group_key(value)
        return known[text]

    n = len(networks)
    codes = np.zeros((n, len(names)), dtype=int)
    for i, name in enumerate(names):
        codes[:, i] = _numbers([code(values and values.get(name)) for values in described])
    has_recipe = np.array([values is not None for values in described], dtype=bool)
    seed = [code((network.get("recipe") or {}).get("seed")) for network in networks]
    own = [
        0 if is_known(network.get("recipe") or {}) else i + 1 for i, network in enumerate(networks)
    ]
    recipe = _rows(np.column_stack([codes, own]))
    return Design(tuple(names), codes, _numbers(seed), recipe, has_recipe).of(np.arange(n))


def neighbours(of: Design) -> Neighbours:
    """Return the pairs of networks that differ in exactly one setting, sorted by it."""
    parts = []
    at = np.flatnonzero(of.described)
    for setting in range(len(of.names)):
        others = _rows(np.delete(of.codes[at], setting, axis=1))
        order = np.argsort(others, kind="stable")
        for members in np.split(at[order], np.flatnonzero(np.diff(others[order])) + 1):
            i, j = (members[side] for side in np.triu_indices(len(members), 1))
            differs = of.codes[i, setting] != of.codes[j, setting]
            i, j = i[differs], j[differs]
            block = np.full(len(i), members[0])
            parts.append(np.column_stack([i, j, np.full(len(i), setting), block]))
    pairs = np.concatenate(parts) if parts else np.zeros((0, 4), dtype=int)
    first, second, setting, block = pairs.T
    ends = np.sort(np.column_stack([of.recipe[first], of.recipe[second]]), axis=1)
    same = of.seed[first] == of.seed[second]
    group = np.full(len(pairs), -1)
    group[same] = _rows(np.column_stack([setting, block, of.seed[first]])[same])
    return Neighbours(first, second, setting, _rows(ends), group)


def _numbers(values: list | np.ndarray) -> np.ndarray:
    """Return a number for each distinct value, from 0 on."""
    return np.unique(np.asarray(values), return_inverse=True)[1].reshape(-1)


def _rows(table: np.ndarray) -> np.ndarray:
    """Return a number for each distinct row, from 0 on."""
    if not table.shape[1]:
        return np.zeros(len(table), dtype=int)
    return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)
