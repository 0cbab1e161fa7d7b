"""CUDA graphs: the many small launches of a step recorded once, and from then on replayed as one.

Launching a kernel takes about as long as a small one runs, so that a step of a narrow network waits
for the launches. The trap: a graph reads and writes the memory that it was recorded with. What it
is given is copied there, and what it returns is overwritten by the next replay.
"""

import gc
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

Arguments = tuple[Tensor | Hashable, ...]
Results = tuple[Tensor | None, ...]


def can_capture(device: torch.device) -> bool:
    """Whether there are such graphs on a device."""
    return device.type == "cuda"


class CudaGraphed:
    """A function of tensors, and of what can be hashed, to tensors, replayed as a CUDA graph.

    It may change other tensors, always the same ones in place, and must never wait for the device.
    For each kind of arguments (the shapes of tensors, the others as they are) the first call runs
    the function as it is, for libraries choose their kernels and compilers compile then; the second
    records it.
    What is returned is good until the next call: the recordings share their memory.
    """

    def __init__(self, function: Callable[..., Results]) -> None:
        self.function = function
        self.graphs: dict[tuple, _Graph | None] = {}
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, *arguments: Tensor | Hashable) -> Results:
        kind = tuple(value.shape if isinstance(value, Tensor) else value for value in arguments)
        first = next(value for value in arguments if isinstance(value, Tensor))
        with torch.cuda.device_of(first):  # streams and recordings are of the current device
            if kind not in self.graphs:
                self.graphs[kind] = None
                return _aside(lambda: self.function(*arguments))
            if self.graphs[kind] is None:
                self.graphs[kind] = _Graph(self.function, arguments, self.pool)
            return self.graphs[kind].replay(arguments)


class _Graph:
    """One recording, with the memory that it reads its arguments from."""

    def __init__(
        self, function: Callable[..., Results], arguments: Arguments, pool: tuple[int, int]
    ) -> None:
        self.places = [v.detach().clone() if isinstance(v, Tensor) else v for v in arguments]
        self.graph = torch.cuda.CUDAGraph()
        with _uncollected(), torch.cuda.graph(self.graph, pool=pool):
            self.results = function(*self.places)  # nothing runs while it is recorded

    def replay(self, arguments: Arguments) -> Results:
        for place, value in zip(self.places, arguments, strict=True):
            if isinstance(value, Tensor):
                place.copy_(value)
        self.graph.replay()
        return self.results


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection: a graph that is freed while another is recorded spoils it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _aside(work: Callable[[], Results]) -> Results:
    """Work on a stream of its own, as PyTorch asks of what is recorded afterwards."""
    here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        results = work()
    here.wait_stream(aside)
    return results
