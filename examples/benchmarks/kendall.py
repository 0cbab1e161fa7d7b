"""Time the bootstrap of Kendall's tau-b beside a loop over SciPy's, and compare their intervals.

python examples/benchmarks/kendall.py [NETWORKS] [RESAMPLES]      47 and 1000 by default
"""

import platform
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy
from scipy.stats import kendalltau

from gentool.claims.kendall import bootstrap

TURNS = 5
SEED = 0


def scipy_loop(x: np.ndarray, y: np.ndarray, resamples: int) -> tuple[float, float, int]:
    """Return the interval of `bootstrap`, each of the same resamples scored by SciPy."""
    n = len(x)
    counts = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=resamples)
    taus = [kendalltau(np.repeat(x, c), np.repeat(y, c)).statistic for c in counts]
    low, high = np.nanpercentile(taus, (2.5, 97.5))
    return float(low), float(high), int(np.isfinite(taus).sum())


def seconds(work: Callable[[], object]) -> float:
    """Return how long some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(networks: int, resamples: int) -> None:
    """Print the median times of both, taken in turns, and how far their intervals differ."""
    x, noise = np.random.default_rng(1).normal(size=(2, networks))
    y = x + noise

    def ours() -> tuple[float, float, int] | None:
        return bootstrap(x, y, resamples, SEED)

    def theirs() -> tuple[float, float, int]:
        return scipy_loop(x, y, resamples)

    difference = max(abs(a - b) for a, b in zip(ours(), theirs(), strict=True))
    turns = [(seconds(ours), seconds(theirs)) for _ in range(TURNS)]
    mine, other = map(statistics.median, zip(*turns, strict=True))
    ratio = statistics.median(b / a for a, b in turns)
    versions = f"Python {platform.python_version()}, SciPy {scipy.__version__}"
    print(f"{networks} networks, {resamples} resamples, {versions}")
    print(f"gentool {1000 * mine:.1f} ms, SciPy in a loop {1000 * other:.0f} ms: {ratio:.0f} times")
    print(f"the intervals differ by {difference:.1e} at most")


if __name__ == "__main__":
    sizes = [int(word) for word in sys.argv[1:]]
    main(*sizes, *(47, 1000)[len(sizes) :])
