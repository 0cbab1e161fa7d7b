"""Search the sharpness of the other reading of a network with batch norm: folded in, or raw.

Both are the same function with other parameters, so that boxes around them differ: folding moved
sharpness 4.1 times down in one network and 1.4 times up in another.
"""

from torch import nn

from gentool.sharpness.definitions import defines
from gentool.sharpness.functional import functional_network
from gentool.sharpness.inputs import SharpnessInputs
from gentool.sharpness.worst_case import SearchOptions, WorstCaseSearch

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def other_reading(
    inputs: SharpnessInputs, alpha: float, options: SearchOptions
) -> tuple[str, float] | None:
    """Return name and value of the sharpness that `inputs` does not read; None without batch norm.

    The cost is that of the search itself, once more.
    """
    model = inputs.checkpoint.model()
    if not any(isinstance(module, _NORMS) for module in model.modules()):
        return None
    is_folded = inputs.network.is_folded
    other = functional_network(model, inputs.network.input_shape, fold_batch_norm=not is_folded)
    rise = WorstCaseSearch(other, inputs.sets.all, options).find(alpha).rise
    return ("sharpness_raw", raw(rise)) if is_folded else ("sharpness_folded", folded(rise))


@defines("sharpness_raw")
def raw(rise: float) -> float:
    """Sharpness of the raw parameters, batch norm not folded in, with --both-readings.

        max over |νᵢ| ≤ α(|wᵢ|+1) of L(f_{w+ν}) − L(f_w),  w with those of batch norm

    Programs that perturb a module's own parameters compute this one; the running statistics stay.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return rise


@defines("sharpness_folded")
def folded(rise: float) -> float:
    """Sharpness with batch norm folded in, with --no-fold-batch-norm --both-readings.

        max over |νᵢ| ≤ α(|wᵢ|+1) of L(f_{w+ν}) − L(f_w),  w of the network without batch norm

    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return rise
