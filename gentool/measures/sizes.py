"""Measure the size of a network: counts and sums over its weights."""

from math import log

from gentool.measures.measured import HOMOGENEOUS, Log, Measured, log_sum, needs
from gentool.measures.registry import MEASURES


@MEASURES.register
def parameters(net: Measured) -> float:
    """Number of parameters of the canonical network, weights and biases.

        Σᵢ (|Wᵢ| + |bᵢ|)

    |·| counts entries; batch norm is folded into them.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return float(sum(p.numel() for layer in net.layers for p in layer.module.parameters()))


@MEASURES.register(is_rescalable=False)
def sum_of_squares(net: Measured) -> Log:
    """Sum of the squared weights, biases left out.

        Σᵢ ‖Wᵢ‖_F²

    Wᵢ is the weight of layer i.
    Dziugaite et al., In Search of Robust Measures of Generalization, NeurIPS 2020.
    """
    return log_sum(2 * F for F in net.log_frobenius)


@MEASURES.register_normalized
@needs(HOMOGENEOUS)
def frobenius_sum(net: Measured) -> Log:
    """Sum of squared Frobenius norms once all layers are rescaled to equal norms.

        d (γ⁻² ∏ᵢ ‖Wᵢ‖_F²)^(1/d)

    d is the number of weight layers, Wᵢ the weight of layer i, γ the margin.
    Needs positively homogeneous activations.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    d = len(net.layers)
    return Log(log(d) + (2 * sum(net.log_frobenius) - 2 * net.log_gamma) / d)


@MEASURES.register_normalized
@needs(HOMOGENEOUS)
def spectral_sum(net: Measured) -> Log:
    """Sum of squared spectral norms once all layers are rescaled to equal norms.

        d (γ⁻² ∏ᵢ ‖Wᵢ‖₂²)^(1/d)

    d is the number of weight layers, Wᵢ layer i as a matrix, γ the margin.
    Needs positively homogeneous activations.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    d = len(net.layers)
    return Log(log(d) + (2 * sum(net.log_spectral) - 2 * net.log_gamma) / d)


@MEASURES.register
def frobenius_over_spectral(net: Measured) -> Log:
    """Sum of the stable ranks of the layers.

        Σᵢ ‖Wᵢ‖_F² / ‖Wᵢ‖₂²

    Wᵢ is layer i as a matrix.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    layers = zip(net.log_frobenius, net.log_nonzero_spectral, strict=True)
    return log_sum(2 * F - 2 * S for F, S in layers)
