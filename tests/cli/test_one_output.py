"""A network with one output for the labels 0 and 1: binary cross-entropy and the margin (2y - 1) f.

The oracles are formulas of f alone, computed here with NumPy.
"""

import json

import numpy as np
import pytest
import torch
from torch import nn

import gentool
from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.common.errors import UsageError
from gentool.sharpness.functional import functional_network

SHAPE, ROUNDING = (1, 2, 3), 1e-12


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with images, an MLP and a linear model; f goes both ways on both classes."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    images = random.normal(size=(40, 2, 3, 1)).astype(np.float32)
    labels = (images.reshape(40, -1).sum(1) + random.normal(size=40) > 0).astype(np.int64)
    np.savez("d.npz", x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    torch.manual_seed(1)
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1))
    torch.save(mlp.state_dict(), "mlp.pt")
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(6, 1)).state_dict(), "linear.pt")
    return tmp_path


def data():
    """Images (40, 6) and labels, in float64."""
    arrays = np.load("d.npz")
    return arrays["x_train"].reshape(40, 6).astype(np.float64), arrays["y_train"]


def outputs(name):
    """The output f of a network on the images, by NumPy."""
    state = {k: v.double().numpy() for k, v in torch.load(name, weights_only=True).items()}
    x, _ = data()
    layers = sorted({int(key[0]) for key in state})
    for layer in layers:
        x = x @ state[f"{layer}.weight"].T + state[f"{layer}.bias"]
        x = np.maximum(x, 0) if layer != layers[-1] else x
    return x[:, 0]


def binary_cross_entropy(f, y):
    p = 1 / (1 + np.exp(-f))
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()


