"""The measures of Jiang et al. agree with their formulas, computed another way."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, cross_entropy, pad

import gentool
from gentool.cli.main import run
from gentool.measures import MEASURES, Measured, evaluate_measures
from gentool.measures.jiang2020 import AS_PUBLISHED, EQUATIONS, OF_SHARPNESS
from gentool.networks.canonical import canonical
from gentool.networks.circular import circular_norm
from gentool.records import measure_file
from gentool.sharpness.definitions import definitions

IMAGES = 30


@pytest.fixture(scope="module")
def case():
    """Return a small network with pooling, its initial weights, and images that it fits."""
    torch.manual_seed(0)
    module, initial = network(), network()
    images = torch.randn(IMAGES, 2, 8, 8)
    return module, initial, images, module(images).argmax(dim=1)


def network():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 16, 3),
    )


@pytest.fixture(scope="module")
def record(case):
    module, initial, images, labels = case
    names = [name for name in MEASURES.names if "jiang2020" in MEASURES[name].groups]
    return gentool.measure(module, images=images, labels=labels, initial=initial, only=names)


@pytest.mark.parametrize(("size", "groups"), [((8, 8), 1), ((5, 7), 1), ((6, 6), 2), ((2, 3), 1)])
def test_a_circular_norm_is_that_of_the_dense_matrix(size, groups):
    """The map of every unit image, the kernel wrapped around the border."""
    weight = torch.randn(4, 4 // groups, 3, 3, generator=torch.Generator().manual_seed(1)).double()
    height, width = size
    kernel = weight[:, :, :height, :width]  # cut off, where the maps are smaller
    units = torch.eye(4 * height * width).double().reshape(-1, 4, height, width)
    wrapped = pad(units, (0, kernel.shape[3] - 1, 0, kernel.shape[2] - 1), mode="circular")
    dense = conv2d(wrapped, kernel, groups=groups).flatten(1).T
    exact = float(torch.linalg.matrix_norm(dense, ord=2))
    assert circular_norm(weight, size, groups) == pytest.approx(exact, rel=1e-12)


def test_measures_as_published_are_the_formulas_with_circular_norms(case, record):
    """Equations 29 to 35 and 41, with NumPy's transform at 8x8 for both convolutions."""
    module, initial, images, labels = case

    def squared_norm(weight):
        if weight.ndim == 2:
            return np.linalg.norm(weight, 2) ** 2
        symbols = np.fft.fft2(np.einsum("oihw->hwio", weight), (8, 8), axes=[0, 1])
        return np.linalg.svd(symbols, compute_uv=False).max() ** 2

    layers = [0, 3, 6]
    W = [module[i].weight.detach().double().numpy() for i in layers]
    moved = [
        w - initial[i].weight.detach().double().numpy() for w, i in zip(W, layers, strict=True)
    ]
    S, F = [squared_norm(w) for w in W], [np.sum(w**2) for w in W]
    D = [np.sum(m**2) for m in moved]
    logits = module.double()(images.double()).detach().numpy()
    module.float()
    own = logits[np.arange(IMAGES), labels]
    logits[np.arange(IMAGES), labels] = -np.inf
    gamma = np.sort(own - logits.max(axis=1))[IMAGES // 10 - 1]
    product, d = np.prod(S), len(S)
    expected = {
        29: product / gamma**2 * sum(a / s for a, s in zip(D, S, strict=True)),
        30: product / gamma**2 * sum(f / s for f, s in zip(F, S, strict=True)),
        31: product / gamma**2,
        32: product,
        33: sum(f / s for f, s in zip(F, S, strict=True)),
        34: d * (product / gamma**2) ** (1 / d),
        35: d * product ** (1 / d),
        41: sum(map(squared_norm, moved)),
    }
    for equation, value in expected.items():
        name = f"{AS_PUBLISHED[equation]}_as_published"
        assert record["measures"][name] == pytest.approx(value, rel=1e-5), name


def test_every_measure_over_m_is_the_root_of_its_share(record):
    divided = [name for name in record["measures"] if name.endswith("_over_m")]
    assert len(divided) > 20
    for name in divided:
        value = record["measures"][name.removesuffix("_over_m")]
        assert record["measures"][name] == pytest.approx(math.sqrt(value / IMAGES), rel=1e-12)


def test_cross_entropy_and_negative_entropy_are_those_of_softmax(case, record):
    module, _, images, labels = case
    logits = module.double()(images.double()).detach().numpy()
    module.float()
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(IMAGES), labels]).mean()
    entropy = (p * np.log(p)).sum(axis=1).mean()
    assert record["measures"]["cross_entropy"] == pytest.approx(loss, rel=1e-5)
    assert record["measures"]["negative_entropy"] == pytest.approx(entropy, rel=1e-5)


def test_a_network_that_knows_nothing_has_the_least_negative_entropy(case):
    _, _, images, labels = case
    module = network()
    for parameter in module.parameters():
        parameter.data.zero_()
    names = "cross_entropy,negative_entropy"
    measures = gentool.measure(module, images=images, labels=labels, only=names)["measures"]
    assert measures["cross_entropy"] == pytest.approx(math.log(3))
    assert measures["negative_entropy"] == pytest.approx(-math.log(3))


@pytest.fixture(scope="module")
def gradients(case):
    """Return w and the gradient of each image's loss, (m, P): one backward pass an image."""
    module, _, images, labels = case
    module = copy.deepcopy(module).double()
    return torch.cat([p.detach().flatten() for p in module.parameters()]), torch.stack(
        [_gradient(module, images[i : i + 1], labels[i : i + 1]) for i in range(IMAGES)]
    )


