"""Search the size of the box at which the training accuracy can fall by a tenth: α of Jiang et al.

The size is bisected. A point of a smaller box is in every larger one, so that a success at one size
holds for all above: the value is an upper bound of the true size, proven by a point that is
evaluated in float64. A weaker search would report a larger size. A first bracket is sought on a
part of the images, where passes are cheap.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from gentool.numerics.device import fast_products
from gentool.sharpness.box import Box, box
from gentool.sharpness.definitions import defines
from gentool.sharpness.evaluate import evaluate_point
from gentool.sharpness.objective import GRADIENT_COST, Objective
from gentool.sharpness.pac_bayes_sigma import DROP, FLOOR
from gentool.sharpness.search.accuracy_attack import STEPS, NearestImages, attack
from gentool.sharpness.search.state import OutOfTimeError
from gentool.sharpness.worst_case import WorstCaseSearch, check_inside

TOLERANCE = 0.01  # relative width of the bracket at the end
FIRST = 1e-3  # size that is tried first
COARSE_FACTOR, FINE_FACTOR = 4.0, 1.15  # of the steps to a bracket
SMALLEST, LARGEST = 1e-7, 1e3
FINEST = 1e-5  # of the largest weight; float32 has too few points in smaller boxes
COARSE_IMAGES = 512  # on which a first bracket is sought
COARSE_WIDTH = 1.2  # ratio of its ends

Faces = Callable[[float, torch.dtype], Box]
"""From a size to the box."""


@dataclass(frozen=True)
class BoxSize:
    """Hold the smallest size at which the accuracy was seen to fall by DROP.

    `low` is the largest smaller size that was tried, without success; `error` is the training error
    at the point found, in float64.
    """

    value: float
    low: float
    error: float
    units: float


@defines("sharpness_alpha", "jiang2020")
def sharpness_alpha(search: WorstCaseSearch) -> BoxSize | None:
    """Size of the box in which a point costs 0.1 of the training accuracy.

        least α with max over |νᵢ| ≤ α of error(f_{w+ν}) − error(f_w) ≥ 0.1

    By bisection to a relative {TOLERANCE}; an upper bound of the least α, proven by a point. Larger
    means flatter. Jiang et al. search the point by mini-batch gradient ascent.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    w = search.network.weights
    return _bisected(search, lambda alpha, dtype: box(w, alpha, dtype, relative=0.0))


@defines("sharpness_alpha_magnitude", "jiang2020")
def sharpness_alpha_magnitude(search: WorstCaseSearch) -> BoxSize | None:
    """The same in a box in proportion to each weight, α′ of Jiang et al.

        least α′ with max over |νᵢ| ≤ α′|wᵢ| + ε of error(f_{w+ν}) − error(f_w) ≥ 0.1,  ε = 0.001

    By bisection as for sharpness_alpha. None if ε alone is enough.
    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    w = search.network.weights
    return _bisected(search, lambda alpha, dtype: box(w, alpha, dtype, FLOOR / alpha))


@dataclass
class _Bisection:
    """Hold a bisection: the attack, its candidates, the largest failure, and points of successes.

    `attack` takes a box and a pool, and returns a point and a pool.
    """

    attack: Callable[..., tuple[Tensor | None, Tensor]]
    pool: Tensor | None = None
    low: float = 0.0
    successes: dict[float, Tensor] = field(default_factory=dict)

    def try_size(self, size: float, within: Box) -> None:
        """Attack in a box of this size, and note whether enough images were wrong."""
        point, self.pool = self.attack(within=within, pool=self.pool)
        if point is None:
            self.low = max(self.low, size)
        else:
            self.successes[size] = point

    @property
    def high(self) -> float:
        return min(self.successes, default=math.inf)

    def next_size(self, width: float, factor: float) -> float | None:
        """Return the size to try next; None if the bracket is narrow, or the range is left."""
        if self.high < math.inf and self.low > 0:
            return math.sqrt(self.low * self.high) if self.high > width * self.low else None
        if self.high == math.inf:
            size = FIRST if self.low == 0 else self.low * factor
        else:
            size = self.high / factor
        return size if SMALLEST <= size <= LARGEST else None


def _bisected(search: WorstCaseSearch, faces: Faces) -> BoxSize | None:
    """Return the size of the box at which the accuracy falls by DROP; None if there is none."""
    target = search.before.error + DROP - 1e-9
    if target > 1 or search.options.seconds == 0:
        return None
    dtype = search.prepared.dtype
    size = _bisected_in(search, faces, dtype, target)
    scale = max(1.0, float(search.network.weights.abs().max()))
    if size is not None and size.low < FINEST * scale and dtype is not torch.float64:
        return _bisected_in(search, faces, torch.float64, target)
    return size


def _bisected_in(
    search: WorstCaseSearch, faces: Faces, dtype: torch.dtype, target: float
) -> BoxSize | None:
    state, _ = search.state(0.0, dtype)
    whole = state.objective
    images = min(COARSE_IMAGES, len(whole))
    state.expected_units = _expected_units(images / len(whole))
    order = torch.randperm(len(whole), generator=state.generator)[:images].to(state.center.device)
    try:
        with fast_products():
            part = whole.part(order)
            wrong = _wrong(part, state.center)
            lowered = partial(attack, part, wrong=wrong, nearest=NearestImages.of(part, wrong))
            coarse = _Bisection(partial(lowered, towards_classes=True))
            while (size := coarse.next_size(COARSE_WIDTH, COARSE_FACTOR)) is not None:
                coarse.try_size(size, faces(size, dtype))
            if coarse.high == math.inf:
                return None
            if images == len(whole):
                fine = replace(coarse, attack=partial(lowered, towards_classes=False))
            else:
                wrong = math.ceil(target * len(whole))
                nearest = NearestImages.of(whole, wrong)
                lowered = partial(attack, whole, wrong=wrong, nearest=nearest)
                fine = _Bisection(partial(lowered, towards_classes=False), coarse.pool)
                fine.try_size(coarse.high, faces(coarse.high, dtype))
            while (size := fine.next_size(1 + TOLERANCE, FINE_FACTOR)) is not None:
                fine.try_size(size, faces(size, dtype))
    except OutOfTimeError:
        return None
    return _proven(search, faces, dtype, fine, target, state.units_spent)


def _expected_units(share: float) -> float:
    """Return about what a bisection costs, in passes; `share` is that of the coarse images."""
    steps = (GRADIENT_COST + 1) * len(STEPS)
    return 3 * share + steps * (5 * 10 * share + 3 * 5)


def _wrong(objective: Objective, center: Tensor) -> int:
    """Return how many of the images have to be wrong for the accuracy to have fallen by DROP."""
    already = float((objective.margins(center[None])[0] < 0).double().mean())
    return math.ceil((already + DROP) * len(objective) - 1e-9)


def _proven(
    search: WorstCaseSearch,
    faces: Faces,
    dtype: torch.dtype,
    fine: _Bisection,
    target: float,
    units: float,
) -> BoxSize | None:
    """Return the smallest size whose point meets the target in float64.

    None if there is none, or if no smaller size failed: then the least size is not known.
    """
    low = fine.low
    for size, point in sorted(fine.successes.items()):
        check_inside(faces(size, dtype), point)
        error = evaluate_point(search.network, search.prepared.examples, point).error
        if error >= target:
            return BoxSize(size, low, error, units) if low > 0 else None
        low = size
    return None
