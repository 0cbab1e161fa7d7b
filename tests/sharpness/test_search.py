"""The search finds the worst perturbation in cases whose answer is known."""

import math

import pytest
import torch
from helpers.sharpness_helpers import examples, find, linear_case, mlp_case
from helpers.small_sets import ROUNDING
from torch import nn
from torch.nn.functional import cross_entropy

from gentool.sharpness.box import box
from gentool.sharpness.functional import functional_network
from gentool.sharpness.objective import towards_probability
from gentool.sharpness.prepared import PreparedNetwork
from gentool.sharpness.search import baselines, starts
from gentool.sharpness.search.state import SearchState
from gentool.sharpness.worst_case import SearchOptions, WorstCaseSearch

ALPHAS = (5e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 1.0)


def rise_by_enumeration(perturbed, data, alpha):
    """Return the largest rise over all corners, by plain matrix products in float64."""
    w = perturbed.weights
    r = alpha * (w.abs() + 1)
    corners = torch.arange(2 ** len(w))[:, None] >> torch.arange(len(w)) & 1
    points = torch.cat([w[None], w + r * (2 * corners - 1)])
    x, classes = data.images.flatten(1).double(), perturbed.classes
    W = points[:, : classes * x.shape[1]].unflatten(1, (classes, -1))
    logits = torch.einsum("kci,ni->knc", W, x) + points[:, None, -classes:]
    losses = cross_entropy(logits.flatten(0, 1), data.labels.repeat(len(points)), reduction="none")
    losses = losses.unflatten(0, (len(points), -1)).mean(dim=1)
    return float(losses.max() - losses[0])


def test_the_default_search_is_exact_on_linear_models():
    """56 models of up to 15 parameters, α from 5e-4 to 1; a convex loss is highest at a corner."""
    missed = []
    for seed in range(56):
        perturbed, data = linear_case(seed)
        assert 6 <= len(perturbed.weights) <= 15
        alpha = ALPHAS[seed % len(ALPHAS)]
        exact = rise_by_enumeration(perturbed, data, alpha)
        missed.append(1 - find((perturbed, data), alpha).rise / exact)
    assert min(missed) > -1e-9
    assert max(missed) < 0.01
    assert sum(part < 1e-6 for part in missed) >= 0.95 * len(missed)


