"""The PAC-Bayes bound of the test error is above the true error, and follows from its parts."""

import json
import math
from importlib import resources

import pytest
import torch
from helpers.sharpness_helpers import examples, mlp_case
from jsonschema import Draft202012Validator
from torch import nn
from torch.nn.functional import cross_entropy

from gentool.cli.main import run
from gentool.records import measure_file
from gentool.sharpness.definitions import definitions
from gentool.sharpness.error_bound import PRIOR_SCALES, error_bound, kl_inverse, kl_of_errors
from gentool.sharpness.functional import functional_network
from gentool.sharpness.prepared import PreparedNetwork

INPUTS = 3
DIRECTION = torch.tensor([1.0, -0.5, 0.25])


def drawn(count, generator):
    """Return images and labels of a noisy linear rule: labels are wrong with probability 0.15."""
    x = torch.randn(count, 1, 1, INPUTS, generator=generator)
    is_flipped = torch.rand(count, generator=generator) < 0.15
    return x, ((x.flatten(1) @ DIRECTION > 0) ^ is_flipped).long()


def trained(images, labels):
    """Return a linear model, trained for some steps from zero weights."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(INPUTS, 2))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(30):
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model


def objective(model, data):
    network = functional_network(model, tuple(data.images.shape[1:]))
    return PreparedNetwork(network, data, "vmap").objective(torch.float32)[0]


def test_the_bound_is_above_the_true_error_under_noise():
    """50 training sets of 200 images: it may fail in 5 % of them, and is far from trivial."""
    generator = torch.Generator().manual_seed(0)
    test_images, test_labels = drawn(4000, generator)
    bounds, errors = [], []
    for seed in range(50):
        images, labels = drawn(200, generator)
        model = trained(images, labels)
        prepared = objective(model, examples(images, labels))
        zero = torch.zeros_like(prepared.network.weights)
        result = error_bound(prepared, {"zero": zero}, 0.05, 256, seed)
        bounds.append(result.bound)
        noise = result.noise_scale
        errors.append(noisy_error(prepared, noise, test_images, test_labels, generator))
    failures = sum(bound < error for bound, error in zip(bounds, errors, strict=True))
    assert failures <= 0.05 * len(bounds)
    assert sum(bounds) / len(bounds) < 0.6
    assert 0.15 < sum(errors) / len(errors) < 0.4


def noisy_error(prepared, scale, images, labels, generator):
    """Return the mean test error of 200 draws of the noise, by one product."""
    w = prepared.network.weights
    points = w + scale * torch.randn(200, len(w), generator=generator)
    W, b = points[:, : 2 * INPUTS].unflatten(1, (2, INPUTS)), points[:, 2 * INPUTS :]
    logits = torch.einsum("ni,kci->knc", images.flatten(1), W.float()) + b[:, None].float()
    return float((logits.argmax(dim=2) != labels).double().mean())


def test_a_network_that_learned_noise_has_a_bound_above_its_error_of_one_half():
    """Labels are coins: whatever fits them errs on half of new ones."""
    model, data = mlp_case(hidden=20, images=60)
    labels = torch.randint(2, (60,), generator=torch.Generator().manual_seed(1))
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        cross_entropy(model(data.images), labels).backward()
        optimizer.step()
    prepared = objective(model, examples(data.images, labels))
    zero = torch.zeros_like(prepared.network.weights)
    assert error_bound(prepared, {"zero": zero}, 0.05, 256).bound > 0.5


@pytest.mark.parametrize("q", [0.0, 0.02, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("budget", [1e-4, 0.05, 2.0])
def test_the_inverse_of_the_divergence_of_coins(q, budget):
    p = kl_inverse(q, budget)
    assert q <= p <= 1
    assert kl_of_errors(q, p) == pytest.approx(budget, rel=1e-6) or p == 1
    if q == 0:
        assert p == pytest.approx(1 - math.exp(-budget), rel=1e-6)


@pytest.mark.parametrize("m", [1, 2, 3, 5, 7, 8, 20, 200])
def test_the_constant_of_maurer_holds_for_every_number_of_images(m):
    """The moment Σ C(m,k) (k/m)^k (1−k/m)^(m−k) that the theorem needs is at most 2 √m."""
    moment = sum(math.comb(m, k) * (k / m) ** k * (1 - k / m) ** (m - k) for k in range(m + 1))
    assert moment <= 2 * math.sqrt(m) + 1e-12


def test_the_bound_follows_from_what_is_reported():
    """The formula of the docstring, with KL computed by torch.distributions."""
    model, data = mlp_case(hidden=4, images=300, scale=0.3)
    prepared = objective(model, data)
    w = prepared.network.weights
    centres = {"initial": w + 0.1, "zero": torch.zeros_like(w)}
    result = error_bound(prepared, centres, 0.05, 300)
    q = torch.distributions.Normal(w, result.noise_scale)
    p = torch.distributions.Normal(centres[result.prior], result.prior_scale)
    kl = float(torch.distributions.kl_divergence(q, p).sum())
    assert result.prior == "initial"
    assert result.kl == pytest.approx(kl, rel=1e-5)
    assert (result.images, len(PRIOR_SCALES)) == (300, 37)
    inner = kl_inverse(result.sampled_error, math.log(10 / 0.05) / result.draws)
    budget = (kl + math.log(2 * 37 * 2 * math.sqrt(300) / (0.9 * 0.05))) / 300
    assert result.training_error == pytest.approx(inner)
    assert result.bound == pytest.approx(kl_inverse(inner, budget), rel=1e-5)


def test_the_record_has_the_bound_with_the_initial_weights_or_says_why_not(saved):
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    options = ["--expected", "--quiet", "--batching", "vmap", "--rel-error", "0.3"]
    assert run(["sharpness", str(saved), *options]) == 0
    record = measure_file.read(saved.with_suffix(".expected.json"))
    Draft202012Validator(schema).validate(record)
    part = record["expected_sharpness"]["error_bound"]
    assert record["measures"]["pac_bayes_error_bound"] == part["bound"] <= 1
    assert part["sampled_error"] < part["training_error"] < part["bound"]


def test_the_list_says_that_equation_5_guarantees_nothing_and_why():
    listed = {definition.name: definition.summary for definition in definitions()}
    assert "guarantees nothing" in listed["pac_bayes_bound"]
    assert "prior depends on w" in listed["pac_bayes_bound"]
    assert "holds with probability" in listed["pac_bayes_error_bound"]
