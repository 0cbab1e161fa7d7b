"""Measures of the Hessian agree with a dense Hessian, PAC-Bayes sigma with its definition."""

import math

import pytest
import torch
from helpers.sharpness_helpers import examples, find, mlp_case
from torch import nn

from gentool.cli.main import run
from gentool.records import measure_file
from gentool.sharpness.box import box
from gentool.sharpness.definitions import definitions
from gentool.sharpness.flatness import hessian_product, hessian_top, hessian_trace
from gentool.sharpness.functional import functional_network
from gentool.sharpness.noise import Noise
from gentool.sharpness.pac_bayes_sigma import pac_bayes_sigma, pac_bayes_sigma_magnitude
from gentool.sharpness.prepared import PreparedNetwork


@pytest.fixture(scope="module")
def objective():
    model, data = mlp_case()
    prepared = PreparedNetwork(functional_network(model, (1, 1, 6)), data, "vmap")
    return prepared.objective(torch.float64)[0]


@pytest.fixture(scope="module")
def dense(objective):
    """Return the Hessian by central differences of gradients, (P, P)."""
    w, h = objective.network.weights, 1e-5
    steps = h * torch.eye(len(w), dtype=w.dtype)
    up, down = objective.gradients(w + steps)[1], objective.gradients(w - steps)[1]
    return (up - down) / (2 * h)


def test_a_product_is_that_of_the_dense_hessian(objective, dense):
    v = torch.randn(len(dense), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(hessian_product(objective, v), dense @ v, rtol=1e-4, atol=1e-7)


def test_the_top_eigenvalue_is_that_of_the_dense_hessian(objective, dense):
    exact = float(torch.linalg.eigvalsh((dense + dense.T) / 2)[-1])
    top = hessian_top(objective, torch.Generator().manual_seed(0))
    assert top.value == pytest.approx(exact, rel=1e-4)
    assert 0 <= top.residual < 0.01


def test_the_trace_is_within_its_standard_error(objective, dense):
    trace = hessian_trace(objective, torch.Generator().manual_seed(0))
    assert abs(trace.value - float(dense.trace())) < 4 * trace.stderr
    assert trace.stderr < 0.05 * abs(trace.value)
    assert trace.products <= 32


@pytest.mark.parametrize("sigma", [pac_bayes_sigma, pac_bayes_sigma_magnitude])
def test_the_standard_error_of_sigma_is_that_between_seeds(objective, sigma):
    """60 seeds: the mean reported error and the deviation of the values agree to a third."""
    levels = [sigma(objective, seed) for seed in range(60)]
    values = torch.tensor([level.value for level in levels])
    reported = torch.tensor([level.stderr for level in levels])
    assert float(reported.mean()) == pytest.approx(float(values.std()), rel=0.35)
    assert all(level.low == level.value < level.high < 1.00001 * level.low for level in levels)


def test_rel_error_takes_as_many_draws_for_sigma_as_it_needs(objective):
    rough, fine = pac_bayes_sigma(objective, 0), pac_bayes_sigma(objective, 0, rel_error=0.01)
    assert rough.stderr > 0.01 * rough.value
    assert fine.stderr <= 0.0115 * fine.value
    assert fine.draws > rough.draws == 128


def test_sigma_costs_a_tenth_of_the_accuracy(objective):
    """On the same draws as the bisection: less just below σ, a tenth or more just above."""
    w = objective.network.weights
    sigma = pac_bayes_sigma(objective, 3).value
    noise = Noise(objective, 3)
    draws = [noise.draw() for _ in range(8)]
    for factor, is_enough in ((0.999, False), (1.001, True)):
        scale = torch.full_like(w, factor * sigma)
        rise = float(torch.cat([noise.rises(batch, scale)[1] for batch in draws]).mean())
        assert (rise >= 0.1) == is_enough


def test_a_zero_parameter_does_not_move_in_the_magnitude_aware_box():
    faces = box(torch.tensor([0.0, 2.0, -3.0]).double(), 0.1, torch.float64, offset=0.0)
    assert faces.low.tolist() == pytest.approx([0.0, 1.8, -3.3])
    assert faces.high.tolist() == pytest.approx([0.0, 2.2, -2.7])


def test_one_example_has_a_closed_form_in_the_magnitude_aware_box():
    """Two classes: the margin falls by α Σ |w||x| over both rows and α |b| for both biases."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    model[1].weight.data = torch.tensor([[1.0, -2.0], [0.5, 0.0]])
    model[1].bias.data = torch.tensor([0.5, -1.0])
    data = examples(torch.tensor([2.0, -1.0]).reshape(1, 1, 1, 2), torch.tensor([0]))
    margin = (1 * 2 + -2 * -1 + 0.5) - (0.5 * 2 - 1)
    fall = 0.1 * ((1 + 0.5) * 2 + (2 + 0) * 1 + 0.5 + 1)
    rise = math.log1p(math.exp(fall - margin)) - math.log1p(math.exp(-margin))
    assert find((model, data), 0.1, offset=0.0).rise == pytest.approx(rise, rel=1e-9)


def test_the_record_holds_the_measures_of_flatness(saved):
    assert run(["sharpness", str(saved), "--flatness", "--quiet", "--batching", "vmap"]) == 0
    measures = measure_file.read(saved.with_suffix(".sharpness.json"))["measures"]
    assert measures["hessian_trace"] > measures["hessian_top_eigenvalue"] > 0
    assert measures["pac_bayes_sigma"] > 0
    assert measures["pac_bayes_sigma_magnitude"] > 0
    assert measures["sharpness_magnitude"] > 0
    for name in ("hessian_trace", "pac_bayes_sigma", "pac_bayes_sigma_magnitude"):
        assert 0 < measures[f"{name}_stderr"] < 0.3 * measures[name]
    about = measure_file.read(saved.with_suffix(".sharpness.json"))["flatness"]
    low, high = about["pac_bayes_sigma"]["bracket"]
    assert low <= measures["pac_bayes_sigma"] <= high
    assert about["hessian_top_eigenvalue"]["residual"] >= 0


def test_every_reported_measure_has_a_definition(saved):
    """By its name, or as the standard error of a defined measure."""
    defined = {definition.name for definition in definitions()}
    assert run(["sharpness", str(saved), "--flatness", "--quiet", "--batching", "vmap"]) == 0
    noise = ["--expected", "--quiet", "--batching", "vmap", "--precision", "0.3"]
    assert run(["sharpness", str(saved), *noise]) == 0
    for kind in ("sharpness", "expected"):
        for name in measure_file.read(saved.with_suffix(f".{kind}.json"))["measures"]:
            assert name.removesuffix("_stderr") in defined