@pytest.mark.parametrize("alpha", [1e-3, 0.1, 1.0])
def test_one_example_of_two_classes_has_a_closed_form(alpha):
    """The margin falls by Σ r|x| over both rows and both biases: the loss is log(1 + e^−margin)."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    model[1].weight.data = torch.tensor([[1.0, -2.0], [0.5, 0.25]])
    model[1].bias.data = torch.tensor([0.5, -1.0])
    x = [2.0, -1.0]
    data = examples(torch.tensor(x).reshape(1, 1, 1, 2), torch.tensor([0]))
    before = (1 * 2 + -2 * -1 + 0.5) - (0.5 * 2 + 0.25 * -1 - 1)
    fall = alpha * ((2 + 1.5) * 2 + (3 + 1.25) * 1 + 1.5 + 2)
    rise = math.log1p(math.exp(fall - before)) - math.log1p(math.exp(-before))
    assert find((model, data), alpha).rise == pytest.approx(rise, rel=1e-9)


@pytest.mark.parametrize("alpha", [1e-4, 1e-6, 1e-8])
def test_a_small_box_is_linear(alpha):
    """rise / (α Σ (|w| + 1) |g|) → 1 as α → 0."""
    model, data = mlp_case(scale=0.5)
    wrong = examples(data.images, (data.labels + 1) % 3)
    double = nn.Sequential(*model).double()
    cross_entropy(double(wrong.images.double()), wrong.labels).backward()
    first = sum(float(((p.detach().abs() + 1) * p.grad.abs()).sum()) for p in double.parameters())
    ratio = find((model.float(), wrong), alpha).rise / (alpha * first)
    assert ratio == pytest.approx(1, abs=100 * alpha + 1e-6)


def test_alpha_zero_gives_zero_without_a_search():
    """α = 0 is exactly 0, and costs nothing."""
    result = find(mlp_case(), 0.0)
    assert result.rise == 0
    assert result.spent.gradient == 0


def test_a_larger_box_holds_a_larger_rise():
    rises = [find(mlp_case(), alpha).rise for alpha in (1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1)]
    assert rises == sorted(rises)
    assert rises[0] > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_faces_of_the_box_are_inside_it(dtype):
    """Plain rounding of w + r to float32 would put about half of them outside."""
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(20_000, dtype=torch.float64, generator=generator) * 10
    for alpha in (5e-4, 0.01, 1.0):
        faces = box(w, alpha, dtype)
        assert faces.contains(faces.low)
        assert faces.contains(faces.high)
        assert not faces.contains(faces.high.nextafter(torch.tensor(torch.inf, dtype=dtype)))
    plain = (w + 5e-4 * (w.abs() + 1)).float().double()
    assert bool(((plain - w).abs() > 5e-4 * (w.abs() + 1)).any())


@pytest.mark.parametrize("method", ["default", "vertex", "apgd", "pga", "lbfgsb", "random"])
def test_every_search_reports_a_true_rise_at_a_point_in_the_box(method):
    """Recomputed from the point alone; and no search costs more than its units."""
    model, data = mlp_case()
    units = None if method == "default" else 40.0
    result = find((model, data), 0.02, method=method, units=units)
    w = torch.cat([p.detach().flatten() for p in model.parameters()]).double()
    assert bool(((result.point.double() - w).abs() <= 0.02 * (w.abs() + 1)).all())
    perturbed = nn.Sequential(*model).double()
    with torch.no_grad():
        before = cross_entropy(perturbed(data.images.double()), data.labels)
        nn.utils.vector_to_parameters(result.point.double(), perturbed.parameters())
        after = cross_entropy(perturbed(data.images.double()), data.labels)
    assert result.rise == pytest.approx(float(after - before), rel=1e-9)
    assert result.rise > 0
    assert units is None or result.units <= units


def test_the_default_search_is_the_highest_at_equal_cost():
    """On an MLP with several basins, at the budget that the default search itself takes."""
    case = mlp_case(hidden=40, images=300, classes=5, seed=3)
    for alpha in (0.005, 0.05):
        ours = find(case, alpha)
        for method in ("vertex", "apgd", "pga", "lbfgsb", "lbfgsb-subspace", "random"):
            assert find(case, alpha, method=method, units=ours.units).rise <= ours.rise * 1.001


@pytest.mark.parametrize("alpha", [0.005, 0.05])
def test_a_search_that_is_not_quite_cheap_is_the_highest_at_equal_cost_too(alpha, monkeypatch):
    """With a short genetic search; where a pass is dear there is none, and fewer passes in all."""
    case = mlp_case(hidden=24, images=100, classes=4, seed=5)
    network = functional_network(case[0], (1, 1, 6))
    work = len(case[1]) * network.activations
    monkeypatch.setattr(starts, "CHEAP", work - 1)
    ours = find(case, alpha)
    assert "bred" in {start.name for start in ours.starts}
    for method in ("vertex", "apgd"):
        assert find(case, alpha, method=method, units=ours.units).rise <= ours.rise * 1.001
    monkeypatch.setattr(starts, "CHEAP", work // 100)
    dear = find(case, alpha)
    assert "bred" not in {start.name for start in dear.starts}
    assert dear.units < 0.8 * ours.units
    assert dear.rise <= ours.rise * 1.001


@pytest.mark.parametrize("alpha", [0.005, 0.05])
def test_the_default_search_goes_on_until_it_has_arrived(alpha):
    """Ten more vertex iterations from its point gain next to nothing."""
    case = mlp_case(hidden=24, images=100, classes=4, seed=5)
    result = find(case, alpha)
    network = functional_network(case[0], (1, 1, 6))
    objective, _ = PreparedNetwork(network, case[1], "vmap").objective(torch.float64)
    within = box(network.weights, alpha, torch.float64)
    point, best = result.point.double(), -math.inf
    for _ in range(10):
        losses, gradients = objective.gradients(point[None])
        best = max(best, float(losses))
        point = within.corner(gradients[0] > 0)
    assert best - result.before.loss <= result.rise * (1 + 2e-4)


def test_each_class_has_two_starts_unless_there_are_fewer():
    """Towards its logit, and towards its log-probability."""
    names = {start.name for start in find(mlp_case(classes=3), 0.01).starts}
    assert {f"{kind} {c}" for kind in ("class", "log p of") for c in range(3)} <= names
    few = find(mlp_case(classes=3), 0.01, restarts=5)
    assert "log p of 0" not in {start.name for start in few.starts}


def test_towards_probability_is_the_log_probability_of_a_class():
    """Recomputed from the definition, for logits at which a plain exponential would overflow."""
    logits = torch.tensor([[1.0, 2.0, 0.5], [900.0, -900.0, 0.0]], dtype=torch.float64)
    direction = torch.tensor([0.0, 1.0, 0.0])
    values = towards_probability(logits, torch.zeros(2, dtype=torch.int64), direction)
    expected = 2 - math.log(math.exp(1) + math.exp(2) + math.exp(0.5))
    assert values.tolist() == pytest.approx([expected, -1800.0])


@pytest.mark.parametrize("name", ["pga", "apgd"])
@pytest.mark.parametrize("units", [7, 100, 400, 1000])
def test_a_search_from_w_starts_again_and_spends_its_units_in_runs_of_20_to_100_steps(
    name, units, monkeypatch
):
    starts, runs = [], baselines._runs

    def noted(state):
        for point, steps in runs(state):
            starts.append((bool(torch.equal(point, state.center)), steps))
            yield point, steps

    monkeypatch.setattr(baselines, "_runs", noted)
    result = find(mlp_case(), 0.02, method=name, units=float(units))
    assert units - 4 < result.units <= units
    assert [at_w for at_w, _ in starts] == [i == 0 for i in range(len(starts))]
    assert len(starts) >= units // 250
    if units >= 100:
        assert all(20 <= steps <= 100 for _, steps in starts if steps > 1)


def test_permuting_the_hidden_units_does_not_change_the_rise():
    """A permuted network is the same function with the same box."""
    model, data = mlp_case(hidden=24)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    permuted = nn.Sequential(nn.Flatten(), nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 3))
    permuted[1].weight.data = model[1].weight.data[order]
    permuted[1].bias.data = model[1].bias.data[order]
    permuted[3].weight.data = model[3].weight.data[:, order]
    permuted[3].bias.data = model[3].bias.data
    for alpha in (5e-4, 5e-3):
        rise, permuted_rise = (find((m, data), alpha).rise for m in (model, permuted))
        assert rise == pytest.approx(permuted_rise, rel=0.01)


def test_chunks_and_batching_do_not_change_the_losses():
    """All at once, a few bytes at a time, or one network after the other: the same to rounding."""
    from dataclasses import replace

    model, data = mlp_case()
    network = functional_network(model, (1, 1, 6))
    objective, _ = PreparedNetwork(network, data, "vmap").objective(torch.float64)
    w, generator = objective.network.weights, torch.Generator().manual_seed(0)
    points = w + 0.1 * torch.randn(7, len(w), generator=generator, dtype=torch.float64)
    losses, gradients = objective.gradients(points)
    for other in (
        replace(objective, memory=40_000),
        replace(objective, batching="loop"),
        replace(objective, batching="loop", memory=1),
    ):
        again = other.gradients(points)
        assert torch.allclose(again[0], losses, rtol=ROUNDING, atol=0)
        assert (again[1] - gradients).abs().max() < ROUNDING * gradients.abs().max()
        assert torch.allclose(other.losses(points), losses, rtol=ROUNDING, atol=0)


def test_a_subspace_drawn_in_blocks_has_one_basis(monkeypatch):
    """Its rows have norm 1, and coordinates of a gradient are the transpose of a point's.

    To the rounding of float32: that of four squares, a root and a quotient, and of sums of 30.
    """
    u = torch.finfo(torch.float32).eps / 2
    monkeypatch.setattr(baselines, "ROWS", 7)
    subspace = baselines.Subspace(3, 30, 4, torch.device("cpu"))
    basis = torch.stack([subspace.point(axis) for axis in torch.eye(4, dtype=torch.float64)], dim=1)
    assert (basis.norm(dim=1) - 1).abs().max() <= 6 * u
    gradient = torch.linspace(-1, 1, 30, dtype=torch.float64)
    off = (subspace.coordinates(gradient) - basis.T @ gradient).abs()
    assert bool((off <= 32 * u * (basis.abs().T @ gradient.abs())).all())
    assert len(basis.unique(dim=0)) == 30


def test_a_sample_estimates_the_loss_without_bias():
    """Half of a sample are the hardest images; the others are weighted up for all the rest."""
    model, data = mlp_case(images=200)
    search = WorstCaseSearch(
        functional_network(model, (1, 1, 6)), data, SearchOptions(batching="vmap")
    )
    state, _ = search.state(0.05, torch.float64)
    point = state.box.corner(state.random_signs(1))
    whole = float(state.objective.losses(point))
    estimates = [float(state.sample(40).losses(point)) for _ in range(400)]
    mean = sum(estimates) / len(estimates)
    error = math.sqrt(sum((f - mean) ** 2 for f in estimates)) / len(estimates)
    assert abs(mean - whole) < 4 * error
    assert error < 0.05 * whole


@pytest.mark.parametrize("batching", ["loop", "vmap"])
def test_in_a_deep_network_starts_by_short_steps_have_a_higher_loss(batching, monkeypatch):
    """For each class, higher than at the corner that the gradient of its logit at w points to."""
    generator = torch.Generator().manual_seed(0)
    layers = [nn.Linear(8, 16), *(nn.Linear(16, 16) for _ in range(5)), nn.Linear(16, 4)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
    hidden = [module for layer in layers[:-1] for module in (layer, nn.ReLU())]
    deep = functional_network(nn.Sequential(nn.Flatten(), *hidden, layers[-1]), (1, 1, 8))
    data = examples(torch.randn(60, 1, 1, 8, generator=generator), torch.arange(60) % 4)
    state, _ = WorstCaseSearch(deep, data, SearchOptions(batching=batching)).state(
        0.05, torch.float32
    )
    assert starts.is_deep(state.objective)

    def losses():
        anywhere = state.random_signs(1)[0]
        corners = starts._class_corners(state, state.objective, anywhere, torch.eye(4))
        return state.objective.losses(state.box.corner(corners))

    ascended = losses()
    monkeypatch.setattr(starts, "DEEP", 99)
    assert bool((ascended > losses()).all())


def test_the_same_seed_finds_the_same_point():
    case = mlp_case(hidden=200)
    first, again, other = (find(case, 0.01, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.point, again.point)
    assert [s.rise for s in first.starts] != [s.rise for s in other.starts]


def test_the_model_is_left_as_it_was():
    model, data = mlp_case()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    find((model, data), 0.1)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())


def test_a_loss_beyond_float32_at_the_worst_point_is_found_in_float64():
    """Ten layers of weights about 100 and α = 100: logits of about 1e40 and more."""
    layers = [nn.Flatten()]
    generator = torch.Generator().manual_seed(0)
    for _ in range(9):
        layers += [nn.Linear(16, 16), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(16, 3))
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 4
    images = torch.randn(20, 1, 1, 16, generator=generator)
    result = find((model, examples(images, model(images).argmax(dim=1))), 1000.0)
    assert result.precision == "float64"
    assert 1e38 < result.rise < math.inf


def test_a_loss_beyond_float64_leaves_the_best_finite_point():
    """At α = 1e200 three layers overflow float64 at most points: marked, and still a number."""
    result = find(mlp_case(), 1e200)
    assert result.overflowed
    assert 0 <= result.rise < math.inf


def test_a_search_out_of_time_returns_the_best_so_far():
    result = find(mlp_case(hidden=100), 0.01, seconds=0.02)
    assert result.stopped == "time"
    assert result.rise >= 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_cuda_and_cpu_agree_at_the_same_point():
    from gentool.sharpness.evaluate import evaluate_point

    model, data = mlp_case(hidden=64, images=500)
    result = find((model, data), 0.01)
    there = examples(data.images.cuda(), data.labels.cuda())
    perturbed = functional_network(model, (1, 1, 6)).to(torch.device("cuda"))
    after = evaluate_point(perturbed, there, result.point.cuda())
    before = evaluate_point(perturbed, there, perturbed.weights)
    assert after.loss - before.loss == pytest.approx(result.rise, rel=ROUNDING)


def test_a_search_does_not_change_its_objective():
    """Only the cost is shared with the search."""
    model, data = mlp_case()
    perturbed = functional_network(model, data.images.shape[1:])
    objective, _ = PreparedNetwork(perturbed, data).objective(torch.float64)
    watch, w = objective.watch, objective.network.weights
    state = SearchState(objective, box(w, 0.01, torch.float64), 0.0, torch.Generator())
    state.losses(w[None])
    assert objective.watch is watch
    assert objective.spent.forward == len(objective)
