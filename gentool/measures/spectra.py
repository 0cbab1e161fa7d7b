"""Measure the singular values of each weight layer: ranks, norms, and the tail of the spectrum."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from gentool.measures.measured import Log, Measured, Undefined, log_sum
from gentool.measures.registry import MEASURES
from gentool.numerics import matrix_norms

ZERO = 1e-13  # of the largest eigenvalue: below it an eigenvalue is rounding
LEAST_EIGENVALUES = 10  # of a layer with a power law, as WeightWatcher asks


@MEASURES.register(larger="a flatter spectrum", groups=("norms",))
def stable_rank(net: Measured) -> float:
    """Mean stable rank of the layers; each is in the table of layers.

        1/d Σᵢ ‖Wᵢ‖_F² / ‖Wᵢ‖₂²

    Wᵢ is layer i as a matrix, d the number of weight layers. frobenius_over_spectral is the sum.
    Rudelson and Vershynin, Sampling from Large Matrices, Journal of the ACM 2007.
    """
    layers = zip(net.log_frobenius, net.log_nonzero_spectral, strict=True)
    return _mean_of_layers(net, "stable_rank", [math.exp(2 * F - 2 * S) for F, S in layers])


@MEASURES.register(cost="spectrum", larger="a flatter spectrum", groups=("norms",))
def effective_rank(net: Measured) -> float:
    """Mean effective rank of the layers; each is in the table of layers.

        1/d Σᵢ exp(−Σⱼ pᵢⱼ log pᵢⱼ),  pᵢⱼ = σᵢⱼ / Σₖ σᵢₖ

    σᵢⱼ are the singular values of layer i as a matrix: the exponential of their entropy.
    Roy and Vetterli, The Effective Rank, EUSIPCO 2007.
    """
    _ = net.log_nonzero_spectral  # no rank of a layer of zeros
    ranks = []
    for singular in _singular_values(net):
        p = singular / singular.sum()
        ranks.append(float(torch.special.entr(p).sum().exp()))
    return _mean_of_layers(net, "effective_rank", ranks)


@MEASURES.register(cost="spectrum", groups=("norms",), is_rescalable=False)
def nuclear_norm(net: Measured) -> Log:
    """Sum of the nuclear norms of the layers; each is in the table of layers.

        Σᵢ ‖Wᵢ‖_* = Σᵢ Σⱼ σᵢⱼ

    σᵢⱼ are the singular values of layer i as a matrix.
    Recht et al., Guaranteed Minimum-Rank Solutions by Nuclear Norm Minimization, SIAM Review 2010.
    """
    norms = [float(singular.sum()) for singular in _singular_values(net)]
    net.of_layers["nuclear_norm"] = norms
    return log_sum(net.log_norms(norms))


@MEASURES.register(groups=("norms",), is_rescalable=False)
def norm_2_1(net: Measured) -> Log:
    """Sum of the (2,1) norms of the layers: of the Euclidean norms into each unit.

        Σᵢ ‖Wᵢᵀ‖₂₁ = Σᵢ Σ_u ‖Wᵢ[u]‖₂

    Wᵢ is layer i as a matrix, Wᵢ[u] its row of unit u. Each norm is in the table of layers.
    Bartlett et al., Spectrally-Normalized Margin Bounds for Neural Networks, NIPS 2017.
    """
    norms = [matrix_norms.sum_of_row_norms(layer.matrix) for layer in net.layers]
    net.of_layers["norm_2_1"] = norms
    return log_sum(net.log_norms(norms))


@MEASURES.register(cost="spectrum", larger="a lighter tail")
def weightwatcher_alpha(net: Measured) -> float:
    """Mean power-law exponent of the layers' eigenvalues; each is in the table of layers.

        αᵢ = 1 + n / Σ log(λ / λ_min)  over the n eigenvalues λ ≥ λ_min of layer i

    λ are the squared singular values of the weight; of a convolution those of its matrices
    (out, in) at each place of the kernel, together. λ_min has the least Kolmogorov-Smirnov distance
    between both distributions, as in WeightWatcher and powerlaw. Rounding (below 1e-13 of the
    largest) is left out, so that no scale of a layer matters; WeightWatcher leaves out what is
    below 1e-5. Layers with fewer than 10 eigenvalues have none.
    Martin et al., Predicting Trends in the Quality of Neural Networks, Nature Communications 2021.
    """
    net.log_norms(layer.frobenius for layer in net.layers)  # NaN has no eigenvalues
    exponents = [power_law_exponent(_eigenvalues(layer.module)) for layer in net.layers]
    net.of_layers["weightwatcher_alpha"] = exponents
    known = [exponent for exponent in exponents if exponent is not None]
    if not known:
        raise Undefined(f"no layer has {LEAST_EIGENVALUES} eigenvalues with a power law")
    return math.fsum(known) / len(known)


def power_law_exponent(eigenvalues: Iterable[float]) -> float | None:
    """Return the exponent of the tail by maximum likelihood; None for too few eigenvalues.

    Each eigenvalue but the largest may be the start of the tail, and the one with the least
    distance of Kolmogorov and Smirnov is (Clauset, Shalizi and Newman, SIAM Review 2009).
    """
    values = np.sort(np.fromiter(eigenvalues, float))
    values = values[values > ZERO * values.max(initial=0.0)]
    if len(values) < LEAST_EIGENVALUES:
        return None
    logs, best = np.log(values), (math.inf, None)
    for i in range(len(values) - 1):
        tail, n = logs[i:] - logs[i], len(values) - i
        total = tail.sum()
        if total <= 0:
            continue  # all the same: no power law
        exponent = 1 + n / total
        of_law, of_data = 1 - np.exp((1 - exponent) * tail), np.arange(n) / n
        best = min(best, (np.abs(of_law - of_data).max(), exponent), key=lambda pair: pair[0])
    return None if best[1] is None else float(best[1])


def _eigenvalues(module: nn.Module) -> np.ndarray:
    """Return the squared singular values of a weight, of a convolution those of all its slices."""
    W = module.weight.detach()
    slices = W.flatten(2).permute(2, 0, 1) if isinstance(module, nn.Conv2d) else W[None]
    return torch.linalg.svdvals(slices).square().flatten().cpu().numpy()


def _singular_values(net: Measured) -> list[Tensor]:
    """Return the singular values of each layer as a matrix, computed once."""
    if "singular values" not in net.shared:
        net.log_norms(layer.frobenius for layer in net.layers)  # raises for NaN and infinity
        values = [torch.linalg.svdvals(layer.matrix) for layer in net.layers]
        net.shared["singular values"] = values
    return net.shared["singular values"]


def _mean_of_layers(net: Measured, name: str, values: list[float]) -> float:
    net.of_layers[name] = values
    return math.fsum(values) / len(values)
