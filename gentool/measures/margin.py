"""The margin of the training set, by itself."""

from gentool.measures.measured import Log, Measured
from gentool.measures.registry import MEASURES


@MEASURES.register
def margin(net: Measured) -> float:
    """Margin of the training set: at most a fraction ε of the points has a smaller one.

        γ = k-th smallest of f(x)[y] − max_{j≠y} f(x)[j],  k = ⌈ε m⌉

    Logits in evaluation mode, m training points without the confusion set, ε = 0.05 unless told;
    not interpolated.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return net.gamma


@MEASURES.register
def inverse_margin(net: Measured) -> Log:
    """Inverse of the squared margin.

        γ⁻²

    γ is the margin of the training set.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return Log(-2 * net.log_gamma)
