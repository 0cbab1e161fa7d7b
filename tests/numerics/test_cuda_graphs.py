"""CUDA graphs: replaying a graph gives the same numbers as calling its function.

Without a GPU, the CPU simulates recording and replay (`helpers.played_graphs`).
"""

import gc
import weakref
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
import torch
from helpers.played_graphs import PlayedGraph, play
from helpers.sharpness_helpers import find, mlp_case
from helpers.small_sets import CPU, recipe, same, sets
from torch.nn.functional import dropout

from gentool.data.examples import TrainingSet
from gentool.networks.models import initialised
from gentool.numerics.cuda_graphs import CudaGraphed, _Graph, _without_garbage_collection
from gentool.numerics.device import fast_products, resolve
from gentool.sharpness.expected import ExpectedOptions, expected_curve
from gentool.sharpness.functional import functional_network
from gentool.sharpness.objective import Objective
from gentool.training.epoch import step_function, train_epoch
from gentool.training.run import CheckpointPolicy, Run
from gentool.training.stacked_mlps import StackedMLPs

ON_CUDA = torch.cuda.is_available()


@contextmanager
def playing():
    with pytest.MonkeyPatch.context() as monkeypatch:
        play(monkeypatch)
        yield


@pytest.fixture
def device(monkeypatch):
    """CUDA if there is one, else the CPU with simulated graphs."""
    if not ON_CUDA:
        play(monkeypatch)
    return torch.device("cuda" if ON_CUDA else "cpu")


def test_a_graphed_function_returns_the_same_as_the_function(device):
    """In the first call, the recording and the replays; for two shapes and two numbers in turn."""
    graphed = CudaGraphed(lambda x, factor, y: (factor * x + y, x.sum()))
    for i in range(4):
        for n in (3, 5):
            for factor in (2, 3):
                x = torch.full((n,), float(i), device=device)
                values, total = graphed(x, factor, x + 1)
                assert torch.equal(values, factor * x + x + 1)
                assert total == n * i


def test_a_graphed_function_changes_other_tensors_once_a_call(device):
    """The first call runs the function, the second records (which runs nothing) and replays."""
    total = torch.zeros(2, device=device)
    graphed = CudaGraphed(lambda x: (total.add_(x),))
    for i in range(1, 5):
        [values] = graphed(torch.ones(2, device=device))
        assert values.tolist() == [i, i]


def test_a_graphed_dropout_draws_what_a_called_one_does(device):
    """The same masks after the same seed; another seed, set between replays, gives others."""
    x = torch.ones(1000, device=device)

    def twice(x):
        return (dropout(dropout(x)),)

    def masks(function, seed):
        torch.manual_seed(seed)
        return torch.stack([function(x)[0].clone() for _ in range(3)])

    graphed = CudaGraphed(twice)
    with torch.random.fork_rng():
        expected = {seed: masks(twice, seed) for seed in (1, 2)}
        assert not torch.equal(expected[1], expected[2])
        for seed in (1, 1, 2, 1):  # called, recorded and replayed; then replayed three times
            assert torch.equal(masks(graphed, seed), expected[seed])


def test_the_generator_of_the_current_gpu_is_registered_before_a_graph_is_recorded(monkeypatch):
    """Replays follow the seed of a registered one; PyTorch may register the default one itself."""
    events = []

    class FakeGraph:
        def register_generator_state(self, generator):
            events.append(generator)

    @contextmanager
    def record(graph, pool):
        events.append("recording")
        yield

    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "default_generators", ("first", "second"))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    _Graph(lambda x: (x,), (torch.ones(1),), (0, 0))
    assert events == ["second", "recording"]


def test_garbage_collection_is_suspended_while_a_graph_is_recorded():
    """And is on again afterwards, also after an error."""
    with suppress(ValueError), _without_garbage_collection():
        assert not gc.isenabled()
        raise ValueError
    assert gc.isenabled()


def test_a_graphed_training_step_trains_the_same_network():
    """A VGG with batch norm, batches of two sizes: the same to the bit after three epochs."""
    network_recipe = recipe("vgg", (3, 32, 32), width=0.05, batch_size=23)
    data = sets(n=68, input_shape=(3, 32, 32))
    plain, fast = (Run(network_recipe, data, CPU, CheckpointPolicy()) for _ in range(2))
    with torch.random.fork_rng():
        expected = [train_epoch(plain) for _ in range(3)]
        with playing():
            step = step_function(fast)
            assert [train_epoch(fast, step) for _ in range(3)] == expected
            assert PlayedGraph.played == 9 - 2
    assert same(plain.state.model, fast.state.model)


