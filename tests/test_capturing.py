"""CUDA graphs: what is replayed is the function, on whatever it is given.

Without a GPU a recording is played: it computes again from its places into what it found.
"""

import gc
from contextlib import contextmanager, nullcontext, suppress

import pytest
import torch

from gentool import capturing
from gentool.capturing import Captured
from gentool.device import fast_products, resolve

ON_CUDA = torch.cuda.is_available()


class PlayedGraph:
    """A graph that is told by its _Graph what to play."""

    def replay(self):
        for place, value in zip(self.found, self.function(*self.places), strict=True):
            place.copy_(value)


@pytest.fixture
def device(monkeypatch):
    """CUDA where there is one; else the CPU, with a graph that is played."""
    if ON_CUDA:
        return torch.device("cuda")

    @contextmanager
    def record(graph, pool):
        assert not gc.isenabled()
        yield

    class Graph(capturing._Graph):
        def __init__(self, function, given, pool):
            super().__init__(function, given, pool)
            self.graph.function, self.graph.places = function, self.places
            self.graph.found = self.found

    class Stream:
        def wait_stream(self, other):
            pass

    monkeypatch.setattr(torch.cuda, "CUDAGraph", PlayedGraph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(capturing, "_Graph", Graph)
    return torch.device("cpu")


def test_a_captured_function_is_the_function(device):
    """First calls, recorded ones and replays; two shapes and two numbers in turn."""
    calls = []

    def function(x, factor, y):
        calls.append(x.shape)
        return factor * x + y, x.sum()

    captured = Captured(function)
    for i in range(4):
        for n in (3, 5):
            for factor in (2, 3):
                x = torch.full((n,), float(i), device=device)
                found, total = captured(x, factor, x + 1)
                assert torch.equal(found, factor * x + x + 1)
                assert total == n * i
    assert gc.isenabled()
    if ON_CUDA:
        assert len(calls) == 8  # once as it is and once recorded, of each kind


@pytest.mark.skipif(not ON_CUDA, reason="there is no CUDA device, and a played recording runs")
def test_what_a_captured_function_changes_is_changed_once_a_call(device):
    """A recording alone runs nothing."""
    total = torch.zeros(2, device=device)
    captured = Captured(lambda x: (total.add_(x),))
    for i in range(1, 5):
        [found] = captured(torch.ones(2, device=device))
        assert found.tolist() == [i, i]


def test_an_error_while_recording_leaves_garbage_collection_on(device):
    """The error is the function's own."""
    asked = []

    def fails(x):
        asked.append(x + 1)
        if len(asked) > 1:
            raise ValueError("no")
        return (x,)

    captured = Captured(fails)
    captured(torch.ones(1, device=device))
    with pytest.raises(ValueError, match="no"):
        captured(torch.ones(1, device=device))
    assert gc.isenabled()


def test_tf32_is_for_steps_and_searches_alone():
    """Off once a device is chosen, on where asked for, and then as it was; errors included."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    resolve("cpu")
    assert not cudnn.allow_tf32
    for tf32 in (True, False):
        with suppress(ValueError), fast_products(tf32):
            assert matmul.allow_tf32 == cudnn.allow_tf32 == tf32
            assert cudnn.deterministic
            raise ValueError
        assert not any((matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic))
