"""Invariances over the whole registry: what a measure claims holds, and nothing beyond it."""

import json
import math

import pytest
import torch
from torch import nn

import gentool
from gentool.cli.main import run
from gentool.data.examples import Examples, without_other_sets
from gentool.measures import MEASURES, Measured, evaluate_measures, margins
from gentool.measures.transformations import TRANSFORMATIONS, logits_agree
from gentool.networks.canonical import canonical
from gentool.records.measure_facts import changed_by_rescaling

MLP = [nn.Flatten(), nn.Linear(18, 11), nn.LeakyReLU(0.2)]
CNN = [nn.Conv2d(2, 5, 2), nn.ReLU(), nn.MaxPool2d(2, 1), nn.Conv2d(5, 11, 1), nn.ReLU()]
MODELS = {"mlp": [*MLP, nn.Linear(11, 10)], "cnn": [*CNN, nn.Flatten(), nn.Linear(11, 3)]}
OF_ROUNDING = 3e-5  # operator norms and eigenvalues are iterated to 1e-6
MAY_STAY = {"tic"}  # whose pseudo-inverse cuts small eigenvalues, and mostly other ones


@pytest.fixture(scope="module", params=MODELS)
def whole(request):
    """A network with all that a measure may need, its values, and those after each change."""
    torch.manual_seed(3)
    shape = (2, 3, 3)
    model, other = (
        nn.Sequential(*(type_of(layer) for layer in MODELS[request.param])).double()
        for _ in range(2)
    )
    network, before = canonical(model, shape), canonical(other, shape)
    images = torch.randn(24, *shape, dtype=torch.float64)
    labels = network(images).argmax(1)
    labels[0] = (labels[0] + 1) % network.classes
    ones = torch.ones(2, 1, 1, dtype=torch.float64)
    sets = without_other_sets(Examples(images, labels, 0 * ones, ones))
    of_images = margins(network(images), labels)
    net = Measured(network, of_images, initial=lambda: before, sets=sets)
    every = list(MEASURES)
    changed = {
        name: transform(net, torch.Generator().manual_seed(0))
        for name, (_, transform) in TRANSFORMATIONS.items()
    }
    for other in changed.values():
        assert logits_agree(network, other.network, 1e-9)
    values = {name: evaluate_measures(other, every) for name, other in changed.items()}
    return evaluate_measures(net, every), values


def type_of(layer):
    """Return a layer of the same kind with weights of its own."""
    import copy

    layer = copy.deepcopy(layer)
    if hasattr(layer, "reset_parameters"):
        layer.reset_parameters()
    return layer


def difference(before, after, name):
    """The relative change, less what four standard errors of both explain."""
    b, a = before.measures[name], after.measures[name]
    if b is None:
        logs = before.log10[name], after.log10[name]
        return 0.0 if logs[0] == logs[1] else abs(logs[1] - logs[0])
    errors = [v.measures.get(f"{name}_stderr") or 0.0 for v in (before, after)]
    return max(0.0, abs(a - b) - 4 * math.hypot(*errors)) / max(abs(b), 1e-300)


@pytest.mark.parametrize("name", [name for name in TRANSFORMATIONS if "rescaling" not in name])
def test_every_measure_is_invariant_under_what_leaves_all_as_it_is(whole, name):
    before, after = whole[0], whole[1][name]
    changes = {m.name: difference(before, after, m.name) for m in MEASURES}
    assert {m: c for m, c in changes.items() if c > OF_ROUNDING} == {}


@pytest.mark.parametrize("name", ["rescaling_up", "rescaling_down"])
def test_a_measure_is_invariant_under_rescaling_where_it_claims_so_and_nowhere_else(whole, name):
    before, after = whole[0], whole[1][name]
    changes = {m.name: difference(before, after, m.name) for m in MEASURES}
    changed = {m for m, c in changes.items() if c > OF_ROUNDING}
    claimed = {m.name for m in MEASURES if "rescaling" in m.invariances}
    assert changed & claimed == set()
    known = {m.name for m in MEASURES if before.log10[m.name] or before.measures[m.name]}
    assert (known - claimed) - changed <= MAY_STAY
    assert set(changed_by_rescaling(changes)) == set(changes) - claimed


def test_rescaling_multiplies_a_norm_by_what_follows_by_hand(tmp_path):
    """W1 has norm² 25, W2 has 9: 2500 + 0.09 of 34."""
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 1, bias=False)
    )
    module[1].weight.data = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    module[3].weight.data = torch.tensor([[1.0, 2.0, 2.0]])
    names = ["sum_of_squares", "l2_unnormalized"]
    record = gentool.measure(module, (1, 1, 2), only=names, invariance=True)
    factors = record["invariance"]["factors"]
    assert factors["sum_of_squares"]["rescaling_up"] == pytest.approx(2500.09 / 34)
    assert factors["l2_unnormalized"]["rescaling_up"] == pytest.approx(1)
    assert record["changed_by_rescaling"] == ["sum_of_squares"]
    not_applied = record["invariance"]["not_applied"]
    assert set(not_applied) == {"batch_norm", "data_order", "batch_size", "classes"}


def test_measure_writes_and_prints_invariance(saved, tmp_path, capsys):
    path = tmp_path / "net.json"
    options = ["--only", "sum_of_squares,margin,stable_rank", "--invariance", "-o", str(path)]
    assert run(["measure", str(saved), *options]) == 0
    record = json.loads(path.read_text())
    factors = record["invariance"]["factors"]
    assert set(factors) == {"sum_of_squares", "margin", "stable_rank"}
    assert factors["margin"]["classes"] == pytest.approx(1, rel=1e-9)
    assert factors["sum_of_squares"]["rescaling_down"] > 1.1
    told = capsys.readouterr().err
    assert "sum of squares" in told or "sum_of_squares" in told
    assert "2 measures stay as they are" in told


def test_without_homogeneous_activations_rescaling_is_left_out_with_the_reason():
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    record = gentool.measure(module, (1, 2, 2), only="l2_unnormalized", invariance=True)
    assert "positively homogeneous" in record["invariance"]["not_applied"]["rescaling_up"]
    assert record["invariance"]["factors"]["l2_unnormalized"] == pytest.approx(
        {"permutation": 1.0, "batch_norm": 1.0, "classes": 1.0}
    )
