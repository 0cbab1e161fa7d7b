"""Estimate expected sharpness and its standard error, against the KL term of the PAC-Bayes bound.

ν_i ~ N(0, σ_i²) with σ_i = α(10|w_i| + 1). For each α of a geometric grid: the expected sharpness
E_ν[L(f_{w+ν})] − L(f_w), KL = Σ w_i² / (2σ_i²), and the right-hand side of the paper's equation
(5). Small noise moves the loss up and down alike, so that pairs ±ν cancel nearly all of the
variance; large noise does not, and then a pair is no better than two draws: a pilot decides for
each α.

The trap avoided: sampling until the standard error is small stops where the samples happen to be
large and alike, or small, and is biased (by 0.3 to 4 %). Here pilot samples say how many draws a
point needs, and are then thrown away: the estimate is of fresh draws, of a number that they do not
influence, and so without bias.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from gentool.sharpness.definitions import defines
from gentool.sharpness.noise import Draws, Noise
from gentool.sharpness.objective import Objective

RATIO = 1.05
ANCHOR = 5e-4  # an α of the grid
LOWEST, HIGHEST = 0.002, 0.3  # expected sharpness at the ends of the curve
LEVEL = 0.05  # the paper's line
PILOT_ROUNDS = 3
FEWEST = 64  # samples before a standard error is trusted
PILOT_ERROR = 2.0  # relative standard error of the pilot, over that of the estimate
MARGIN = 1.25  # samples beyond those that the pilot asks for
MOST_ROUND = 1024  # more than the samples of one round
PILOT_SHARE = 4  # the pilot takes at most this part of the most draws allowed
Show = Callable[[int, int, int], None]
FARTHEST = 250  # grid steps from the anchor: α from 2.5e-9 to 99


@dataclass(frozen=True)
class ExpectedOptions:
    """Hold the settings of the sampling.

    `alpha` None: the whole curve. `precision`: standard error over the value that is aimed at.
    """

    alpha: float | None = None
    precision: float = 0.05
    most_draws: int = 20_000
    delta: float = 0.05
    seed: int = 0


@dataclass
class NoisePoint:
    """Accumulate samples of the rise of the loss at one α; a pair ±ν counts as one sample.

    `needed` is the number of samples, as the pilot says.
    """

    alpha: float
    paired: bool
    needed: int = FEWEST
    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    error_total: float = 0.0

    def add(self, samples: Tensor, errors: Tensor) -> None:
        self.count += len(samples)
        self.total += float(samples.sum())
        self.squares += float(samples.square().sum())
        self.error_total += float(errors.sum())

    @property
    @defines("expected_sharpness")
    def value(self) -> float:
        """Expected rise of the training loss under Gaussian noise, at one α.

            E_ν[L(f_{w+ν})] − L(f_w),  νᵢ ~ N(0, σᵢ²),  σᵢ = α(10|wᵢ|+1)

        Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
        """
        return self.total / self.count

    @property
    def error_rise(self) -> float:
        """Return the mean rise of the error, a fraction."""
        return self.error_total / self.count

    @property
    @defines("expected_sharpness_stderr")
    def stderr(self) -> float:
        """Standard error of the expected sharpness.

            s / √n over n independent draws, antithetic pairs counted as one

        Infinite for one sample.
        Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
        """
        if self.count < 2:
            return math.inf
        variance = (self.squares - self.total * self.value) / (self.count - 1)
        return math.sqrt(max(0.0, variance) / self.count)

    @property
    def draws(self) -> int:
        """Return the number of perturbations drawn."""
        return self.count * (2 if self.paired else 1)


@dataclass(frozen=True)
class NoiseCurve:
    """Hold the points in the order of α, and the reason if sampling stopped early."""

    points: list[NoisePoint]
    stopped: str | None = None
    notes: list[str] = field(default_factory=list)


def scale(weights: Tensor, alpha: float) -> Tensor:
    """Return σᵢ = α(10|wᵢ| + 1)."""
    return alpha * (10 * weights.abs() + 1)


def expected_curve(
    objective: Objective,
    options: ExpectedOptions,
    show: Show = lambda done, points, draws: None,
) -> NoiseCurve:
    """Sample the curve, or one point of it; after Ctrl-C return the samples so far, marked.

    `show` gets the number of points that are precise, that of all, and the most draws at a point,
    before every round.
    """
    noise = Noise(objective, options.seed)
    pilot = [noise.draw() for _ in range(PILOT_ROUNDS)]
    w, notes = objective.network.weights, []

    def mean_rise(alpha: float) -> float:
        rises = torch.cat([noise.rises(draws, scale(w, alpha))[0] for draws in pilot])
        mean = float(rises.mean())
        return mean if math.isfinite(mean) else math.inf

    if options.alpha is not None:
        alphas = [options.alpha]
    else:
        first = _crossing(mean_rise, LOWEST) - 1
        last = _crossing(mean_rise, HIGHEST)
        if last > FARTHEST:
            notes.append(f"expected_sharpness: stays below {HIGHEST} on the whole grid")
        alphas = [ANCHOR * RATIO**j for j in range(first, min(last, FARTHEST) + 1)]
    points: list[NoisePoint] = []
    stopped = None
    try:
        points = _planned(noise, pilot, alphas, options, show)
        stopped = _sample(noise, points, options, show)
    except KeyboardInterrupt:
        stopped = "interrupted"
    return NoiseCurve([point for point in points if point.count > 1], stopped, notes)


def _planned(
    noise: Noise,
    pilot: list[Draws],
    alphas: list[float],
    options: ExpectedOptions,
    show: Show,
) -> list[NoisePoint]:
    """Return a point for each α, without samples, that knows how many it needs: from a pilot."""
    w = noise.objective.network.weights
    pilots = [NoisePoint(alpha, _pairs_pay(noise, pilot, scale(w, alpha))) for alpha in alphas]
    for point in pilots:
        for draws in pilot:
            _add(noise, point, draws)
    most = options.most_draws // PILOT_SHARE
    enough = PILOT_ERROR * options.precision
    while is_open := [p for p in pilots if p.draws < most and not _is_precise(p, enough)]:
        show(0, len(pilots), max(point.draws for point in is_open))
        draws = noise.draw()
        for point in is_open:
            _add(noise, point, draws)
    return [NoisePoint(p.alpha, p.paired, _samples_needed(p, options)) for p in pilots]


def _samples_needed(pilot: NoisePoint, options: ExpectedOptions) -> int:
    """Return how many samples give the precision that is aimed at, by those of the pilot."""
    deviation = pilot.stderr * math.sqrt(pilot.count)
    if deviation == 0 or not math.isfinite(deviation):  # nothing moves, or the loss overflows
        return FEWEST
    aim = options.precision * abs(pilot.value)
    if aim * math.sqrt(options.most_draws) <= deviation:
        return 2 * options.most_draws + MOST_ROUND  # more than are ever drawn
    return max(FEWEST, math.ceil(MARGIN * (deviation / aim) ** 2))


def _sample(
    noise: Noise,
    points: list[NoisePoint],
    options: ExpectedOptions,
    show: Show,
) -> str | None:
    """Draw in rounds for every α that lacks samples; return the reason for an early end."""
    while open_points := [p for p in points if p.count < p.needed and not _is_exact(p)]:
        draws = max(point.draws for point in open_points)
        show(len(points) - len(open_points), len(points), draws)
        if draws >= options.most_draws:
            return "draws"
        draws = noise.draw()
        for point in open_points:
            _add(noise, point, draws)
    return None


def _add(noise: Noise, point: NoisePoint, draws: Draws) -> None:
    """Add the samples of some draws to a point."""
    sigma = scale(noise.objective.network.weights, point.alpha)
    samples, errors = noise.rises(draws, sigma)
    if point.paired:
        mirrored, mirrored_errors = noise.rises(draws, sigma, -1.0)
        samples, errors = (samples + mirrored) / 2, (errors + mirrored_errors) / 2
    point.add(samples, errors)


def _is_exact(point: NoisePoint) -> bool:
    return point.alpha == 0 and point.count > 1


def _is_precise(point: NoisePoint, precision: float) -> bool:
    """Return whether a standard error is that fraction of the value, or there is nothing to gain.

    A NaN or infinity ends the pilot: no number of samples would mend it.
    """
    if _is_exact(point):
        return True
    return point.count >= FEWEST and not point.stderr > precision * abs(point.value)


def _pairs_pay(noise: Noise, pilot: list, sigma: Tensor) -> bool:
    """Return whether a pair ±ν, at twice the cost, has less than half the variance of one draw."""
    plus = torch.cat([noise.rises(draws, sigma)[0] for draws in pilot])
    minus = torch.cat([noise.rises(draws, sigma, -1.0)[0] for draws in pilot])
    return bool(2 * ((plus + minus) / 2).var() < plus.var())


def _crossing(rise: Callable[[float], float], level: float) -> int:
    """Return the first grid step at which a growing function reaches a level, by bisection."""
    low, high = -FARTHEST, FARTHEST + 1
    while low < high:
        middle = (low + high) // 2
        if rise(ANCHOR * RATIO**middle) >= level:
            high = middle
        else:
            low = middle + 1
    return low


@dataclass(frozen=True)
class AtLevel:
    """Hold α and the KL term where expected sharpness reaches a level, with standard errors."""

    alpha: float
    alpha_stderr: float
    kl: float
    kl_stderr: float


@defines("expected_sharpness_alpha")
def at_level(curve: NoiseCurve, weights: Tensor, level: float = LEVEL) -> AtLevel | None:
    """Size of the noise at which the expected sharpness is {LEVEL}, with _stderr.

        α with E_ν[L(f_{w+ν})] − L(f_w) = {LEVEL}

    With the KL term there; log-linear between points, None where the curve does not reach `level`.
    The standard error of α is the curve's own over its slope; KL goes as α⁻², so its relative
    error is twice that of α.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    for below, above in pairwise(curve.points):
        if 0 < below.value < level <= above.value:
            slope = math.log(above.value / below.value) / math.log(above.alpha / below.alpha)
            alpha = below.alpha * (level / below.value) ** (1 / slope)
            nearer = below if level / below.value < above.value / level else above
            wide = _slope(curve.points, below.alpha)
            relative = nearer.stderr / nearer.value / wide
            kl_there = kl_at_level(weights, alpha)
            return AtLevel(alpha, alpha * relative, kl_there, 2 * relative * kl_there)
    return None


