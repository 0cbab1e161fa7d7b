"""Turn the levels σ, σ′, α and α′ into the flatness measures of Jiang et al., equations 48 to 62.

Each function takes a level and the sizes of the network, and is larger for sharper minima. All but
the flatness forms are the complexity terms of bounds; `normalised.over_m` divides them by m.
"""

from dataclasses import dataclass
from math import log, sqrt

import torch
from torch import Tensor

from gentool.sharpness.definitions import defines
from gentool.sharpness.pac_bayes_sigma import FLOOR

TEN = 10  # the constant of these bounds
CONFIDENCE = 0.05  # δ in equations 59 and 60, where the paper leaves it open


@dataclass(frozen=True)
class Sizes:
    """Hold what the formulas need besides a level.

    `norm` is ‖w‖², `movement` the vector w − w⁰, None where the initial weights are unknown;
    `parameters` is ω, `images` is m. The parameters are those of the perturbed network, biases
    included.
    """

    norm: float
    movement: Tensor | None  # (ω,), float64
    parameters: int
    images: int

    @classmethod
    def of(
        cls, weights: Tensor, initial: Tensor | None, images: int, chosen: Tensor | None = None
    ) -> "Sizes":
        """Return the sizes of weights (P,), or of the chosen ones alone, bool (P,)."""
        w = weights.double()
        movement = None if initial is None else w - initial.to(w)
        if chosen is not None:
            w, movement = w[chosen], None if movement is None else movement[chosen]
        return cls(float(w.square().sum()), movement, len(w), images)

    @property
    def distance(self) -> float | None:
        """Return ‖w − w⁰‖²."""
        return None if self.movement is None else float(self.movement.square().sum())


@defines("pac_bayes_init", "jiang2020", over_m=True)
def pac_bayes_init(sigma: float, sizes: Sizes) -> float | None:
    """PAC-Bayes bound around the initial weights; equation 48.

        ‖w − w⁰‖² / (4σ²) + ln(m/σ) + {TEN}

    σ is pac_bayes_sigma, m the number of training images.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return _bound(sizes.distance, sigma, sizes)


@defines("pac_bayes_orig", "jiang2020", over_m=True)
def pac_bayes_orig(sigma: float, sizes: Sizes) -> float:
    """PAC-Bayes bound around the origin; equation 49.

        ‖w‖² / (4σ²) + ln(m/σ) + {TEN}

    σ is pac_bayes_sigma, m the number of training images.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return _bound(sizes.norm, sigma, sizes)


@defines("sharpness_init", "jiang2020", over_m=True)
def sharpness_init(alpha: float, sizes: Sizes) -> float | None:
    """Sharpness bound around the initial weights; equation 51.

        ‖w − w⁰‖² ln(2ω) / (4α²) + ln(m/σ) + {TEN},  σ = α / √ln(2ω)

    α is sharpness_alpha, ω the number of parameters. It is equation 48 at the σ whose noise stays,
    up to a factor, in the box.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return pac_bayes_init(_noise_in_box(alpha, sizes), sizes)


@defines("sharpness_orig", "jiang2020", over_m=True)
def sharpness_orig(alpha: float, sizes: Sizes) -> float:
    """Sharpness bound around the origin; equation 52.

        ‖w‖² ln(2ω) / (4α²) + ln(m/σ) + {TEN},  σ = α / √ln(2ω)

    α is sharpness_alpha, ω the number of parameters.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return pac_bayes_orig(_noise_in_box(alpha, sizes), sizes)


@defines("pac_bayes_flatness", "jiang2020", over_m=True)
def pac_bayes_flatness(sigma: float, sizes: Sizes) -> float:
    """Inverse of the squared noise level; equation 53.

        1 / σ²

    σ is pac_bayes_sigma.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return sigma**-2


@defines("sharpness_flatness", "jiang2020", over_m=True)
def sharpness_flatness(alpha: float, sizes: Sizes) -> float:
    """Inverse of the squared size of the box; equation 54.

        1 / α²

    α is sharpness_alpha.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return alpha**-2


