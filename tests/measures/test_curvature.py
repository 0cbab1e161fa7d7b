"""Curvature and gradients against matrices that autograd, or enumeration, writes out."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from gentool.data.examples import Examples, without_other_sets
from gentool.measures import MEASURES, Measured, evaluate_measures
from gentool.networks.canonical import canonical

MLP = "mlp"
CNN = "cnn"
PLAIN = "one output"
LAYERS = {
    MLP: lambda: [nn.Flatten(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)],
    CNN: lambda: [
        nn.Conv2d(2, 3, 2, bias=False),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(1),
        nn.Flatten(),
        nn.Linear(3, 3),
    ],
    PLAIN: lambda: [nn.Flatten(), nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 1)],
}


class Written:
    """A network with its loss as a function of one vector, by PyTorch's own module."""

    def __init__(self, kind, images=12):
        torch.manual_seed(1)
        self.module = nn.Sequential(*LAYERS[kind]()).double()
        self.x = torch.randn(images, 2, 2, 2, dtype=torch.float64)
        self.y = torch.randint(2 if kind == PLAIN else 3, (images,))
        self.names = [name for name, _ in self.module.named_parameters()]
        self.shapes = [p.shape for p in self.module.parameters()]
        self.w = torch.cat([p.detach().flatten() for p in self.module.parameters()])

    def logits(self, w, x):
        parts = w.split([shape.numel() for shape in self.shapes])
        named = {n: p.reshape(s) for n, p, s in zip(self.names, parts, self.shapes, strict=True)}
        out = functional_call(self.module, named, (x,))
        return torch.cat([torch.zeros_like(out), out], 1) if out.shape[1] == 1 else out

    def loss(self, w, x=None, y=None):
        x, y = (self.x, self.y) if x is None else (x, y)
        return cross_entropy(self.logits(w, x), y)

    @property
    def hessian(self):
        return torch.autograd.functional.hessian(self.loss, self.w)

    @property
    def image_gradients(self):
        """One backward pass an image: (m, P)."""
        w = self.w.clone().requires_grad_()
        pairs = zip(self.x, self.y, strict=True)
        return torch.stack(
            [torch.autograd.grad(self.loss(w, x[None], y[None]), w)[0] for x, y in pairs]
        )

    @property
    def fisher(self):
        """Sum over all classes of p_c g_c g_cᵀ, g_c the gradient of −log p_c: by enumeration."""
        w, total = self.w.clone().requires_grad_(), 0
        for x in self.x:
            p = self.logits(w, x[None]).softmax(1)[0].detach()
            for c in range(len(p)):
                [g] = torch.autograd.grad(self.loss(w, x[None], torch.tensor([c])), w)
                total = total + p[c] * torch.outer(g, g)
        return total / len(self.x)

    def block_sizes(self):
        """Parameters of each weight layer, biases with their weights."""
        sizes = {}
        for name, shape in zip(self.names, self.shapes, strict=True):
            key = name.split(".")[0]
            sizes[key] = sizes.get(key, 0) + shape.numel()
        return list(sizes.values())

    def blocks(self, matrix):
        ends = torch.tensor(self.block_sizes()).cumsum(0).tolist()
        return [
            matrix[end - n : end, end - n : end]
            for end, n in zip(ends, self.block_sizes(), strict=True)
        ]

    def net(self, **settings):
        ones = torch.ones(2, 1, 1, dtype=torch.float64)
        sets = without_other_sets(Examples(self.x, self.y, 0 * ones, ones))
        return Measured(canonical(self.module, (2, 2, 2)), sets=sets, **settings)


def values(net, *names):
    measured = evaluate_measures(net, MEASURES.select(names))
    assert measured.notes == []
    return measured.measures


