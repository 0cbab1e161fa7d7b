"""Register the normalised measures of Jiang et al. with the margin that they divide by.

Their margin is the 10th percentile of the training margins; the plain names take the ε of
`--epsilon`, 0.05 by default. A path norm passes the largest path sum through a max pooling, as a
forward pass of their code does.
"""

from gentool.measures import (  # noqa: F401 - the families that it takes from
    margin,
    norms,
    path_norms,
    sizes,
    spectral_complexity,
)
from gentool.measures.registry import MEASURES

for _name in (
    "inverse_margin",
    "l2",
    "spectral",
    "l2_path_maxpool",
    "frobenius_sum",
    "spectral_sum",
    "pac_bayes_spectral",
    "pac_bayes_spectral_distance",
):
    MEASURES.add_as_in_jiang2020(_name)
