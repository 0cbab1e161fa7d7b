"""The search agrees with enumeration, upper bounds and the first-order prediction."""

import pytest
import torch
from helpers.sharpness_helpers import find, linear_case, mlp_case
from torch import nn
from torch.nn.functional import cross_entropy

from gentool.cli.main import run
from gentool.records import measure_file
from gentool.sharpness.functional import functional_network
from gentool.sharpness.worst_case import SearchOptions, WorstCaseSearch


def search_of(case):
    model, data = case
    perturbed = model
    if isinstance(model, nn.Module):
        perturbed = functional_network(model, tuple(data.images.shape[1:]))
    return WorstCaseSearch(perturbed, data, SearchOptions(batching="vmap"))


@pytest.mark.parametrize("alpha", [5e-4, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_interval_bound_is_above_the_rise(alpha, seed):
    """For networks of one to four hidden layers."""
    generator = torch.Generator().manual_seed(seed)
    layers, units = [nn.Flatten()], 6
    for _ in range(1 + seed):
        layers += [nn.Linear(units, 8), nn.ReLU()]
        units = 8
    model = nn.Sequential(*layers, nn.Linear(units, 3))
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 2
    case = (model, mlp_case(seed=seed)[1])
    assert search_of(case).interval_bound(alpha) > find(case, alpha).rise > 0


def test_the_interval_bound_holds_at_random_points_of_every_layer():
    """500 random points of the box, at corners and inside: no loss is above the bound."""
    case = mlp_case(scale=2.0)
    search = search_of(case)
    state, _ = search.state(0.05, torch.float64)
    corners = state.box.corner(state.random_signs(500))
    inside = state.center + torch.rand(500, 1, dtype=torch.float64) * (corners - state.center)
    highest = max(state.losses(corners).max(), state.losses(inside).max())
    assert float(highest) - search.before.loss < search.interval_bound(0.05)


def test_the_interval_bound_of_one_example_of_a_linear_model_is_exact():
    """With two classes and one image every weight can be at its worst at once."""
    perturbed, data = linear_case(0)
    single = type(data)(data.images[:1], data.labels[:1], data.mean, data.std)
    search = search_of((perturbed, single))
    assert perturbed.classes == 2
    assert search.interval_bound(0.1) == pytest.approx(search.exact(0.1).rise, rel=1e-7)


@pytest.mark.parametrize("seed", range(6))
def test_enumeration_is_between_the_search_and_the_interval_bound(seed):
    case = linear_case(seed)
    search = search_of(case)
    exact = search.exact(0.05).rise
    assert search.find(0.05).rise <= exact * (1 + 1e-12)
    assert exact <= search.interval_bound(0.05)


def test_the_first_order_prediction_by_hand():
    """Σ r |g| with g from plain torch."""
    model, data = mlp_case()
    loss = cross_entropy(model.double()(data.images.double()), data.labels)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    pairs = zip(model.parameters(), gradients, strict=True)
    expected = sum(float((0.01 * (p.detach().abs() + 1) * g.abs()).sum()) for p, g in pairs)
    assert search_of((model, data)).first_order(0.01) == pytest.approx(expected, rel=1e-9)


def test_exact_is_refused_for_a_network_and_beyond_24_parameters(saved, tmp_path, capsys):
    """The message names the number of corners, and no file is written."""
    assert run(["sharpness", str(saved), "--exact"]) == 1
    assert "--exact is for linear models" in capsys.readouterr().err
    linear = tmp_path / "linear.safetensors"
    options = "--model mlp --depth 0 --data digits --subset 20 --epochs 2 --quiet"
    assert run(["train", *options.split(), "-o", str(linear)]) == 0
    capsys.readouterr()
    assert run(["sharpness", str(linear), "--exact"]) == 1
    assert "would try 2^650 corners" in capsys.readouterr().err
    assert not linear.with_suffix(".sharpness.json").exists()


def test_exact_stands_in_the_record_of_a_small_linear_model(tmp_path, monkeypatch):
    """Three pixels, three classes: twelve parameters, 4,096 corners."""
    import numpy as np

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (30, 1, 3), dtype=np.uint8), rng.integers(0, 3, 30)
    np.savez("data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    train = ["train", "--model", "mlp", "--depth", "0", "--data", "npz:data.npz", "--quiet"]
    assert run([*train, "--epochs", "5", "-o", "a.safetensors"]) == 0
    search = ["sharpness", "a.safetensors", "--exact", "--quiet", "--alpha", "0.1"]
    assert run(search) == 0
    measures = measure_file.read(tmp_path / "a.sharpness.json")["measures"]
    assert measures["sharpness"] == pytest.approx(measures["sharpness_exact"], rel=1e-9)
    assert measures["sharpness_exact"] < measures["sharpness_interval_bound"]
    assert measures["sharpness_first_order"] > 0