@pytest.mark.parametrize("kind", LAYERS)
def test_traces_and_their_layers_are_those_of_the_written_matrices(kind, monkeypatch):
    """With as many products as parameters, and all images, nothing is sampled: errors are 0."""
    from gentool.measures import curvature

    monkeypatch.setattr(curvature, "PRODUCTS", 64)
    written = Written(kind)
    net = written.net()
    names = ["hessian_trace_of_layers", "gauss_newton_trace", "empirical_fisher_trace"]
    found = values(net, *names)
    G = written.image_gradients
    matrices = [written.hessian, written.fisher, G.T @ G / len(G)]
    keys = ["hessian_trace", "gauss_newton_trace", "empirical_fisher_trace"]
    for name, key, matrix in zip(names, keys, matrices, strict=True):
        assert found[name] == pytest.approx(float(matrix.trace()), rel=1e-9)
        traces = [float(block.trace()) for block in written.blocks(matrix)]
        assert net.of_layers[key] == pytest.approx(traces, rel=1e-9, abs=1e-12)
        assert found[f"{name}_stderr"] == 0


def test_a_sampled_trace_of_the_hessian_is_within_its_error_of_the_exact_one():
    written = Written(MLP)
    exact = float(written.hessian.trace())
    for seed in range(4):
        found = values(written.net(seed=seed), "hessian_trace_of_layers")
        error = found["hessian_trace_of_layers_stderr"]
        assert error > 0
        assert abs(found["hessian_trace_of_layers"] - exact) < 4 * error


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dense", [256, 0], ids=["written out", "iterated"])
def test_top_eigenvalues_are_those_of_the_written_matrices(kind, dense, monkeypatch):
    from gentool.measures import curvature

    monkeypatch.setattr(curvature, "DENSE", dense)
    written = Written(kind)
    G = written.image_gradients
    matrices = {
        "hessian": written.hessian,
        "gauss_newton": written.fisher,
        "empirical_fisher": G.T @ G / len(G),
    }
    names = [f"{matrix}_eigenvalue_{k}" for matrix in matrices for k in range(1, 6)]
    found = values(written.net(), *names)
    for name, matrix in matrices.items():
        top = torch.linalg.eigvalsh(matrix).flip(0)[:5].tolist()
        mine = [found[f"{name}_eigenvalue_{k}"] for k in range(1, 6)]
        assert mine == pytest.approx(top, rel=1e-5, abs=1e-9 * top[0])


def test_the_top_eigenvalue_of_each_layer_is_that_of_its_block():
    written = Written(MLP)
    net = written.net()
    found = values(net, "hessian_top_eigenvalue_of_layers")
    tops = [float(torch.linalg.eigvalsh(block)[-1]) for block in written.blocks(written.hessian)]
    assert net.of_layers["hessian_top_eigenvalue"] == pytest.approx(tops, rel=1e-5)
    assert found["hessian_top_eigenvalue_of_layers"] == pytest.approx(max(tops), rel=1e-5)


def test_sampled_traces_are_within_their_error_of_the_exact_ones():
    """With few images at a time, of 400, the sampling stops before the last."""
    written = Written(MLP, images=400)
    exact = float(written.image_gradients.square().sum(1).mean())
    rises = []
    for seed in range(5):
        net = written.net(seed=seed, rel_error=0.08)
        from gentool.measures.derivatives import Derivatives

        Derivatives.of(net).gradient_chunk = lambda: 20
        found = values(net, "empirical_fisher_trace")
        error = found["empirical_fisher_trace_stderr"]
        assert 0 < error <= 0.08 * found["empirical_fisher_trace"]
        rises.append((found["empirical_fisher_trace"] - exact) / error)
    assert max(map(abs, rises)) < 4


@pytest.mark.parametrize("kind", [MLP, PLAIN])
def test_tic_is_the_trace_of_the_pseudo_inverse_times_the_gradients(kind):
    written = Written(kind)
    H, G = written.hessian, written.image_gradients
    e, V = torch.linalg.eigh(H)
    inverse = torch.where(e > 1e-6 * e[-1], 1 / e, 0.0)
    expected = float((V @ torch.diag(inverse) @ V.T @ (G.T @ G / len(G))).trace()) / len(G)
    found = values(written.net(), "tic", "tic_trace_ratio")
    assert found["tic"] == pytest.approx(expected, rel=1e-7)
    ratio = float((G.T @ G / len(G)).trace() / written.fisher.trace()) / len(G)
    assert found["tic_trace_ratio"] == pytest.approx(ratio, rel=1e-9)


