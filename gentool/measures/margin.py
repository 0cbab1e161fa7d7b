"""Compute the margins of the training set: two measures, and the summary in a record."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from gentool.checkpoints.evaluation import Tally
from gentool.common.json import Json
from gentool.data.examples import Examples
from gentool.measures.measured import Log, Measured, margin_rank, margins
from gentool.measures.registry import MEASURES
from gentool.networks.canonical import Network

MARGIN_BATCH = 250
HISTOGRAM_BINS = 50
Progress = Callable[[str, float], None]
"""Called with the name of the computation and the fraction of it that is done."""


@MEASURES.register(needs=("margin", "data"), larger="more room")
def margin(net: Measured) -> float:
    """Margin of the training set: at most a fraction ε of the points has a smaller one.

        γ = k-th smallest of f(x)[y] − max_{j≠y} f(x)[j],  k = ⌈ε m⌉

    Logits in evaluation mode, m training points without the confusion set, ε = 0.05 by
    default; not interpolated. Of one output f for labels of 0 and 1 the margin of a point is
    (2y − 1) f(x).
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return net.gamma


@MEASURES.register(needs=("margin", "data"))
def inverse_margin(net: Measured) -> Log:
    """Inverse of the squared margin.

        γ⁻²

    γ is the margin of the training set at the ε of --epsilon, 0.05 by default. Jiang et al. take
    the 10th percentile, ε = 0.1: that is inverse_margin_jiang2020.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return Log(-2 * net.log_gamma)


def training_margins(
    network: Network,
    examples: Examples,
    on_progress: Progress = lambda what, fraction: None,
    tally: Tally | None = None,
) -> Tensor:
    """Compute the margin of each example, shape (m,), float64; add its logits to a tally."""
    parts = []
    for i, (images, labels) in enumerate(examples.batches(MARGIN_BATCH, torch.float64), start=1):
        logits = network(images)
        parts.append(margins(logits, labels))
        if tally is not None:
            tally.add(logits, labels)
        on_progress("margins", min(1.0, i * MARGIN_BATCH / len(examples)))
    return torch.cat(parts)


def margin_summary(net: Measured) -> Json | None:
    """Return gamma, its rank, quantiles and a histogram; None without finite margins."""
    if net.margins is None or not bool(net.margins.isfinite().all()):
        return None
    ordered = net.margins.sort().values.cpu()
    quantiles = _quantile_levels()
    counts, edges = torch.histogram(ordered, HISTOGRAM_BINS)
    return {
        "epsilon": net.epsilon,
        "points": len(ordered),
        "rank": margin_rank(net.epsilon, len(ordered)),
        "gamma": net.gamma,
        "quantiles": {
            f"{level:.2f}": ordered[margin_rank(level, len(ordered)) - 1].item()
            for level in quantiles
        },
        "histogram": {"edges": edges.tolist(), "counts": counts.int().tolist()},
    }


def _quantile_levels() -> Iterable[float]:
    return (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
