"""Compute the conditional mutual information between the order of a measure and that of the gap.

The trap avoided: a measure that follows the gap only because both follow one setting. Conditioned
on that setting, nothing is left of it.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from gentool.claims.hyperparameters import Design

MOST_CONDITIONED = 2
LEAST_ENTROPY = 1e-9  # nats: below, the settings determine the order of the gaps


@dataclass(frozen=True)
class ConditionalInformation:
    """Hold K(μ), the smallest information left over all sets of settings, and where it is.

    `by_size` holds the smallest over the sets of 0, 1 and 2 settings, None where the settings
    determine the order of the gaps.
    """

    value: float
    given: tuple[str, ...]
    by_size: dict[str, float | None]
    interval: tuple[float, float] | None = None
    resamples: int = 0


class Conditioned:
    """Count pairs of networks by the settings of both, for every set of up to two settings.

    Made once for networks and their gaps `y`; `score` takes a measure.
    """

    def __init__(self, design: Design, y: np.ndarray) -> None:
        at = np.flatnonzero(design.described)
        at = at[np.argsort(design.recipe[at], kind="stable")]
        first, second = (at[side] for side in np.triu_indices(len(at), 1))
        counted = (design.recipe[first] != design.recipe[second]) & (y[first] != y[second])
        self.first, self.second = first[counted], second[counted]
        self.recipes = design.recipe[self.first], design.recipe[self.second]
        self.rises = y[self.first] > y[self.second]
        settings = range(len(design.names))
        sizes = range(MOST_CONDITIONED + 1)
        self.sets = [chosen for size in sizes for chosen in combinations(settings, size)]
        self.names = [tuple(design.names[i] for i in chosen) for chosen in self.sets]
        self.cells = [self._cells(design, list(chosen)) for chosen in self.sets]

    def _cells(
        self, design: Design, chosen: list[int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the cell of each pair, whether it is turned round, and which cells mirror.

        A cell holds the pairs with one value of U, the settings of both networks; (a, b) and (b, a)
        mirror each other and are one cell. In a cell (a, a) each pair counts in both directions.
        """
        rows = design.codes[:, chosen]
        value = np.zeros(len(rows), dtype=int)
        if chosen:
            value = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
        a, b = value[self.first], value[self.second]
        low, high = np.minimum(a, b), np.maximum(a, b)
        keys, cell = np.unique(low * (value.max(initial=0) + 1) + high, return_inverse=True)
        mirrors = keys // (value.max(initial=0) + 1) == keys % (value.max(initial=0) + 1)
        return cell.reshape(-1), a > b, mirrors

    def score(
        self, x: np.ndarray, counts: np.ndarray | None = None
    ) -> ConditionalInformation | None:
        """Return K(μ) of a measure, None where no set of settings leaves the gaps' order open.

            K(μ) = min over S, |S| ≤ 2, of I(V_μ; V_g | U_S) / H(V_g | U_S)

        V_μ and V_g are the signs of the differences of the measure and of the gap in a pair of
        networks, U_S the values of the settings S in both. Probabilities are shares of all ordered
        pairs of networks of two recipes; pairs with one gap say nothing and are left out, and equal
        values of the measure are a third sign, 0.

        With `counts`, of shape (resamples, recipes), the interval holds 95 % of the resamples.
        Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020, section
        2.2.3.
        """
        if not len(self.first):
            return None
        kind = 2 * (np.sign(x[self.first] - x[self.second]).astype(int) + 1) + self.rises
        shares = self._shares(kind)[:, 0]
        if np.isnan(shares).all():
            return None
        best = int(np.nanargmin(shares))
        by_size: dict[str, float | None] = {}
        for size in range(MOST_CONDITIONED + 1):
            of = [s for s, c in zip(shares, self.sets, strict=True) if len(c) == size]
            of = [float(share) for share in of if not np.isnan(share)]
            by_size[str(size)] = min(of, default=None)
        interval, resamples = None, 0
        if counts is not None and len(counts):
            interval, resamples = self._interval(kind, counts)
        return ConditionalInformation(
            float(shares[best]), self.names[best], by_size, interval, resamples
        )

    def _interval(
        self, kind: np.ndarray, counts: np.ndarray
    ) -> tuple[tuple[float, float] | None, int]:
        """Return the 2.5th and 97.5th percentile over resamples of recipes, and their number."""
        first, second = self.recipes
        pair = np.unique(first * counts.shape[1] + second, return_inverse=True)[1].reshape(-1)
        combined, entry = np.unique(6 * pair + kind, return_inverse=True)
        entry = entry.reshape(-1)
        at = np.zeros(len(combined), dtype=int)
        at[entry] = np.arange(len(kind))
        number = np.bincount(entry).astype(float)  # pairs of seeds that are alike in all of this
        weights = number[:, None] * counts.T[first[at]] * counts.T[second[at]]
        shares = self._shares(kind[at], weights, at)
        shares = shares[:, ~np.isnan(shares).all(axis=0)]
        if not shares.shape[1]:
            return None, 0
        low, high = np.percentile(np.nanmin(shares, axis=0), (2.5, 97.5))
        return (float(low), float(high)), shares.shape[1]

    def _shares(
        self,
        kind: np.ndarray,
        weights: np.ndarray | None = None,
        at: np.ndarray | slice = slice(None),
    ) -> np.ndarray:
        """Return the share of the entropy that the measure takes, of shape (sets, columns).

        `weights`, of shape (pairs, columns), counts the pairs at the indices `at`; None counts each
        once.
        """
        shares = []
        for cell, turned, mirrors in self.cells:
            place = 6 * cell[at] + np.where(turned[at], 5 - kind, kind)
            table = _sums(place, 6 * len(mirrors), weights).reshape(len(mirrors), 3, 2, -1)
            table[mirrors] += table[mirrors][:, ::-1, ::-1]
            table[~mirrors] *= 2  # a cell (a, b) stands for (b, a) too
            joint, measure = _sum_xlogx(table), _sum_xlogx(table.sum(axis=2))
            gap, cells = _sum_xlogx(table.sum(axis=1)), _sum_xlogx(table.sum(axis=(1, 2)))
            entropy, information = cells - gap, joint - measure - gap + cells
            is_open = entropy > LEAST_ENTROPY * np.maximum(table.sum(axis=(0, 1, 2)), 1)
            share = np.divide(information, entropy, np.full(entropy.shape, np.nan), where=is_open)
            shares.append(np.clip(share, 0.0, 1.0))
        return np.array(shares)


def _sums(place: np.ndarray, size: int, weights: np.ndarray | None) -> np.ndarray:
    """Return the sums of the rows of `weights` that have each place, of shape (size, columns)."""
    if weights is None:
        return np.bincount(place, minlength=size)[:, None].astype(float)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    table = np.zeros((size, weights.shape[1]))
    table[place[order[starts]]] = np.add.reduceat(weights[order], starts, axis=0)
    return table


def _sum_xlogx(counts: np.ndarray) -> np.ndarray:
    """Return Σ n log n over all but the last axis, where 0 log 0 is 0."""
    logs = np.log(np.where(counts > 0, counts, 1))
    return (counts * logs).sum(axis=tuple(range(counts.ndim - 1)))
