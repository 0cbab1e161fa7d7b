"""The table of what `gentool sharpness` reports: name, what it is, formula, source.

The measures of a trained network as it stands are functions of it, and live in a registry. These
are outcomes of a search or a sampling with settings of its own, so here stand their definitions
alone; the code that computes each is named beside it.
"""

from dataclasses import dataclass

NEYSHABUR = "Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017."
KESKAR = "Keskar et al., On Large-Batch Training for Deep Learning, ICLR 2017."

JIANG = "Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020."


@dataclass(frozen=True)
class Definition:
    """One reported quantity."""

    name: str
    summary: str
    formula: str
    source: str


SHARPNESS_MEASURES = (
    Definition(
        "sharpness",
        "Largest rise of the training loss found in the box: a lower bound of the maximum.",
        "max over |νᵢ| ≤ α(|wᵢ|+1) of L(f_{w+ν}) − L(f_w)",
        NEYSHABUR,
    ),
    Definition(
        "sharpness_keskar",
        "The same rise over one plus the loss; Keskar et al. multiply it by 100.",
        "sharpness / (1 + L(f_w))",
        KESKAR,
    ),
    Definition(
        "sharpness_first_order",
        "Rise of the linearised loss over the box; no bound, but near the rise for small α.",
        "Σ rᵢ |gᵢ|,  rᵢ = α(|wᵢ|+1),  g = ∇L(f_w)",
        KESKAR,
    ),
    Definition(
        "sharpness_interval_bound",
        "Upper bound of the rise by interval propagation, for MLPs; loose.",
        "mean over x of max log(1 + Σ_{j≠y} exp(f_j − f_y)) over intervals, − L(f_w)",
        "Gowal et al., On the Effectiveness of Interval Bound Propagation, 2018.",
    ),
    Definition(
        "sharpness_exact",
        "The maximum itself, of a linear model of 24 parameters at most, by enumeration.",
        "max over νᵢ ∈ {−rᵢ, rᵢ} of L(f_{w+ν}) − L(f_w)",
        NEYSHABUR,
    ),
    Definition(
        "sharpness_keskar2017",
        "Keskar et al.'s protocol: ten iterations of L-BFGS-B, as a percentage.",
        "100 · rise / (1 + L(f_w))",
        KESKAR,
    ),
    Definition(
        "sharpness_m",
        "Largest rise of each mini-batch of 128 in a box of its own, averaged.",
        "mean over B of max over |νᵢ| ≤ α(|wᵢ|+1) of L_B(f_{w+ν}) − L_B(f_w)",
        "Foret et al., Sharpness-Aware Minimization, ICLR 2021.",
    ),
    Definition(
        "expected_sharpness",
        "Expected rise of the training loss under Gaussian noise, at one α.",
        "E_ν[L(f_{w+ν})] − L(f_w),  νᵢ ~ N(0, σᵢ²),  σᵢ = α(10|wᵢ|+1)",
        NEYSHABUR,
    ),
    Definition(
        "expected_sharpness_stderr",
        "Standard error of the expected sharpness.",
        "s / √n over n independent draws, antithetic pairs counted as one",
        NEYSHABUR,
    ),
    Definition(
        "expected_sharpness_alpha",
        "Size of the noise at which the expected sharpness is 0.05, with _stderr.",
        "α with E_ν[L(f_{w+ν})] − L(f_w) = 0.05",
        NEYSHABUR,
    ),
    Definition(
        "expected_sharpness_kl",
        "KL term where the expected sharpness is 0.05 (or at --alpha), with _stderr.",
        "Σ wᵢ² / (2σᵢ²)",
        NEYSHABUR,
    ),
    Definition(
        "pac_bayes_bound",
        "PAC-Bayes bound of equation (5), the least over the grid, with a union bound over it.",
        "min over α of L(f_w) + expected sharpness + 4 √((KL + ln(2m n/δ)) / m),  n points",
        NEYSHABUR,
    ),
    Definition(
        "hessian_top_eigenvalue",
        "Largest eigenvalue of the Hessian of the training loss at w.",
        "λ_max(∇²L(f_w)), from below, by 24 Lanczos steps",
        "Ghorbani et al., An Investigation into Neural Net Optimization, ICML 2019.",
    ),
    Definition(
        "hessian_trace",
        "Trace of that Hessian, with _stderr.",
        "E[vᵀ ∇²L v], v random signs, 32 of them",
        "Hutchinson, A Stochastic Estimator of the Trace, 1990.",
    ),
    Definition(
        "pac_bayes_sigma",
        "Standard deviation of the noise that costs 0.1 of the training accuracy.",
        "σ with E_ν[error(f_{w+ν})] − error(f_w) = 0.1,  νᵢ ~ N(0, σ²)",
        JIANG,
    ),
    Definition(
        "pac_bayes_sigma_magnitude",
        "The same with noise in proportion to each weight.",
        "νᵢ ~ N(0, σ² wᵢ² + ε²),  ε = 0.001",
        JIANG,
    ),
    Definition(
        "sharpness_magnitude",
        "Largest rise found where each parameter may move by a fraction of itself alone.",
        "max over |νᵢ| ≤ α|wᵢ| of L(f_{w+ν}) − L(f_w)",
        JIANG,
    ),
)
