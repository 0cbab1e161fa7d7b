"""Multiply the norms of the layers: l2 and spectral capacities, of kernels and of linear maps."""

from math import log

from gentool.measures.measured import HOMOGENEOUS, LIPSCHITZ, Log, Measured, needs
from gentool.measures.registry import MEASURES


@MEASURES.register_normalized
def l2(net: Measured) -> Log:
    """Frobenius-norm capacity, as the paper plots it.

        γ⁻² ∏ᵢ ‖Wᵢ‖_F²

    Wᵢ is the weight of layer i, γ the margin. The factor 4ᵈ of the bound is left out.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(sum(2 * F for F in net.log_frobenius) - 2 * net.log_gamma)


@MEASURES.register_normalized
@needs(HOMOGENEOUS, LIPSCHITZ)
def l2_bound(net: Measured) -> Log:
    """Frobenius-norm capacity of the paper's bound.

        γ⁻² ∏ᵢ 4 ‖Wᵢ‖_F²

    Wᵢ is the weight of layer i, γ the margin.
    Needs activations that are positively homogeneous and 1-Lipschitz.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(sum(log(4) + 2 * F for F in net.log_frobenius) - 2 * net.log_gamma)


@MEASURES.register_normalized
def spectral(net: Measured) -> Log:
    """Spectral-norm capacity, as the paper plots it.

        γ⁻² ∏ᵢ ‖Wᵢ‖₂²

    Wᵢ is layer i as a matrix, a convolution as (out, in·k·k); γ the margin. The factors hᵢ of the
    bound are left out.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(sum(2 * S for S in net.log_spectral) - 2 * net.log_gamma)


@MEASURES.register_normalized
@needs(HOMOGENEOUS, LIPSCHITZ)
def spectral_bound(net: Measured) -> Log:
    """Spectral-norm capacity of the paper's bound.

        γ⁻² ∏ᵢ hᵢ ‖Wᵢ‖₂²

    Wᵢ is layer i as a matrix, a convolution as (out, in·k·k); hᵢ the number of its outputs
    (channels); γ the margin.
    Needs activations that are positively homogeneous and 1-Lipschitz.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    layers = zip(net.layers, net.log_spectral, strict=True)
    return Log(sum(log(layer.channels) + 2 * S for layer, S in layers) - 2 * net.log_gamma)


@MEASURES.register_normalized
def l2_operator(net: Measured) -> Log:
    """Frobenius-norm capacity, convolutions as linear maps.

        γ⁻² ∏ᵢ ‖Aᵢ‖_F²

    Aᵢ is layer i as a linear map, a convolution unrolled on its real spatial size; γ the margin.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(sum(2 * F for F in net.log_frobenius_operator) - 2 * net.log_gamma)


@MEASURES.register_normalized
@needs(HOMOGENEOUS, LIPSCHITZ)
def l2_bound_operator(net: Measured) -> Log:
    """Frobenius-norm capacity of the paper's bound, convolutions as linear maps.

        γ⁻² ∏ᵢ 4 ‖Aᵢ‖_F²

    Aᵢ is layer i as a linear map, a convolution unrolled on its real spatial size; γ the margin.
    Needs activations that are positively homogeneous and 1-Lipschitz.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(sum(log(4) + 2 * F for F in net.log_frobenius_operator) - 2 * net.log_gamma)


@MEASURES.register_normalized
def spectral_operator(net: Measured) -> Log:
    """Spectral-norm capacity, convolutions as linear maps.

        γ⁻² ∏ᵢ ‖Aᵢ‖₂²

    Aᵢ is layer i as a linear map, γ the margin. ‖Aᵢ‖₂ is a lower bound to a relative 10⁻⁶: certain
    for linear layers and small maps, else with probability 0.999 (Lanczos iteration from a random
    start; van Dorsselaer et al., SIMAX 2000), whatever the gaps between singular values.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(sum(2 * S for S in net.log_spectral_operator) - 2 * net.log_gamma)


@MEASURES.register_normalized
@needs(HOMOGENEOUS, LIPSCHITZ)
def spectral_bound_operator(net: Measured) -> Log:
    """Spectral-norm capacity of the paper's bound, convolutions as linear maps.

        γ⁻² ∏ᵢ hᵢ ‖Aᵢ‖₂²

    Aᵢ is layer i as a linear map, ‖Aᵢ‖₂ its norm as in spectral_operator, hᵢ the number of all its
    output units, γ the margin.
    Needs activations that are positively homogeneous and 1-Lipschitz.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    layers = zip(net.layers, net.log_spectral_operator, strict=True)
    return Log(sum(log(layer.units) + 2 * S for layer, S in layers) - 2 * net.log_gamma)
