"""Register the measures of Jiang et al. that differ from the plain ones by their normalisation.

Their margin is the 10th percentile of the training margins; the plain names take the ε of
`--epsilon`, 0.05 by default. A path norm passes the largest path sum through a max pooling, as a
forward pass of their code does. Bounds are reported as √(measure / m), named `_over_m`. Public code
takes the spectral norms of circular convolutions at the size of the images, whatever the size of
the maps is: `_as_published`.
"""

from gentool.measures import (  # noqa: F401 - the families that it takes from
    image_gradients,
    margin,
    norms,
    outputs,
    path_norms,
    sizes,
    spectral_complexity,
    training_record,
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

EQUATIONS = {
    20: "parameters",
    22: "inverse_margin_jiang2020",
    23: "negative_entropy",
    29: "pac_bayes_spectral_distance_jiang2020",
    30: "pac_bayes_spectral_jiang2020",
    31: "spectral_jiang2020",
    32: "spectral_unnormalized",
    33: "frobenius_over_spectral",
    34: "spectral_sum_jiang2020",
    35: "spectral_sum_unnormalized",
    36: "l2_jiang2020",
    37: "l2_unnormalized",
    38: "frobenius_sum_jiang2020",
    39: "frobenius_sum_unnormalized",
    40: "distance_frobenius",
    41: "distance_spectral",
    42: "sum_of_squares",
    43: "l2_path_maxpool_jiang2020",
    44: "l2_path_maxpool_unnormalized",
    45: "fisher_rao",
    48: "pac_bayes_init",
    49: "pac_bayes_orig",
    51: "sharpness_init",
    52: "sharpness_orig",
    53: "pac_bayes_flatness",
    54: "sharpness_flatness",
    56: "pac_bayes_magnitude_init",
    57: "pac_bayes_magnitude_orig",
    59: "sharpness_magnitude_init",
    60: "sharpness_magnitude_orig",
    61: "pac_bayes_magnitude_flatness",
    62: "sharpness_magnitude_flatness",
    63: "steps_to_loss_0_1",
    64: "steps_from_loss_0_1_to_0_01",
    65: "gradient_noise_first_epoch",
    66: "gradient_noise",
}
"""The measure of each equation of arXiv 1912.02178; `gentool sharpness` computes 48 to 62."""
OF_SHARPNESS = range(48, 63)
WITHOUT_M = (23, 63, 64, 65, 66)  # no complexity terms of a bound
AS_PUBLISHED = {
    29: "pac_bayes_spectral_distance",
    30: "pac_bayes_spectral",
    31: "spectral",
    32: "spectral_unnormalized",
    33: "frobenius_over_spectral",
    34: "spectral_sum",
    35: "spectral_sum_unnormalized",
    41: "distance_spectral",
}
"""The measures with spectral norms, of which public code has others."""

for _name in AS_PUBLISHED.values():
    MEASURES.add_as_published(_name)
for _equation, _name in EQUATIONS.items():
    if _equation not in OF_SHARPNESS:
        MEASURES.add_to_group("jiang2020", _name)
        MEASURES.add_to_summary(_name, f"equation {_equation} of Jiang et al.")
        if _equation not in WITHOUT_M:
            MEASURES.add_over_m(_name)
for _name in AS_PUBLISHED.values():
    MEASURES.add_over_m(f"{_name}_as_published")
