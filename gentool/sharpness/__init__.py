"""Compute sharpness: how far the training loss rises when the parameters are perturbed.

inputs, prepared        a checkpoint, then a network on its device with the loss before
functional, box         a network as a function of one vector; the box |νᵢ| ≤ α(|wᵢ| + 1)
forward, objective      logits and losses at many points at once; autotune times the ways to batch
noise, evaluate         losses under Gaussian noise; float64 for every number that is reported
search/                 the default search, and those of the literature
worst_case, expected    the largest rise in the box; the mean rise under noise
bounds, flatness        what the rise is compared with; measures of the Hessian, PAC-Bayes sigma
landscape, witness      losses along lines; the worst point on disk
*_record, definitions   the records, and name, formula and source of all that they report
"""

from gentool.common.callable_package import make_callable

make_callable(__name__, "gentool.sharpness.in_memory")
