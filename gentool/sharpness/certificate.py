"""Compute the PAC-Bayes bound of a loaded network, or say why it has none."""

import torch
from torch import nn

from gentool.sharpness.error_bound import ErrorBound, error_bound
from gentool.sharpness.expected import ExpectedOptions
from gentool.sharpness.inputs import SharpnessInputs
from gentool.sharpness.objective import Objective

ERROR_BOUND = "pac_bayes_error_bound"


def certified(
    inputs: SharpnessInputs, objective: Objective, options: ExpectedOptions
) -> tuple[ErrorBound | None, str | None]:
    """Return the bound, or None, and what a reader of the record has to know of it."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    if any(isinstance(module, kinds) for module in inputs.network.module.modules()):
        return None, (
            "batch norm that is not folded has statistics of the training images, which a prior "
            "must not depend on; leave out --no-fold-batch-norm"
        )
    zero = torch.zeros_like(objective.network.weights)
    initial = inputs.initial_weights
    centres = {"zero": zero} if initial is None else {"initial": initial, "zero": zero}
    bound = error_bound(objective, centres, options.delta, options.most_draws, options.seed)
    if len(inputs.sets.confusion):
        return bound, "of new data in which the confusion set has the same share"
    return bound, None
