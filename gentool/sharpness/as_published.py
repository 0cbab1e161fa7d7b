"""Define the flatness measures as the public code of Dziugaite et al. computes them.

It differs from the formulas of Jiang et al. in two points: the noise of the search has the variance
as its deviation, and ω and the norms leave the biases out. Its numbers are reported as √(value/m),
as the measures named `_over_m`.
"""

from gentool.sharpness import jiang2020
from gentool.sharpness.definitions import defines
from gentool.sharpness.jiang2020 import Sizes


@defines("pac_bayes_init_as_published", "jiang2020", over_m=True)
def pac_bayes_init_as_published(sigma: float, weights: Sizes) -> float | None:
    """Equation 48 as in public code: its σ, and weights without biases.

        ‖w − w⁰‖² / (4σ²) + ln(m/σ) + 10,  σ = pac_bayes_sigma_as_published

    Dziugaite et al., In Search of Robust Measures of Generalization, NeurIPS 2020.
    """
    return jiang2020.pac_bayes_init(sigma, weights)


@defines("pac_bayes_orig_as_published", "jiang2020", over_m=True)
def pac_bayes_orig_as_published(sigma: float, weights: Sizes) -> float:
    """Equation 49 as in public code: its σ, and weights without biases.

        ‖w‖² / (4σ²) + ln(m/σ) + 10,  σ = pac_bayes_sigma_as_published

    Dziugaite et al., In Search of Robust Measures of Generalization, NeurIPS 2020.
    """
    return jiang2020.pac_bayes_orig(sigma, weights)


@defines("pac_bayes_flatness_as_published", "jiang2020", over_m=True)
def pac_bayes_flatness_as_published(sigma: float, weights: Sizes) -> float:
    """Equation 53 as in public code.

        1 / σ²,  σ = pac_bayes_sigma_as_published

    Dziugaite et al., In Search of Robust Measures of Generalization, NeurIPS 2020.
    """
    return jiang2020.pac_bayes_flatness(sigma, weights)


@defines("pac_bayes_magnitude_init_as_published", "jiang2020", over_m=True)
def pac_bayes_magnitude_init_as_published(sigma: float, weights: Sizes) -> float | None:
    """Equation 56 as in public code: its σ′, and weights without biases.

        ¼ Σᵢ ln[(ε² + (σ′² + 1) ‖w − w⁰‖²/ω) / (ε² + σ′² |wᵢ − wᵢ⁰|²)] + ln(m/σ′) + 10

    σ′ is pac_bayes_sigma_magnitude_as_published, ε = 0.001, ω the number of weights.
    Dziugaite et al., In Search of Robust Measures of Generalization, NeurIPS 2020.
    """
    return jiang2020.pac_bayes_magnitude_init(sigma, weights)


@defines("pac_bayes_magnitude_orig_as_published", "jiang2020", over_m=True)
def pac_bayes_magnitude_orig_as_published(sigma: float, weights: Sizes) -> float | None:
    """Equation 57 as in public code: its σ′, and weights without biases.

        ¼ Σᵢ ln[(ε² + (σ′² + 1) ‖w‖²/ω) / (ε² + σ′² |wᵢ − wᵢ⁰|²)] + ln(m/σ′) + 10

    σ′ is pac_bayes_sigma_magnitude_as_published, ε = 0.001, ω the number of weights.
    Dziugaite et al., In Search of Robust Measures of Generalization, NeurIPS 2020.
    """
    return jiang2020.pac_bayes_magnitude_orig(sigma, weights)


@defines("pac_bayes_magnitude_flatness_as_published", "jiang2020", over_m=True)
def pac_bayes_magnitude_flatness_as_published(sigma: float, weights: Sizes) -> float:
    """Equation 61 as in public code.

        1 / σ′²,  σ′ = pac_bayes_sigma_magnitude_as_published

    Dziugaite et al., In Search of Robust Measures of Generalization, NeurIPS 2020.
    """
    return jiang2020.pac_bayes_magnitude_flatness(sigma, weights)