def test_a_graphed_training_step_with_dropout_draws_anew_in_each_epoch():
    """Seeded once an epoch: the losses and weights of the plain step, and other masks each time.

    At a rate that changes no weight, with one batch, dropout alone makes the running losses differ.
    """
    options = {"width": 0.05, "batch_norm": "hidden", "dropout": 0.5, "batch_size": 68}
    network_recipe = replace(recipe("vgg", (3, 32, 32), **options), lr=1e-30)
    data = sets(n=68, input_shape=(3, 32, 32))
    plain, fast = (Run(network_recipe, data, CPU, CheckpointPolicy()) for _ in range(2))

    def trained(run, step):
        results = []
        for epoch in (0, 1, 2, 3, 3):  # the last is repeated
            run.state.epoch = epoch
            results.append(train_epoch(run, step))
        return results

    with torch.random.fork_rng():
        expected = trained(plain, step_function(plain))
        with playing():
            results = trained(fast, step_function(fast))
            assert PlayedGraph.played == 4
    assert results == expected
    assert same(plain.state.model, fast.state.model)
    assert len({loss for loss, _ in results[:4]}) == 4
    assert results[3] == results[4]


def test_a_graphed_training_step_normalises_stored_images():
    """uint8 on the device, as a GPU holds the images of a VGG: the same to the bit."""
    network_recipe = recipe("vgg", (3, 32, 32), width=0.05, batch_size=23)
    data = sets(n=68, input_shape=(3, 32, 32))
    images = (50 * data.subset.images + 128).clamp(0, 255).to(torch.uint8)
    subset = replace(data.subset, images=images, mean=torch.tensor(128.0), std=torch.tensor(50.0))
    nothing = replace(subset, images=images[:0], labels=subset.labels[:0])
    held, stored = (
        Run(network_recipe, TrainingSet(subset, nothing, nothing), CPU, CheckpointPolicy())
        for _ in range(2)
    )
    stored.examples = stored.sets.all.channels_last()
    assert (held.examples.images.dtype, stored.examples.images.dtype) == (
        torch.float32,
        torch.uint8,
    )
    with torch.random.fork_rng(), playing():
        steps = step_function(held), step_function(stored)
        for _ in range(3):
            assert train_epoch(held, steps[0]) == train_epoch(stored, steps[1])
    assert same(held.state.model, stored.state.model)


def test_graphed_stacked_mlps_train_the_same_networks_and_free_their_memory():
    """Two MLPs, batches of two sizes; deleting the stack frees its graphs."""
    plain, fast = (
        [
            Run(recipe(seed=seed, batch_size=23), sets(n=68), CPU, CheckpointPolicy())
            for seed in (0, 1)
        ]
        for _ in range(2)
    )
    stack = StackedMLPs(plain)
    expected = [stack.train_epoch() for _ in range(3)]
    with playing():
        stack = StackedMLPs(fast)
        assert [stack.train_epoch() for _ in range(3)] == expected
        assert PlayedGraph.played == 9 - 2
    for first, second in zip(plain, fast, strict=True):
        assert same(first.state.model, second.state.model)
    gone = weakref.ref(stack)
    del stack
    assert gone() is None


@pytest.mark.parametrize("alpha", [0.01, 0.1])
def test_a_graphed_search_finds_the_same_point(alpha):
    """With losses and gradients of any number of candidates, on parts of the data and on all."""
    plain = find(mlp_case(), alpha)
    with playing():
        graphed = find(mlp_case(), alpha)
        assert PlayedGraph.played > 50
    assert torch.equal(graphed.point, plain.point)
    assert graphed.after == plain.after
    assert graphed.units == plain.units


def test_graphed_expected_sharpness_is_the_same():
    """Of a small VGG at one alpha, one noisy network after the other."""
    network_recipe = recipe("vgg", (3, 32, 32), width=0.02)
    network = functional_network(initialised(network_recipe).eval(), (3, 32, 32))
    data = sets(n=10, input_shape=(3, 32, 32)).subset

    def sampled():
        objective = Objective(network, data, batching="loop")
        return expected_curve(objective, ExpectedOptions(alpha=0.01, precision=0.5)).points

    expected = sampled()
    with playing():
        assert sampled() == expected
        assert PlayedGraph.played > 3


def test_graphs_are_freed_with_their_objective():
    """No cycle of references keeps their memory."""
    model, data = mlp_case()
    network = functional_network(model, (1, 1, 6))
    with playing():
        objective = Objective(network, data)
        for _ in range(3):
            objective.gradients(network.weights[None])
        gone = weakref.ref(next(iter(objective.cuda_graphs.values())))
        del objective
        assert gone() is None


def test_tf32_is_on_only_inside_fast_products():
    """Off once a device is chosen, on inside, and as before afterwards, also after an error."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    resolve("cpu")
    assert not cudnn.allow_tf32
    for tf32 in (True, False):
        with suppress(ValueError), fast_products(tf32):
            assert matmul.allow_tf32 == cudnn.allow_tf32 == tf32
            assert cudnn.deterministic
            raise ValueError
        assert not any((matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic))