@pytest.mark.parametrize("kind", LAYERS)
def test_relative_flatness_is_the_weighted_sum_of_traces_of_the_written_hessian(kind):
    """Σ ⟨w_s, w_t⟩ tr(∂²L / ∂w_s ∂w_t), by the Hessian of the last layer's weight alone."""
    written = Written(kind)
    last = written.module[-1]
    phi = written.module[:-1](written.x).detach()

    def loss(flat):
        out = nn.functional.linear(phi, flat.reshape(last.weight.shape), last.bias.detach())
        out = torch.cat([torch.zeros_like(out), out], 1) if out.shape[1] == 1 else out
        return cross_entropy(out, written.y)

    W = last.weight.detach()
    H = torch.autograd.functional.hessian(loss, W.flatten()).reshape(*W.shape, *W.shape)
    expected = sum(
        float(W[s] @ W[t]) * float(torch.diagonal(H[s, :, t, :]).sum())
        for s in range(len(W))
        for t in range(len(W))
    )
    assert values(written.net(), "relative_flatness")["relative_flatness"] == pytest.approx(
        expected, rel=1e-9
    )


@pytest.mark.parametrize("kind", LAYERS)
def test_gradient_norms_are_those_of_autograd(kind):
    written = Written(kind)
    net = written.net()
    found = values(net, "gradient_norm", "input_gradient_norm", "input_jacobian_norm")
    w = written.w.clone().requires_grad_()
    [gradient] = torch.autograd.grad(written.loss(w), w)
    assert found["gradient_norm"] == pytest.approx(float(gradient.norm()), rel=1e-10)
    norms = [float(part.norm()) for part in gradient.split(written.block_sizes())]
    assert net.of_layers["gradient_norm"] == pytest.approx(norms, rel=1e-10)
    inputs, jacobians = [], []
    for x, y in zip(written.x, written.y, strict=True):
        J = torch.autograd.functional.jacobian(
            lambda v: written.logits(written.w, v[None]).softmax(1)[0], x
        )
        jacobians.append(float(J.norm()))
        g = torch.autograd.functional.jacobian(
            lambda v, y=y: written.loss(written.w, v[None], y[None]), x
        )
        inputs.append(float(g.norm()))
    assert found["input_gradient_norm"] == pytest.approx(math.fsum(inputs) / 12, rel=1e-9)
    assert found["input_jacobian_norm"] == pytest.approx(math.fsum(jacobians) / 12, rel=1e-9)


def test_local_linearity_is_that_of_many_more_draws_within_its_error():
    written = Written(MLP)
    found = values(written.net(rel_error=0.03), "local_linearity")
    torch.manual_seed(5)
    x = written.x.clone().requires_grad_()
    losses = cross_entropy(written.logits(written.w, x), written.y, reduction="none")
    [g] = torch.autograd.grad(losses.sum(), x)
    losses, errors = losses.detach(), []
    for _ in range(1500):
        noise = 0.1 * torch.randn_like(written.x)
        moved = cross_entropy(
            written.logits(written.w, written.x + noise), written.y, reduction="none"
        )
        errors.append(float((moved - losses - (g * noise).flatten(1).sum(1)).abs().mean()))
    expected, error = math.fsum(errors) / 1500, found["local_linearity_stderr"]
    assert abs(found["local_linearity"] - expected) < 4 * error
    assert 0 < error <= 0.03 * found["local_linearity"]


@pytest.mark.parametrize("chunk", [1, 5])
def test_the_size_of_a_chunk_changes_nothing(chunk, monkeypatch):
    from gentool.measures.derivatives import Derivatives

    names = ["hessian_eigenvalue_1", "gauss_newton_trace", "gradient_norm", "relative_flatness"]
    whole = values(Written(CNN).net(), *names)
    monkeypatch.setattr(Derivatives, "chunk", lambda self, copies=1: chunk)
    parts = values(Written(CNN).net(), *names)
    assert parts == pytest.approx(whole, rel=1e-10)


def test_without_data_measures_of_gradients_are_null_with_the_reason():
    net = replace(Written(MLP).net(), sets=None, shared={})
    chosen = MEASURES.select(["hessian_eigenvalue_1", "gauss_newton_trace", "tic"])
    measured = evaluate_measures(net, chosen)
    assert set(measured.measures.values()) == {None}
    assert "gauss_newton_trace_stderr" in measured.measures
    assert all("it needs the training data" in note for note in measured.notes)