def _slope(points: list[NoisePoint], alpha: float) -> float:
    """Return d log E / d log α around an α, over five steps to either side, where noise cancels."""
    near = [p for p in points if abs(math.log(p.alpha / alpha)) < 5.5 * math.log(RATIO)]
    first, last = near[0], near[-1]
    if first.value <= 0 or last.value <= first.value:
        return 2.0  # a quadratic, as for small noise
    return math.log(last.value / first.value) / math.log(last.alpha / first.alpha)


@defines("expected_sharpness_kl")
def kl_at_level(weights: Tensor, alpha: float) -> float:
    """KL term where the expected sharpness is {LEVEL}, with _stderr.

        Σ wᵢ² / (2σᵢ²) at the α where E_ν[L(f_{w+ν})] − L(f_w) = {LEVEL}

    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    return kl(weights, alpha)


@defines("expected_sharpness_kl_at_alpha")
def kl(weights: Tensor, alpha: float) -> float:
    """KL term at the α that was asked for with --alpha.

        Σ wᵢ² / (2σᵢ²)

    The caption of the paper's Fig. 2 leaves out the ½.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    w = weights.double()
    return float((w / scale(w, alpha)).square().sum()) / 2


def pac_bayes_bound(loss: float, expected: float, kl: float, examples: int, delta: float) -> float:
    """Return the right-hand side of the paper's equation (5), for m examples.

        L(f_w) + (E_ν[L(f_{w+ν})] − L(f_w)) + 4 √((KL + ln(2m/δ)) / m)

    It guarantees nothing here, see `least_bound`; the paper uses it for the comparison all the
    same.
    """
    return loss + expected + 4 * math.sqrt((kl + math.log(2 * examples / delta)) / examples)


@defines("pac_bayes_bound")
def least_bound(
    points: list[NoisePoint], weights: Tensor, loss: float, examples: int, delta: float
) -> float:
    """Right-hand side of equation (5), the least over the grid; it guarantees nothing.
    The cross-entropy is not bounded, the prior depends on w, and sampling errors are left out; for
    a bound that holds see pac_bayes_error_bound.

        min over α of L(f_w) + expected sharpness + 4 √((KL + ln(2m n/δ)) / m),  n points

    δ/n for each point is a union bound over the grid, but n is known only after the data is seen,
    and for a prior N(0, σ²) of which σᵢ = α(10|wᵢ|+1) follows from the trained weights the theorem
    does not hold. The paper compares networks by it all the same.
    Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
    """
    each = delta / len(points)
    bounds = [
        pac_bayes_bound(loss, point.value, kl(weights, point.alpha), examples, each)
        for point in points
    ]
    return min((bound for bound in bounds if math.isfinite(bound)), default=math.inf)
