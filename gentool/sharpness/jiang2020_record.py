"""Compute σ, σ′, α and α′ and all that follows from them, each with its error, for a record."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gentool.common.json import Json, finite
from gentool.sharpness import as_published, jiang2020
from gentool.sharpness.accuracy_box import BoxSize, sharpness_alpha, sharpness_alpha_magnitude
from gentool.sharpness.functional import FunctionalNetwork
from gentool.sharpness.jiang2020 import Sizes
from gentool.sharpness.objective import Objective
from gentool.sharpness.pac_bayes_sigma import (
    NoiseLevel,
    pac_bayes_sigma,
    pac_bayes_sigma_as_published,
    pac_bayes_sigma_magnitude,
    pac_bayes_sigma_magnitude_as_published,
)
from gentool.sharpness.worst_case import WorstCaseSearch

STEP = 1e-3  # relative, of the level, over which the slope of a measure is taken

Formula = Callable[[float, Sizes], float | None]
OF_LEVELS: dict[str, tuple[Formula, ...]] = {
    "pac_bayes_sigma": (
        jiang2020.pac_bayes_init,
        jiang2020.pac_bayes_orig,
        jiang2020.pac_bayes_flatness,
    ),
    "pac_bayes_sigma_magnitude": (
        jiang2020.pac_bayes_magnitude_init,
        jiang2020.pac_bayes_magnitude_orig,
        jiang2020.pac_bayes_magnitude_flatness,
    ),
    "pac_bayes_sigma_as_published": (
        as_published.pac_bayes_init_as_published,
        as_published.pac_bayes_orig_as_published,
        as_published.pac_bayes_flatness_as_published,
    ),
    "pac_bayes_sigma_magnitude_as_published": (
        as_published.pac_bayes_magnitude_init_as_published,
        as_published.pac_bayes_magnitude_orig_as_published,
        as_published.pac_bayes_magnitude_flatness_as_published,
    ),
    "sharpness_alpha": (
        jiang2020.sharpness_init,
        jiang2020.sharpness_orig,
        jiang2020.sharpness_flatness,
    ),
    "sharpness_alpha_magnitude": (
        jiang2020.sharpness_magnitude_init,
        jiang2020.sharpness_magnitude_orig,
        jiang2020.sharpness_magnitude_flatness,
    ),
}
"""The formulas that take each level."""

Values = Iterator[tuple[str, float | None]]


def jiang2020_values(
    search: WorstCaseSearch,
    objective: Objective,
    initial: Tensor | None,
    about: Json,
    rel_error: float | None,
) -> Values:
    """Compute the levels and their measures one by one: name and value.

    `initial` are the parameters before training, (P,), None if they are unknown. Brackets and the
    numbers of draws go into `about`, by the name of the level.
    """
    network, images = search.network, len(objective)
    sizes = Sizes.of(network.weights, initial, images)
    weights_alone = Sizes.of(network.weights, initial, images, chosen=_are_weights(network))
    seed = search.options.seed
    sigma = pac_bayes_sigma(objective, seed, rel_error)
    yield from _of_noise("pac_bayes_sigma", sigma, sizes, about)
    level = pac_bayes_sigma_magnitude(objective, seed, rel_error)
    yield from _of_noise("pac_bayes_sigma_magnitude", level, sizes, about)
    level = None if sigma is None else pac_bayes_sigma_as_published(sigma)
    yield from _of_noise("pac_bayes_sigma_as_published", level, weights_alone, about)
    level = pac_bayes_sigma_magnitude_as_published(objective, seed, rel_error)
    yield from _of_noise("pac_bayes_sigma_magnitude_as_published", level, weights_alone, about)
    yield from _of_box("sharpness_alpha", sharpness_alpha(search), sizes, about)
    yield from _of_box("sharpness_alpha_magnitude", sharpness_alpha_magnitude(search), sizes, about)


def _are_weights(network: FunctionalNetwork) -> Tensor:
    """Return which parameters are weights, neither biases nor of batch norm: bool, (P,)."""
    parts = [
        torch.full((size,), len(shape) > 1)
        for size, shape in zip(network.sizes, network.shapes, strict=True)
    ]
    return torch.cat(parts).to(network.weights.device)


def _of_noise(name: str, level: NoiseLevel | None, sizes: Sizes, about: Json) -> Values:
    """Yield a noise level and its measures, each with its standard error, and divided by m."""
    yield name, None if level is None else level.value
    yield f"{name}_stderr", None if level is None else finite(level.stderr)
    if level is not None:
        about[name] = {"bracket": [level.low, level.high], "draws": level.draws}
    for formula in OF_LEVELS[name]:
        value = error = None
        if level is not None and (value := formula(level.value, sizes)) is not None:
            above = formula(level.value * (1 + STEP), sizes)
            below = formula(level.value * (1 - STEP), sizes)
            error = abs(above - below) / (2 * STEP * level.value) * level.stderr
        yield from _with_over_m(formula.__name__, value, error, sizes.images, has_error=True)


def _of_box(name: str, size: BoxSize | None, sizes: Sizes, about: Json) -> Values:
    """Yield the size of a box and its measures, and these divided by m."""
    yield name, None if size is None else size.value
    if size is not None:
        about[name] = {
            "bracket": [size.low, size.value],
            "error": size.error,
            "units": round(size.units, 3),
        }
    for formula in OF_LEVELS[name]:
        value = None if size is None else formula(size.value, sizes)
        yield from _with_over_m(formula.__name__, value, None, sizes.images, has_error=False)


def _with_over_m(
    name: str, value: float | None, error: float | None, images: int, *, has_error: bool
) -> Values:
    """Yield a measure and √(measure / m), with their standard errors."""
    root = math.sqrt(value / images) if value is not None and value >= 0 else None
    of_root = None if error is None or not root else error / (2 * root * images)
    yield name, None if value is None else finite(value)
    if has_error:
        yield f"{name}_stderr", None if error is None else finite(error)
    yield f"{name}_over_m", root if root is None else finite(root)
    if has_error:
        yield f"{name}_over_m_stderr", None if of_root is None else finite(of_root)