@defines("pac_bayes_magnitude_init", "jiang2020", over_m=True)
def pac_bayes_magnitude_init(sigma: float, sizes: Sizes) -> float | None:
    """Magnitude-aware PAC-Bayes bound around the initial weights; equation 56.

        ¼ Σᵢ ln[(ε² + (σ′² + 1) ‖w − w⁰‖²/ω) / (ε² + σ′² |wᵢ − wᵢ⁰|²)] + ln(m/σ′) + {TEN}

    σ′ is pac_bayes_sigma_magnitude, ε = 0.001, ω the number of parameters.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return _magnitude_bound(sizes.distance, sigma, 1.0, sizes)


@defines("pac_bayes_magnitude_orig", "jiang2020", over_m=True)
def pac_bayes_magnitude_orig(sigma: float, sizes: Sizes) -> float | None:
    """Magnitude-aware PAC-Bayes bound around the origin; equation 57.

        ¼ Σᵢ ln[(ε² + (σ′² + 1) ‖w‖²/ω) / (ε² + σ′² |wᵢ − wᵢ⁰|²)] + ln(m/σ′) + {TEN}

    As the paper has it, with the movement of each weight in the denominator; a derivation around
    the origin would have wᵢ there.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return _magnitude_bound(sizes.norm, sigma, 1.0, sizes)


@defines("sharpness_magnitude_init", "jiang2020", over_m=True)
def sharpness_magnitude_init(alpha: float, sizes: Sizes) -> float | None:
    """Magnitude-aware sharpness bound around the initial weights; equation 59.

        ¼ Σᵢ ln[(ε² + (α′² + 4c) ‖w − w⁰‖²/ω) / (ε² + α′² |wᵢ − wᵢ⁰|²)] + ln(m/σ′) + {TEN}

    c = ln(2ω/δ) with δ = {CONFIDENCE}, σ′ = α′/√(4c); α′ is sharpness_alpha_magnitude, ε = 0.001.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return _magnitude_bound(sizes.distance, alpha, _spread(sizes), sizes)


@defines("sharpness_magnitude_orig", "jiang2020", over_m=True)
def sharpness_magnitude_orig(alpha: float, sizes: Sizes) -> float | None:
    """Magnitude-aware sharpness bound around the origin; equation 60.

        ¼ Σᵢ ln[(ε² + (α′² + 4c) ‖w‖²/ω) / (ε² + α′² |wᵢ − wᵢ⁰|²)] + ln(m/σ′) + {TEN}

    c and σ′ as in sharpness_magnitude_init; the denominator as in pac_bayes_magnitude_orig.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return _magnitude_bound(sizes.norm, alpha, _spread(sizes), sizes)


@defines("pac_bayes_magnitude_flatness", "jiang2020", over_m=True)
def pac_bayes_magnitude_flatness(sigma: float, sizes: Sizes) -> float:
    """Inverse of the squared magnitude-aware noise level; equation 61.

        1 / σ′²

    σ′ is pac_bayes_sigma_magnitude.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return sigma**-2


@defines("sharpness_magnitude_flatness", "jiang2020", over_m=True)
def sharpness_magnitude_flatness(alpha: float, sizes: Sizes) -> float:
    """Inverse of the squared size of the magnitude-aware box; equation 62.

        1 / α′²

    α′ is sharpness_alpha_magnitude. (sharpness_magnitude is the rise of the loss in such a box.)
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return alpha**-2


def _bound(square: float | None, sigma: float, sizes: Sizes) -> float | None:
    return None if square is None else square / (4 * sigma**2) + log(sizes.images / sigma) + TEN


def _noise_in_box(alpha: float, sizes: Sizes) -> float:
    return alpha / sqrt(log(2 * sizes.parameters))


def _spread(sizes: Sizes) -> float:
    """Return the number by which α′² is larger than the σ′² of the noise that it bounds."""
    return 4 * log(2 * sizes.parameters / CONFIDENCE)


def _magnitude_bound(
    square: float | None, level: float, spread: float, sizes: Sizes
) -> float | None:
    """Return the bound with numerators of `square`, ‖·‖²; None without the initial weights."""
    if square is None or sizes.movement is None:
        return None
    above = FLOOR**2 + (level**2 + spread) * square / sizes.parameters
    below = FLOOR**2 + (level * sizes.movement).square()
    total = float((log(above) - torch.log(below)).sum())
    return total / 4 + log(sizes.images * sqrt(spread) / level) + TEN