def record(command, *arguments, capsys):
    assert run([command, *arguments, "--data", "npz:d.npz", "-q", "-o", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def test_loss_error_and_margin_are_those_of_the_formulas(folder, capsys):
    f, (_, y) = outputs("mlp.pt"), data()
    content = record("measure", "mlp.pt", "--epsilon", "0.3", capsys=capsys)
    assert content["evaluation"]["train_loss"] == pytest.approx(
        binary_cross_entropy(f, y), rel=ROUNDING
    )
    assert content["evaluation"]["train_error"] == ((f > 0) != (y == 1)).mean()
    assert content["evaluation"]["test_error"] == ((f > 0) != (y == 1))[:9].mean()
    assert content["measures"]["margin"] == pytest.approx(np.sort((2 * y - 1) * f)[11], rel=1e-9)
    assert content["recipe"]["classes"] == 1


def test_two_outputs_of_which_the_first_is_zero_have_the_same_margin_and_loss(folder, capsys):
    """And the same norms: a row of zeros adds nothing but parameters."""
    state = torch.load("mlp.pt", weights_only=True)
    for name in ("3.weight", "3.bias"):
        state[name] = torch.cat([torch.zeros_like(state[name]), state[name]])
    torch.save(state, "two.pt")
    one, two = (record("measure", f"{name}.pt", capsys=capsys) for name in ("mlp", "two"))
    for part in ("train_loss", "train_error", "test_loss", "test_error"):
        assert one["evaluation"][part] == pytest.approx(two["evaluation"][part], rel=ROUNDING)
    assert one["margin"]["quantiles"] == pytest.approx(two["margin"]["quantiles"], rel=1e-9)
    for name in ("l2_unnormalized", "spectral_unnormalized", "l1_path_unnormalized"):
        assert one["log10"][name] == pytest.approx(two["log10"][name], abs=1e-9)
    assert (one["measures"]["parameters"], two["measures"]["parameters"]) == (41, 47)


def test_measure_in_python_takes_labels_of_0_and_1(folder):
    model = checkpoint.read(folder / "mlp.pt").model()
    x, y = data()
    images = x.reshape(40, *SHAPE)
    content = gentool.measure(model, SHAPE, images=images, labels=y, only="margin", epsilon=0.01)
    assert content["measures"]["margin"] == pytest.approx(
        ((2 * y - 1) * outputs("mlp.pt")).min(), rel=1e-9
    )
    with pytest.raises(UsageError, match="label 2 is not from 0 to 1"):
        gentool.measure(model, SHAPE, images=images, labels=y + 1)


def test_the_exact_sharpness_of_a_linear_model_is_that_of_all_corners(folder, capsys):
    """2^7 corners; the zero logit is no parameter, and does not move."""
    content = record("sharpness", "linear.pt", "--exact", "--alpha", "0.01", capsys=capsys)
    state = torch.load("linear.pt", weights_only=True)
    w = np.concatenate([state["1.weight"][0].double(), state["1.bias"].double()])
    (x, y), r = data(), 0.01 * (np.abs(w) + 1)
    x = np.hstack([x, np.ones((40, 1))])
    corners = (np.arange(2**7)[:, None] >> np.arange(7) & 1) * 2 - 1
    before = binary_cross_entropy(x @ w, y)
    rise = max(binary_cross_entropy(x @ (w + signs * r), y) for signs in corners) - before
    assert content["evaluation"]["train_loss"] == pytest.approx(before, rel=ROUNDING)
    measures = content["measures"]
    assert measures["sharpness_exact"] == pytest.approx(rise, rel=1e-8)
    assert measures["sharpness"] == pytest.approx(rise, rel=1e-6)
    assert measures["sharpness_interval_bound"] >= rise


def test_the_hessian_of_a_linear_model_is_that_of_logistic_regression(folder, capsys):
    """mean of p (1 - p) x x^T, also of raw parameters."""
    f, (x, _) = outputs("linear.pt"), data()
    x, p = np.hstack([x, np.ones((40, 1))]), 1 / (1 + np.exp(-f))
    hessian = (x.T * (p * (1 - p))) @ x / 40
    options = ("--flatness", "--method", "random", "--units", "2", "--no-fold-batch-norm")
    content = record("sharpness", "linear.pt", *options, capsys=capsys)
    top = np.linalg.eigvalsh(hessian)[-1]
    assert content["measures"]["hessian_top_eigenvalue"] == pytest.approx(top, rel=1e-5)


def test_all_ways_of_evaluation_agree(folder):
    """Stacked MLPs too, folded or not."""
    from gentool.sharpness.forward import logits_at

    model = checkpoint.read(folder / "mlp.pt").model()
    images = torch.from_numpy(data()[0].reshape(40, *SHAPE))
    for folded in (True, False):
        network = functional_network(model, SHAPE, fold_batch_norm=folded)
        assert network.classes == 2
        assert network.weights.numel() == 41
        points = network.weights + 0.1 * torch.arange(3)[:, None]
        ways = ["loop", "vmap"] + ["stacked"] * folded
        first, *others = (logits_at(network, points, images, way) for way in ways)
        assert all(torch.allclose(first, other) for other in others)
        assert bool((first[..., 0] == 0).all())
        assert np.allclose(first[0, :, 1], outputs("mlp.pt"))


def test_the_worst_network_is_verified_and_converted_with_one_output(folder, capsys):
    given = ("--data", "npz:d.npz", "-q")
    saved = ("--save-perturbation", "worst.safetensors", "--alpha", "0.01")
    assert run(["sharpness", "mlp.pt", *saved, *given, "--method", "random", "--units", "4"]) == 0
    assert run(["sharpness", "verify", "mlp.pt", "worst.witness", *given]) == 0
    capsys.readouterr()
    assert run(["convert", "mlp.pt", *given, "-o", "own.safetensors"]) == 0
    capsys.readouterr()
    assert run(["measure", "own.safetensors", "-q", "-o", "-", "--only", "margin"]) == 0
    own = json.loads(capsys.readouterr().out)
    assert (
        own["measures"]
        == record("measure", "mlp.pt", "--only", "margin", capsys=capsys)["measures"]
    )


def test_data_of_more_than_two_classes_is_refused(folder, capsys):
    assert run(["measure", "mlp.pt", "--data", "digits"]) == 1
    assert "one output, for the labels 0 and 1, but digits has 10" in capsys.readouterr().err
