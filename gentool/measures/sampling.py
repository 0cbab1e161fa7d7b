"""Average independent draws of a measure until their mean is exact enough."""

import math
from collections.abc import Callable

from gentool.measures.measured import Estimate, Measured, Undefined

LEAST_DRAWS, MOST_DRAWS = 4, 1024


def mean_of_draws(net: Measured, draw: Callable[[], float]) -> Estimate:
    """Return the mean of independent draws, until its standard error is below `net.rel_error`.

    At least 4 and at most 1,024 draws; the standard error says how exact the mean is then. Raise
    Undefined if a draw is not finite.
    """
    values: list[float] = []
    while True:
        values.append(draw())
        n = len(values)
        if not math.isfinite(values[-1]):
            raise Undefined("a draw is beyond the numbers of a computer")
        if n < LEAST_DRAWS:
            continue
        mean = math.fsum(values) / n
        error = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n * (n - 1)))
        if error <= net.rel_error * abs(mean) or n >= MOST_DRAWS:
            return Estimate(mean, error)
