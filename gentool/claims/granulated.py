"""Compute the granulated rank correlation Ψ: tau of networks that differ in one setting alone."""

from dataclasses import dataclass

import numpy as np

from gentool.claims.hyperparameters import Neighbours


@dataclass(frozen=True)
class SettingTau:
    """Hold ψ of one setting: the mean tau over groups of networks that differ in it alone."""

    tau: float
    groups: int
    tied: int  # groups in which the measure, or the gap, orders no pair; their tau is 0


def granulated(
    pairs: Neighbours, agree: np.ndarray, names: tuple[str, ...]
) -> tuple[float | None, dict[str, SettingTau]]:
    """Return Ψ, None where no two networks differ in one setting alone, and ψ of each setting.

        ψᵢ = mean over groups of τ,  τ = mean over pairs of sign(μ − μ′) sign(g − g′),  Ψ = mean ψᵢ

    `agree`, of shape (pairs,), is the product of the two signs. A group holds the networks that
    agree in all settings but the i-th, and in the seed. A tie counts 0, as in the paper: a measure
    that does not change with a setting has ψᵢ = 0, not none.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020, sec. 2.2.2.
    """
    at, groups, setting = _groups(pairs)
    if not len(at):
        return None, {}
    number = np.bincount(groups)
    taus = np.bincount(groups, agree[at]) / number
    tied = np.bincount(groups, abs(agree[at])) == 0
    axes = {}
    for one in np.unique(setting):
        of = setting == one
        axes[names[one]] = SettingTau(float(taus[of].mean()), int(of.sum()), int(tied[of].sum()))
    return float(np.mean([axis.tau for axis in axes.values()])), axes


def resampling(pairs: Neighbours, counts: np.ndarray) -> np.ndarray:
    """Return coefficients, of shape (resamples, pairs), by which Ψ of each resample is a sum.

    Ψ of a measure is their product with `agree`. `counts`, of shape (resamples, n), tells how often
    a resample holds each network. A resample without any group has NaN.
    """
    at, groups, setting = _groups(pairs)
    coefficients = np.zeros((len(counts), len(pairs.first)))
    if not len(at):
        return np.full_like(coefficients, np.nan)
    order = np.argsort(groups, kind="stable")
    at, starts = at[order], np.flatnonzero(np.diff(groups[order], prepend=-1))
    weights = counts[:, pairs.first[at]] * counts[:, pairs.second[at]]
    total = np.add.reduceat(weights, starts, axis=1)
    groups_of = np.zeros(total.shape)  # in the resample, of the setting of each group
    for one in np.unique(setting):
        of = setting == one
        groups_of[:, of] = (total[:, of] > 0).sum(axis=1, keepdims=True)
    divisor = np.where(total > 0, total * groups_of, 1)
    first = [np.flatnonzero(setting == one)[0] for one in np.unique(setting)]
    settings = (groups_of[:, first] > 0).sum(axis=1, keepdims=True)
    coefficients[:, at] = weights / divisor[:, groups[order]] / np.maximum(settings, 1)
    coefficients[settings[:, 0] == 0] = np.nan
    return coefficients


def _groups(pairs: Neighbours) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs inside a group, the group of each, and the setting of each group."""
    at = np.flatnonzero(pairs.group >= 0)
    groups = pairs.group[at]
    setting = np.zeros(int(groups.max(initial=-1)) + 1, dtype=int)
    setting[groups] = pairs.setting[at]
    return at, groups, setting