def _gradient(module, images, labels):
    module.zero_grad()
    cross_entropy(module(images.double()), labels).backward()
    return torch.cat([p.grad.flatten() for p in module.parameters()])


def test_fisher_rao_is_a_quadratic_form_of_the_dense_fisher_matrix(record, gradients):
    """Equation 45: (d + 1)² wᵀ F w for three weight layers, F = 1/m Σ g gᵀ."""
    w, g = gradients
    expected = 16 * float(w @ (g.T @ g / IMAGES) @ w)
    assert record["measures"]["fisher_rao"] == pytest.approx(expected, rel=1e-6)


def test_fisher_rao_of_a_homogeneous_network_is_that_of_its_outputs(case):
    """Liang et al.: without biases ⟨w, ∇ℓ⟩ is d times the slope of ℓ along the logits."""
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(128, 9, bias=False), nn.ReLU(), nn.Linear(9, 3, bias=False)
    )
    _, _, images, labels = case
    logits = module.double()(images.double()).detach().requires_grad_()
    [slopes] = torch.autograd.grad(cross_entropy(logits, labels, reduction="sum"), logits)
    expected = 9 * float((2 * (slopes * logits.detach()).sum(dim=1)).square().mean())
    record = gentool.measure(module, images=images, labels=labels, only="fisher_rao")
    assert record["measures"]["fisher_rao"] == pytest.approx(expected, rel=1e-6)


def test_gradient_noise_is_the_trace_of_the_covariance(case, record, gradients):
    """Equation 66, and 65 of another network: the variance of the rows of the gradients."""
    _, g = gradients
    expected = float((g - g.mean(dim=0)).square().sum(dim=1).mean())
    assert record["measures"]["gradient_noise"] == pytest.approx(expected, rel=1e-6)
    assert record["measures"]["gradient_noise_first_epoch"] is None
    module, initial, images, labels = case
    names = ["gradient_noise", "gradient_noise_first_epoch"]
    data = {"images": images, "labels": labels, "only": names}
    at_start = gentool.measure(initial, **data)["measures"]["gradient_noise"]
    both = gentool.measure(module, first_epoch=initial, **data)["measures"]
    assert both["gradient_noise_first_epoch"] == pytest.approx(at_start, rel=1e-12)
    assert both["gradient_noise"] == pytest.approx(expected, rel=1e-6)


def test_one_image_has_no_gradient_noise(case):
    module, _, images, labels = case
    record = gentool.measure(module, images=images[:1], labels=labels[:1], only="gradient_noise")
    assert record["measures"]["gradient_noise"] == pytest.approx(0, abs=1e-20)


def test_the_command_takes_the_network_after_the_first_epoch(tmp_path):
    """As `gentool train --save-every 1` keeps it: the noise is that of its own record."""
    path = tmp_path / "net.safetensors"
    options = ["--model", "mlp", "--hidden", "8", "--data", "digits", "--subset", "40"]
    saved = ["--epochs", "2", "--save-every", "1", "-q", "-o", str(path)]
    assert run(["train", *options, *saved]) in (0, 1)
    first = tmp_path / "net.epoch0001.safetensors"
    names = "gradient_noise,gradient_noise_first_epoch"
    assert run(["measure", str(first), "--only", "gradient_noise", "-q"]) == 0
    assert run(["measure", str(path), "--only", names, "--first-epoch", str(first), "-q"]) == 0
    alone = measure_file.read(tmp_path / "net.epoch0001.measures.json")["measures"]
    both = measure_file.read(tmp_path / "net.measures.json")["measures"]
    assert both["gradient_noise_first_epoch"] == pytest.approx(alone["gradient_noise"], rel=1e-12)
    assert both["gradient_noise"] != both["gradient_noise_first_epoch"]


def test_every_equation_has_a_measure_that_names_it():
    """Of 48 to 62 among the definitions of `gentool sharpness`, all others in the registry."""
    of_sharpness = {each.name: each.summary for each in definitions()}
    for equation, name in EQUATIONS.items():
        known = (
            of_sharpness if equation in OF_SHARPNESS else {n: MEASURES[n].summary for n in [name]}
        )
        assert f"equation {equation}" in known[name]


def test_only_what_was_cheap_runs_unasked():
    assert not any(m.name.endswith(("_over_m", "_as_published")) for m in MEASURES.select(None))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [((40, 90), (40.0, 50.0)), ((40, 40), (40.0, 0.0)), ((40, None), (40.0, None))],
)
def test_steps_are_read_off_the_training_record(case, steps, expected):
    """Steps to a loss of 0.1, and from there to 0.01, where that was seen."""
    first, second = steps
    outcome = SimpleNamespace(steps=100, steps_to_loss_0_1=first, steps_to_loss_0_01=second)
    net = Measured(canonical(case[0], (2, 8, 8)), outcome=outcome)
    names = ["steps_to_loss_0_1", "steps_from_loss_0_1_to_0_01"]
    values = evaluate_measures(net, MEASURES.select(names)).measures
    assert tuple(values[name] for name in names) == expected


def test_a_network_without_a_training_record_has_no_steps(record):
    assert record["measures"]["steps_to_loss_0_1"] is None
    assert any("steps_to_loss_0_1: the checkpoint has no record" in n for n in record["notes"])
