"""The benchmarks run and print their tables; the times themselves are not tested."""

import importlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.small_sets import ROUNDING
from torch import nn

from gentool.cli import main as cli

CPU = torch.device("cpu")


@pytest.fixture
def benchmark_named(monkeypatch):
    """Yield a function that imports a benchmark by name, as running it as a script does."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples" / "benchmarks"))
    names = ("kendall", "measures", "rates", "sharpness", "together", "torch_func", "training")
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


def rows(text):
    """Return the rows of a Markdown table, without its head."""
    table = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table[2:]]


def test_operations_are_one_multiplication_and_one_addition_a_product(benchmark_named):
    rates = benchmark_named("rates")
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3))
    assert rates.forward_operations(mlp, (3, 2, 2)) == 2 * (12 * 5 + 5 * 3)
    convolution = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    assert rates.forward_operations(convolution, (3, 8, 8)) == 2 * 64 * 27 * 4
    assert rates.product_rate(CPU) > 1e8


@pytest.mark.parametrize("name", ["quality", "doubling", "speed"])
def test_a_benchmark_of_the_search_prints_a_row_for_each_case(
    name, benchmark_named, saved, monkeypatch, capsys
):
    sharpness = benchmark_named("sharpness")
    monkeypatch.setattr(sharpness, "ALPHAS", (0.0005,))
    options = {"data": None, "data_dir": None, "device": "cpu", "seeds": 1, "alpha": [0.0005]}
    options |= {"cost": 2, "others": ["vertex", "apgd:20"]}
    sharpness.COMMANDS[name](SimpleNamespace(checkpoints=[saved], **options))
    [row] = rows(capsys.readouterr().out)
    assert row[0].startswith(saved.stem)
    if name == "quality":
        assert all(float(cell.removesuffix(" %")) < 0.01 for cell in row[4:])


def test_batching_times_every_way_of_evaluating_candidates(benchmark_named, monkeypatch, capsys):
    sharpness = benchmark_named("sharpness")
    monkeypatch.setattr(sharpness, "SMALL", [(6, 2)])
    monkeypatch.setattr(sharpness, "LARGE", [])
    sharpness.batching(SimpleNamespace(rounds=1))
    [[network, candidates, images, *seconds, _]] = rows(capsys.readouterr().out)
    assert (network, candidates, images) == ("6-2-10", "16", "128")
    assert all(float(cell) > 0 for cell in seconds)


def test_training_is_timed_beside_a_plain_loop(benchmark_named, monkeypatch, capsys):
    training = benchmark_named("training")
    tiny = {"MLP, 64 units": ("mlp", {"hidden": 64}, (1, 2, 2), 128, 64)}
    monkeypatch.setattr(training, "NETWORKS", tiny)
    monkeypatch.setattr(training, "ON_CUDA", tiny)
    training.main(CPU, "float32", is_compiled=False)
    alone, stacked = capsys.readouterr().out.split("| ten networks")
    assert [row[:2] for row in rows(alone)] == [["MLP, 64 units", "64"]]
    assert len(rows("| ten networks" + stacked)) == 2


def test_networks_of_a_gpu_are_timed_alone_and_together(benchmark_named, monkeypatch, capsys):
    """Two VGGs on the CPU, in one process; then the table, as if each epoch took a second."""
    together = benchmark_named("together")
    for name in ("WARM_UP", "TIMED"):
        monkeypatch.setattr(together, name, 1)
    monkeypatch.setattr(together, "TOGETHER", 2)
    monkeypatch.setattr(together, "print_machine", lambda *_: {"bfloat16": 1e12})
    options = SimpleNamespace(images=4, width=0.02, only="")
    thin = together.network(options, batch_size=2, dropout=0.5)
    assert together.alone(thin, CPU) > 0
    assert together.in_threads(thin, CPU) > 0
    for name in ("alone", "in_processes", "in_threads"):
        monkeypatch.setattr(together, name, lambda vgg, device, **_: 1.0)
    together.on_gpu(CPU, options)
    table = rows(capsys.readouterr().out)
    assert {(row[0], row[3]) for row in table} == {
        ("one", "4"),
        ("one, kernels launched", "4"),
        ("one, compiled", "4"),
        ("2 in processes", "8"),
        ("2 in one process", "8"),
    }
    assert {row[1] for row in table} == {"64", "1,024"}


def test_a_grid_is_timed_in_turn_and_in_two_processes(benchmark_named, monkeypatch, capsys):
    """The command trains two networks; the ratio is above 1 where two processes are faster."""
    together = benchmark_named("together")
    monkeypatch.setattr(together, "TURNS", 1)
    monkeypatch.setattr(together, "print_machine", lambda *_: {})
    monkeypatch.setattr(together.subprocess, "run", lambda command, **_: cli.run(command[3:]))
    timed = together.grid_seconds

    def seconds(data, jobs, dropout, width):
        if jobs == 1:  # two processes write the same files, as tests of the command show
            timed(data, jobs, dropout, width)
            grid = data.parent / "grid"
            assert len(list(grid.glob(f"*-dropout{dropout}-*.safetensors"))) == 2
        return 2 / jobs

    monkeypatch.setattr(together, "grid_seconds", seconds)
    together.on_cpu(SimpleNamespace(images=8, width=0.02))
    assert [row[1:] for row in rows(capsys.readouterr().out)[-2:]] == [["2.0", "1.0", "2.00"]] * 2


def test_the_bootstrap_of_kendalls_tau_has_the_interval_of_a_loop_over_scipys(
    benchmark_named, capsys
):
    benchmark_named("kendall").main(12, 20)
    last = capsys.readouterr().out.splitlines()[-1]
    difference = re.fullmatch(r"the intervals differ by (\S+) at most", last)[1]
    assert float(difference) < 1e-12


@pytest.mark.usefixtures("_float64")
def test_the_networks_of_torch_func_take_the_steps_of_the_stack(benchmark_named, monkeypatch):
    """The two that are timed do the same work: the same logits after an epoch, to rounding."""
    training, torch_func = benchmark_named("training"), benchmark_named("torch_func")
    tiny = ("mlp", {"hidden": 3}, (1, 4, 4), 128, 64)
    monkeypatch.setitem(training.ON_CUDA, "tiny", tiny)
    torch.manual_seed(0)
    runs = [training.make_run("tiny", CPU, seed) for seed in range(2)]
    torch.manual_seed(0)
    others = [training.make_run("tiny", CPU, seed) for seed in range(2)]
    weights = torch_func.functional_epoch(others)()
    training.epoch_function(runs)()
    for k, run in enumerate(runs):
        for name, parameter in run.state.model.named_parameters():
            torch.testing.assert_close(weights[name][k], parameter, rtol=ROUNDING, atol=ROUNDING)


class PyHessianOfPlainAutograd:
    """Stand in for PyHessian, which is not installed with the tests: the same names and results."""

    def __init__(self, model, criterion, data, cuda):
        self.params = list(model.parameters())
        images, labels = data
        loss = criterion(model(images), labels)
        self.gradsH = torch.autograd.grad(loss, self.params, create_graph=True)

    def trace(self, maxIter, tol):
        values = []
        for _ in range(maxIter):
            v = [torch.randn_like(p) for p in self.params]
            products = hessian_vector_product(self.gradsH, self.params, v)
            values.append(float(sum((a * b).sum() for a, b in zip(products, v, strict=True))))
        return values


def hessian_vector_product(gradients, parameters, v):
    return torch.autograd.grad(gradients, parameters, v, retain_graph=True)


def test_measures_are_timed_beside_another_package_with_its_values(
    benchmark_named, monkeypatch, capsys
):
    """A row for each work, and the same numbers: products of a Hessian, and path norms."""
    measures = benchmark_named("measures")
    others = {
        "pyhessian": SimpleNamespace(hessian=PyHessianOfPlainAutograd),
        "pyhessian.utils": SimpleNamespace(hessian_vector_product=hessian_vector_product),
    }
    monkeypatch.setattr(measures, "package", others.get)
    layers = [nn.Conv2d(3, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 2)]
    monkeypatch.setattr(measures, "vgg16", lambda size: nn.Sequential(*layers).eval())
    tiny = ["--turns", "1", "--hidden", "3", "--images", "5", "--probes", "4", "--size", "8"]
    measures.main(measures.parsed([*tiny, "--only", "products,trace,norms,paths,vgg"]))
    table = rows(capsys.readouterr().out)
    assert [row[1] for row in table] == [
        "PyHessian",
        "PyHessian, Hutchinson",
        "PATH-NORM (stand-in)",
        "PATH-NORM (stand-in)",
        "all cheap measures",
    ]
    for row in (table[0], table[2], table[3], table[4]):
        limit = 1e-5 if row is table[0] else 1e-12
        assert float(row[5].rpartition(" ")[2]) < limit
