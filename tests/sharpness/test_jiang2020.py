"""The measures of Jiang et al. that follow from noise levels and boxes agree with their origins."""

import math

import pytest
import torch
from helpers.sharpness_helpers import mlp_case
from scipy.optimize import minimize_scalar
from torch.distributions import Normal, kl_divergence

from gentool.cli.main import run
from gentool.records import measure_file
from gentool.sharpness import as_published, jiang2020
from gentool.sharpness.functional import functional_network
from gentool.sharpness.jiang2020 import Sizes
from gentool.sharpness.jiang2020_record import OF_LEVELS
from gentool.sharpness.noise import Noise
from gentool.sharpness.pac_bayes_sigma import pac_bayes_sigma_magnitude_as_published
from gentool.sharpness.prepared import PreparedNetwork

EPSILON, DELTA = 0.001, 0.05
IMAGES = 400


@pytest.fixture(scope="module")
def weights():
    generator = torch.Generator().manual_seed(0)
    w0 = torch.randn(50, generator=generator).double()
    return w0 + 0.3 * torch.randn(50, generator=generator).double(), w0


def divergence(w, noise, centre):
    """Return the least KL(N(w, noise²) ‖ N(centre, s² I)) over s, by a numerical search."""

    def of(log_s):
        prior = Normal(centre, torch.full_like(w, math.exp(log_s)))
        return float(kl_divergence(Normal(w, noise), prior).sum())

    return minimize_scalar(of, bounds=(-15, 5), method="bounded", options={"xatol": 1e-10}).fun


@pytest.mark.parametrize("sigma", [0.01, 0.2])
def test_pac_bayes_init_and_orig_are_half_a_divergence(weights, sigma):
    """Equations 48 and 49: prior and posterior of one deviation."""
    w, w0 = weights
    sizes = Sizes.of(w, w0, IMAGES)
    for formula, centre in (
        (jiang2020.pac_bayes_init, w0),
        (jiang2020.pac_bayes_orig, torch.zeros_like(w)),
    ):
        deviation = torch.full_like(w, sigma)
        half = float(kl_divergence(Normal(w, deviation), Normal(centre, deviation)).sum()) / 2
        expected = half + math.log(IMAGES / sigma) + 10
        assert formula(sigma, sizes) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sigma", [0.05, 0.4])
def test_pac_bayes_magnitude_init_is_half_the_least_divergence(weights, sigma):
    """Equation 56: noise of deviation √(σ′²(wᵢ − wᵢ⁰)² + ε²), and the best prior around w⁰."""
    w, w0 = weights
    noise = (sigma**2 * (w - w0).square() + EPSILON**2).sqrt()
    expected = divergence(w, noise, w0) / 2 + math.log(IMAGES / sigma) + 10
    sizes = Sizes.of(w, w0, IMAGES)
    assert jiang2020.pac_bayes_magnitude_init(sigma, sizes) == pytest.approx(expected, rel=1e-9)


def test_sharpness_magnitude_init_is_that_of_the_noise_that_the_box_holds(weights):
    """Equation 59: σ′ and the floor are √(4 ln(2ω/δ)) times smaller than the box."""
    w, w0 = weights
    alpha, spread = 0.3, 4 * math.log(2 * 50 / DELTA)
    sigma, floor = alpha / math.sqrt(spread), EPSILON / math.sqrt(spread)
    noise = (sigma**2 * (w - w0).square() + floor**2).sqrt()
    expected = divergence(w, noise, w0) / 2 + math.log(IMAGES / sigma) + 10
    sizes = Sizes.of(w, w0, IMAGES)
    assert jiang2020.sharpness_magnitude_init(alpha, sizes) == pytest.approx(expected, rel=1e-9)


def test_the_other_formulas_are_plain_sums(weights):
    """Equations 51, 52, 53, 54, 57, 60, 61 and 62, term by term in plain Python."""
    w, w0 = (part.tolist() for part in weights)
    moved = [a - b for a, b in zip(w, w0, strict=True)]
    norm, distance, count, level = sum(a * a for a in w), sum(a * a for a in moved), len(w), 0.2
    L = math.log(2 * count)
    spread = 4 * math.log(2 * count / DELTA)

    def of_magnitudes(square, more):
        ratios = [
            (EPSILON**2 + (level**2 + more) * square / count)
            / (EPSILON**2 + level**2 * abs(m) ** 2)
            for m in moved
        ]
        return sum(map(math.log, ratios)) / 4 + 10

    expected = {
        "sharpness_init": distance * L / (4 * level**2)
        + math.log(IMAGES * math.sqrt(L) / level)
        + 10,
        "sharpness_orig": norm * L / (4 * level**2) + math.log(IMAGES * math.sqrt(L) / level) + 10,
        "pac_bayes_flatness": 25.0,
        "sharpness_flatness": 25.0,
        "pac_bayes_magnitude_orig": of_magnitudes(norm, 1) + math.log(IMAGES / level),
        "sharpness_magnitude_orig": of_magnitudes(norm, spread)
        + math.log(IMAGES * math.sqrt(spread) / level),
        "pac_bayes_magnitude_flatness": 25.0,
        "sharpness_magnitude_flatness": 25.0,
    }
    sizes = Sizes.of(*weights, IMAGES)
    for name, value in expected.items():
        assert getattr(jiang2020, name)(level, sizes) == pytest.approx(value, rel=1e-12), name


