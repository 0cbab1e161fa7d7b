"""Define the path norms: sums over the paths of the unrolled network, as `path_sums` has them."""

from gentool.measures.measured import HOMOGENEOUS, LIPSCHITZ, Log, Measured, needs
from gentool.measures.path_sums import PathSum
from gentool.measures.registry import MEASURES
from gentool.networks.canonical import Layer


def _two(layer: Layer) -> float:
    return 2.0


def _four_channels(layer: Layer) -> float:
    return 4.0 * layer.channels


def _four_units(layer: Layer) -> float:
    return 4.0 * layer.units


_L1, _L1_BOUND, _L2 = PathSum(1), PathSum(1, _two), PathSum(2)
_L2_BOUND, _L2_BOUND_OPERATOR = PathSum(2, _four_channels), PathSum(2, _four_units)


@MEASURES.register_path
@_L1.needed
def l1_path(net: Measured) -> Log:
    """l1-path norm capacity, over all paths.

        γ⁻² (Σ_paths ∏ |w|)²

    The sum is over all paths of the unrolled network from an input or a bias to an output, each
    input of a max pooling a path; γ is the margin. The factors 2 of the bound are left out. The
    paper plots l1_path_maxpool: the largest path sum alone goes through a max pooling.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(2 * _L1.log(net) - 2 * net.log_gamma)


@MEASURES.register_path
@needs(HOMOGENEOUS, LIPSCHITZ)
@_L1_BOUND.needed
def l1_path_bound(net: Measured) -> Log:
    """l1-path norm capacity of the paper's bound.

        γ⁻² (Σ_paths ∏ 2|w|)²

    As l1_path, each weight and bias on a path twice as large.
    Needs activations that are positively homogeneous and 1-Lipschitz.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(2 * _L1_BOUND.log(net) - 2 * net.log_gamma)


@MEASURES.register_path
@_L2.needed
def l2_path(net: Measured) -> Log:
    """l2-path norm capacity, over all paths.

        γ⁻² Σ_paths ∏ w²

    The sum is over all paths of the unrolled network from an input or a bias to an output, each
    input of a max pooling a path; γ is the margin. The factors 4 hᵢ of the bound are left out. The
    paper plots l2_path_maxpool: the largest path sum alone goes through a max pooling.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(_L2.log(net) - 2 * net.log_gamma)


@MEASURES.register_path
@needs(HOMOGENEOUS, LIPSCHITZ)
@_L2_BOUND.needed
def l2_path_bound(net: Measured) -> Log:
    """l2-path norm capacity of the paper's bound, hᵢ the channels of a convolution.

        γ⁻² Σ_paths ∏ 4 hᵢ w²

    As l2_path, with hᵢ the outputs of layer i, of a convolution its channels.
    Needs activations that are positively homogeneous and 1-Lipschitz.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(_L2_BOUND.log(net) - 2 * net.log_gamma)


@MEASURES.register_path
@needs(HOMOGENEOUS, LIPSCHITZ)
@_L2_BOUND_OPERATOR.needed
def l2_path_bound_operator(net: Measured) -> Log:
    """l2-path norm capacity of the paper's bound, hᵢ the units of the unrolled network.

        γ⁻² Σ_paths ∏ 4 hᵢ w²

    As l2_path, with hᵢ all output units of layer i, of a convolution channels · height · width.
    Needs activations that are positively homogeneous and 1-Lipschitz.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return Log(_L2_BOUND_OPERATOR.log(net) - 2 * net.log_gamma)
