"""Expected sharpness agrees with formulas and brute force, within its standard error."""

import copy
import json
import math
from importlib import resources
from itertools import pairwise

import pytest
import torch
from helpers.sharpness_helpers import mlp_case
from jsonschema import Draft202012Validator
from torch import nn
from torch.func import functional_call, grad, jacrev
from torch.nn.functional import cross_entropy

from gentool.cli.main import run
from gentool.records import measure_file
from gentool.sharpness.expected import (
    ExpectedOptions,
    NoisePoint,
    at_level,
    expected_curve,
    kl,
    pac_bayes_bound,
    scale,
)
from gentool.sharpness.functional import functional_network
from gentool.sharpness.noise import Noise
from gentool.sharpness.prepared import PreparedNetwork


def objective(case, dtype=torch.float64):
    model, data = case
    perturbed = functional_network(model, tuple(data.images.shape[1:]))
    return PreparedNetwork(perturbed, data, "vmap").objective(dtype)[0]


def point(case, alpha, **options):
    options = {"precision": 0.02, **options}
    [noise_point] = expected_curve(objective(case), ExpectedOptions(alpha, **options)).points
    return noise_point


def test_small_noise_follows_the_second_order_formula():
    """½ Σ σᵢ² Hᵢᵢ, with the Hessian of the whole training loss from torch.func."""
    model, data = mlp_case()
    double = copy.deepcopy(model).double()
    named = dict(double.named_parameters())

    def loss(parameters):
        return cross_entropy(functional_call(double, parameters, data.images.double()), data.labels)

    alpha, expected = 1e-4, 0.0
    blocks = jacrev(grad(loss))({name: p.detach() for name, p in named.items()})
    for name, p in named.items():
        diagonal = blocks[name][name].reshape(p.numel(), p.numel()).diagonal()
        sigma = alpha * (10 * p.detach().flatten().abs() + 1)
        expected += float((sigma.square() * diagonal).sum()) / 2
    estimate = point((model, data), alpha)
    assert estimate.paired
    assert abs(estimate.value - expected) < 4 * estimate.stderr
    assert estimate.stderr < 0.03 * expected


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_minibatches_agree_with_draws_over_the_whole_set(alpha):
    """Brute force: 3,000 draws, each over all images, in plain torch."""
    model, data = mlp_case()
    double = copy.deepcopy(model).double()
    w = torch.cat([p.detach().flatten() for p in double.parameters()])
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(3000, len(w), dtype=torch.float64, generator=generator)
    images, labels = data.images.double(), data.labels

    def loss(weights):
        nn.utils.vector_to_parameters(weights, double.parameters())
        return float(cross_entropy(double(images), labels))

    with torch.no_grad():
        before = loss(w)
        rises = torch.tensor([loss(w + alpha * (10 * w.abs() + 1) * row) - before for row in z])
    brute, error = float(rises.mean()), float(rises.std()) / math.sqrt(len(z))
    estimate = point((model, data), alpha)
    assert abs(estimate.value - brute) < 4 * math.hypot(estimate.stderr, error)


@pytest.mark.parametrize("alpha", [pytest.param(0.003, marks=pytest.mark.slow), 0.1])
def test_the_standard_error_covers_the_truth_as_often_as_it_claims(alpha):
    """Of 200 seeds, about 95 % come within 1.96 standard errors of the truth (binomial: ±4 %)."""
    case = mlp_case(hidden=6, images=40)
    truth = point(case, alpha, precision=0.015, most_draws=10**6, seed=10**6)
    estimates = [point(case, alpha, precision=0.1, seed=seed) for seed in range(200)]
    within = [
        abs(p.value - truth.value) < 1.96 * math.hypot(p.stderr, truth.stderr) for p in estimates
    ]
    assert 0.90 <= sum(within) / len(within) <= 0.99


def test_the_estimate_has_no_bias_from_the_rule_that_ends_the_sampling(monkeypatch):
    """200 seeds of single draws; stopping at the same error by the draws themselves is biased."""
    monkeypatch.setattr("gentool.sharpness.expected._pairs_pay", lambda *_: False)
    case = mlp_case(hidden=3, inputs=2, images=12)
    prepared, alpha = objective(case, torch.float32), 0.03
    truth = brute_force(case, alpha)
    values, stopped_by_error = [], []
    for seed in range(200):
        options = ExpectedOptions(alpha, precision=0.3, seed=seed)
        values.append(expected_curve(prepared, options).points[0].value)
        stopped_by_error.append(sampled_until_precise(prepared, alpha, 0.3, seed))
    assert abs(deviation(values, truth)) < 3
    assert deviation(stopped_by_error, truth) > 3


def brute_force(case, alpha):
    """Return mean and standard error of 40,000 draws over all images, by one product a layer."""
    model, data = case
    layers = [m for m in model if isinstance(m, nn.Linear)]
    generator = torch.Generator().manual_seed(1)

    def losses(count, alpha):
        x = data.images.flatten(1).double().expand(count, -1, -1)
        for i, layer in enumerate(layers):
            W, b = (
                p.double()
                + alpha
                * (10 * p.abs() + 1)
                * torch.randn(count, *p.shape, generator=generator, dtype=torch.float64)
                for p in (layer.weight.detach(), layer.bias.detach())
            )
            x = x @ W.mT + b[:, None]
            x = x.relu() if i + 1 < len(layers) else x
        labels = data.labels.expand(count, -1)
        return cross_entropy(x.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)

    rises = losses(40_000, alpha).mean(dim=1) - losses(1, 0.0).mean()
    return float(rises.mean()), float(rises.std()) / 200