def test_published_code_takes_weights_alone(weights):
    """ω and the norms leave out what is no weight; the formula is that of the paper."""
    w, w0 = weights
    chosen = torch.arange(50) < 30
    alone = Sizes.of(w, w0, IMAGES, chosen)
    assert (alone.parameters, alone.norm) == (30, pytest.approx(float(w[:30].square().sum())))
    expected = float((w - w0)[:30].square().sum()) / (4 * 0.09) + math.log(IMAGES / 0.3) + 10
    assert as_published.pac_bayes_init_as_published(0.3, alone) == pytest.approx(expected)


def test_without_initial_weights_only_what_needs_none_exists(weights):
    w, _ = weights
    sizes = Sizes.of(w, None, IMAGES)
    known = {
        formula.__name__
        for formulas in OF_LEVELS.values()
        for formula in formulas
        if formula(0.2, sizes) is not None
    }
    assert all(name.endswith(("_orig", "_flatness", "_as_published")) for name in known)
    assert {"pac_bayes_orig", "sharpness_orig", "sharpness_magnitude_flatness"} <= known


def test_the_published_noise_in_proportion_costs_a_tenth_of_the_accuracy():
    """Its deviation is σ²w² + ε², on the same draws: less just below, a tenth or more above."""
    model, data = mlp_case()
    prepared = PreparedNetwork(functional_network(model, (1, 1, 6)), data, "vmap")
    objective = prepared.objective(torch.float64)[0]
    level = pac_bayes_sigma_magnitude_as_published(objective, 3)
    noise, w = Noise(objective, 3), objective.network.weights
    draws = [noise.draw() for _ in range(8)]
    for factor, is_enough in ((0.999, False), (1.001, True)):
        scale = (factor * level.value) ** 2 * w.square() + EPSILON**2
        rise = float(torch.cat([noise.rises(batch, scale)[1] for batch in draws]).mean())
        assert (rise >= 0.1) == is_enough


@pytest.fixture(scope="module")
def record(saved_network):
    assert run(["sharpness", str(saved_network), "--flatness", "-q", "--batching", "vmap"]) == 0
    return measure_file.read(saved_network.with_suffix(".sharpness.json"))


@pytest.fixture(scope="module")
def saved_network(tmp_path_factory):
    path = tmp_path_factory.mktemp("jiang") / "net.safetensors"
    options = ["--model", "mlp", "--hidden", "8", "--data", "digits", "--subset", "40"]
    assert run(["train", *options, "--epochs", "40", "-q", "-o", str(path)]) in (0, 1)
    return path


def test_the_record_holds_all_of_them_and_their_errors(record):
    """Of noise with a standard error by the slope, of boxes with a bracket; over m as the root."""
    measures = record["measures"]
    for level, formulas in OF_LEVELS.items():
        low, high = record["flatness"][level]["bracket"]
        assert low <= measures[level] <= high
        for formula in formulas:
            value = measures[formula.__name__]
            assert value > 0
            root = math.sqrt(value / record["recipe"]["subset"])
            assert measures[f"{formula.__name__}_over_m"] == pytest.approx(root, rel=1e-12)
            is_noise = level.startswith("pac_bayes")
            assert (f"{formula.__name__}_stderr" in measures) == is_noise
    sigma, error = measures["pac_bayes_sigma"], measures["pac_bayes_sigma_stderr"]
    slope = 2 * sigma**-3
    assert measures["pac_bayes_flatness_stderr"] == pytest.approx(slope * error, rel=1e-4)
    assert measures["pac_bayes_sigma_as_published"] == pytest.approx(math.sqrt(sigma))


def test_the_record_says_why_a_measure_is_null(record, saved_network, tmp_path):
    """A network that another program saved has no initial weights."""
    from safetensors.torch import load_file, save_file

    foreign = tmp_path / "foreign.safetensors"
    save_file(load_file(saved_network), foreign)
    data = ["--data", "digits", "--subset", "40", "--input-shape", "1x8x8", "--batching", "vmap"]
    assert run(["sharpness", str(foreign), "--flatness", "-q", *data]) == 0
    other = measure_file.read(foreign.with_suffix(".sharpness.json"))
    assert other["measures"]["pac_bayes_init"] is None
    assert any("pac_bayes_init: the initial weights" in note for note in other["notes"])
    assert other["measures"]["pac_bayes_orig"] > 0
