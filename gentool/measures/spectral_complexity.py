"""Compute bounds that combine spectral norms with another norm of each layer or of its change.

The reference matrices of the bounds are zero, or the initial weights in measures named `_distance`.
"""

from gentool.measures.measured import HOMOGENEOUS, LIPSCHITZ, Log, Measured, log_sum, needs
from gentool.measures.registry import MEASURES
from gentool.numerics import matrix_norms


@MEASURES.register_normalized
@needs(HOMOGENEOUS, LIPSCHITZ)
def pac_bayes_spectral(net: Measured) -> Log:
    """Capacity of the PAC-Bayesian bound with spectral norms.

        γ⁻² ∏ᵢ ‖Wᵢ‖₂² Σᵢ ‖Wᵢ‖_F² / ‖Wᵢ‖₂²

    Wᵢ is layer i as a matrix, γ the margin; factors of depth and width are left out.
    Needs activations that are positively homogeneous and 1-Lipschitz.
    Neyshabur et al., A PAC-Bayesian Approach to Spectrally-Normalized Margin Bounds, ICLR 2018.
    """
    return _pac_bayes(net, net.log_frobenius)


@MEASURES.register_normalized(needs=("initial weights",), is_rescalable=False)
@needs(HOMOGENEOUS, LIPSCHITZ)
def pac_bayes_spectral_distance(net: Measured) -> Log:
    """Capacity of the PAC-Bayesian bound with spectral norms, from the initial weights.

        γ⁻² ∏ᵢ ‖Wᵢ‖₂² Σᵢ ‖Wᵢ − Wᵢ⁰‖_F² / ‖Wᵢ‖₂²

    Wᵢ is layer i as a matrix, Wᵢ⁰ the same before training, γ the margin.
    Needs activations that are positively homogeneous and 1-Lipschitz.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return _pac_bayes(net, net.log_movements(matrix_norms.frobenius))


@MEASURES.register_normalized
@needs(LIPSCHITZ)
def spectral_complexity(net: Measured) -> Log:
    """Capacity of the spectrally-normalised margin bound.

        γ⁻² ∏ᵢ ‖Wᵢ‖₂² (Σᵢ (‖Wᵢᵀ‖₂₁ / ‖Wᵢ‖₂)^⅔)³

    Wᵢ is layer i as a matrix, ‖Wᵢᵀ‖₂₁ the sum of the norms of its rows, γ the margin: the square of
    the spectral complexity over the margin.
    Needs 1-Lipschitz activations with φ(0) = 0.
    Bartlett et al., Spectrally-Normalized Margin Bounds for Neural Networks, NIPS 2017.
    """
    row_norms = [float(layer.row_norms.sum()) for layer in net.layers]
    return _complexity(net, net.log_norms(row_norms))


@MEASURES.register_normalized(needs=("initial weights",), is_rescalable=False)
@needs(LIPSCHITZ)
def spectral_complexity_distance(net: Measured) -> Log:
    """Capacity of the spectrally-normalised margin bound, from the initial weights.

        γ⁻² ∏ᵢ ‖Wᵢ‖₂² (Σᵢ (‖(Wᵢ − Wᵢ⁰)ᵀ‖₂₁ / ‖Wᵢ‖₂)^⅔)³

    As spectral_complexity, with the weights before training, Wᵢ⁰, as reference matrices.
    Needs 1-Lipschitz activations with φ(0) = 0.
    Bartlett et al., Spectrally-Normalized Margin Bounds for Neural Networks, NIPS 2017.
    """
    return _complexity(net, net.log_movements(matrix_norms.sum_of_row_norms))


@MEASURES.register(needs=("initial weights",), is_rescalable=False, larger="training went further")
def distance_frobenius(net: Measured) -> Log:
    """Squared distance from the initial weights.

        Σᵢ ‖Wᵢ − Wᵢ⁰‖_F²

    Wᵢ is the weight of layer i, Wᵢ⁰ the same before training.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return log_sum(2 * F for F in net.log_movements(matrix_norms.frobenius))


@MEASURES.register(needs=("initial weights",), is_rescalable=False, larger="training went further")
def distance_spectral(net: Measured) -> Log:
    """Squared distance from the initial weights in the spectral norm.

        Σᵢ ‖Wᵢ − Wᵢ⁰‖₂²

    Wᵢ is layer i as a matrix, Wᵢ⁰ the same before training.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return log_sum(2 * S for S in net.log_spectral_movements)


def _pac_bayes(net: Measured, log_frobenius: list[float]) -> Log:
    ratios = zip(log_frobenius, net.log_nonzero_spectral, strict=True)
    product = 2 * sum(net.log_spectral) - 2 * net.log_gamma
    return Log(product + log_sum(2 * F - 2 * S for F, S in ratios))


def _complexity(net: Measured, log_row_norms: list[float]) -> Log:
    ratios = zip(log_row_norms, net.log_nonzero_spectral, strict=True)
    product = 2 * sum(net.log_spectral) - 2 * net.log_gamma
    return Log(product + 3 * log_sum(2 / 3 * (R - S) for R, S in ratios))