def deviation(values, truth):
    """Return by how many standard errors the mean of some values is above the truth."""
    values = torch.tensor(values, dtype=torch.float64)
    error = math.hypot(float(values.std()) / math.sqrt(len(values)), truth[1])
    return (float(values.mean()) - truth[0]) / error


def sampled_until_precise(prepared, alpha, precision, seed):
    """Return the value of the rule of earlier versions: rounds until the error is small."""
    noise = Noise(prepared, seed)
    noise_point = NoisePoint(alpha, paired=False)
    sigma = scale(prepared.network.weights, alpha)
    while noise_point.count < 64 or noise_point.stderr > precision * noise_point.value:
        noise_point.add(*noise.rises(noise.draw(), sigma))
    return noise_point.value


def test_antithetic_pairs_are_used_for_small_noise_only():
    """The rise under small noise is nearly linear and cancels in pairs ±ν."""
    assert point(mlp_case(), 1e-4).paired
    assert not point(mlp_case(), 1.0).paired


def test_sampling_stops_at_the_requested_precision():
    rough, fine = (point(mlp_case(), 0.1, precision=p) for p in (0.1, 0.02))
    assert rough.stderr <= 0.1 * rough.value
    assert fine.stderr <= 0.02 * fine.value
    assert fine.draws > 5 * rough.draws


def test_sampling_stops_at_the_most_draws_and_says_so():
    curve = expected_curve(
        objective(mlp_case()), ExpectedOptions(0.1, precision=1e-6, most_draws=200)
    )
    assert curve.stopped == "draws"
    assert 200 <= curve.points[0].draws <= 264


def test_alpha_zero_gives_zero_with_no_error():
    estimate = point(mlp_case(), 0.0)
    assert (estimate.value, estimate.stderr) == (0.0, 0.0)


def test_the_curve_spans_its_range_in_the_papers_steps():
    """Ratio 1.05, from below 0.002 to above 0.3, KL as α⁻², and growing throughout."""
    noisy = objective(mlp_case(), torch.float32)
    curve = expected_curve(noisy, ExpectedOptions())
    values = [p.value for p in curve.points]
    assert values[0] < 0.0024
    assert values[-1] > 0.25
    assert len(values) > 20
    ratios = [b.alpha / a.alpha for a, b in pairwise(curve.points)]
    assert ratios == pytest.approx([1.05] * len(ratios))
    w = noisy.network.weights
    first, second = (kl(w, p.alpha) for p in curve.points[:2])
    assert first / second == pytest.approx(1.1025)
    falls = sum(b < a for a, b in pairwise(values))
    assert falls <= 0.1 * len(values)


def test_alpha_and_kl_at_a_level_by_hand():
    """E = 5 α² exactly: E = 0.05 at α = 0.1; 2 % error of E is 1 % of α and 2 % of KL."""
    points = []
    for j in range(-20, 21):
        alpha = 0.103 * 1.05**j
        noise_point = NoisePoint(alpha, paired=False)
        value, spread = 5 * alpha**2, 0.02 * 5 * alpha**2 * math.sqrt(100)
        deviation = torch.tensor([-spread, spread]).double().repeat(50) * math.sqrt(99 / 100)
        noise_point.add(value + deviation, torch.zeros(100))
        points.append(noise_point)
    weights = torch.tensor([1.0, -2.0])
    from gentool.sharpness.expected import NoiseCurve

    level = at_level(NoiseCurve(points), weights)
    assert level.alpha == pytest.approx(0.1)
    assert level.alpha_stderr == pytest.approx(0.001, rel=1e-3)
    assert level.kl == pytest.approx(((1 / 1.1) ** 2 + (2 / 2.1) ** 2) / 2)
    assert level.kl_stderr == pytest.approx(0.02 * level.kl, rel=1e-3)


def test_the_bound_of_equation_5_by_hand():
    """m = 100, δ = 0.05: 0.1 + 0.2 + 4 √((50 + ln 4000) / 100)."""
    bound = pac_bayes_bound(0.1, 0.2, 50.0, 100, 0.05)
    assert bound == pytest.approx(0.3 + 4 * math.sqrt((50 + math.log(4000)) / 100))


@pytest.mark.parametrize("options", [[], ["--alpha", "0.01"], ["--alpha", "0"]])
def test_the_record_fits_the_schema_and_holds_the_measures(saved, options):
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    arguments = ["--expected", "--quiet", "--batching", "vmap", "--precision", "0.2"]
    assert run(["sharpness", str(saved), *arguments, *options]) == 0
    record = measure_file.read(saved.with_suffix(".expected.json"))
    Draft202012Validator(schema).validate(record)
    assert None not in record["measures"].values() or options == ["--alpha", "0"]
    if options == []:
        curve = record["expected_sharpness"]["curve"]
        kl_there = record["measures"]["expected_sharpness_kl"]
        assert curve[0]["kl"] > kl_there > curve[-1]["kl"]
        assert record["measures"]["pac_bayes_bound"] > min(row["bound"] for row in curve)
    elif options[1] == "0.01":
        [row] = record["expected_sharpness"]["curve"]
        assert record["measures"]["expected_sharpness"] == row["value"] > 0
        assert row["kl_without_half"] == 2 * row["kl"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--alpha", "0.1", "--alpha", "0.2"], "--expected takes one --alpha"),
        (["--alpha", "-1"], "--alpha is -1"),
        (["--precision", "0"], "--precision is 0"),
        (["--delta", "1"], "--delta is 1"),
    ],
)
def test_wrong_options_exit_2_and_write_nothing(saved, capsys, options, words):
    assert run(["sharpness", str(saved), "--expected", *options]) == 2
    assert words in capsys.readouterr().err
    assert list(saved.parent.iterdir()) == [saved]
