"""Compute Kendall's tau-b and its bootstrap interval, all resamples at once.

The traps avoided here: two copies of one network in a bootstrap resample are a pair tied in both
rankings. Tau-b leaves such pairs out of its numerator and its denominator alike, so that a resample
is scored by its pairs of different networks alone. And seeds of one recipe are no independent
evidence: resamples draw recipes, each with all of its seeds.

By hand, because a loop over SciPy's `kendalltau` takes 57 to 86 times as long for the same interval
(47 networks, 1,000 resamples; `examples/benchmarks/kendall.py`).
"""

import numpy as np

FEWEST_POINTS = 5  # or clusters of points, for a bootstrap interval


def tau_b(x: np.ndarray, y: np.ndarray) -> float | None:
    """Return Kendall's rank correlation, corrected for ties; None where x or y is constant.

        (C − D) / √((n₀ − n₁)(n₀ − n₂))

    C and D are the concordant and discordant pairs, n₀ all pairs, n₁ and n₂ those tied in x and y.
    Kendall, The Treatment of Ties in Ranking Problems, Biometrika 1945.
    """
    tau = float(_taus(x, y, np.arange(len(x)), np.ones((1, len(x))))[0])
    return None if np.isnan(tau) else tau


def draws(clusters: int, resamples: int, seed: int) -> np.ndarray:
    """Return how often each resample holds each cluster, of shape (resamples, clusters).

    A resample draws as many clusters as there are, with replacement.
    """
    fair = np.full(clusters, 1 / clusters)
    return np.random.default_rng(seed).multinomial(clusters, fair, size=resamples).astype(float)


def bootstrap(
    x: np.ndarray,
    y: np.ndarray,
    resamples: int,
    seed: int,
    cluster: np.ndarray | None = None,
) -> tuple[float, float, int] | None:
    """Return the 2.5th and 97.5th percentile of tau-b over resamples, and how many have a tau.

    `cluster`, of shape (n,), numbers the cluster of each point from 0 on; None for points that are
    independent of each other. A resample draws as many clusters as there are, with replacement.
    None with fewer than five clusters, or where no resample has a tau.
    """
    cluster = np.arange(len(x)) if cluster is None else cluster
    number = int(cluster.max(initial=-1)) + 1
    if number < FEWEST_POINTS or not resamples:
        return None
    return percentiles(_taus(x, y, cluster, draws(number, resamples, seed)))


def percentiles(values: np.ndarray) -> tuple[float, float, int] | None:
    """Return the 2.5th and 97.5th percentile of the values that are not NaN, and their number."""
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high), len(values)


def _taus(x: np.ndarray, y: np.ndarray, cluster: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return tau-b of each resample, NaN where it has none.

    `counts`, of shape (resamples, clusters), tells how often a resample holds each cluster. With S
    the sums over two clusters of the signs of all differences and c the counts, C − D is
    cᵀ(Sₓ∘Sᵧ)c / 2.
    """
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    sx, sy = (np.sign(np.subtract.outer(v[order], v[order])) for v in (x, y))
    score, in_x, in_y = (
        np.einsum("bi,bi->b", counts @ _blocks(signs, starts), counts)
        for signs in (sx * sy, abs(sx), abs(sy))
    )
    product = in_x * in_y
    return np.divide(score, np.sqrt(product), np.full(len(counts), np.nan), where=product > 0)


def _blocks(signs: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the sums of a table over its blocks, which begin at `starts` in both directions."""
    if len(starts) == len(signs):
        return signs
    return np.add.reduceat(np.add.reduceat(signs, starts, axis=0), starts, axis=1)
