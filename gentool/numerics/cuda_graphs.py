"""Record the many small kernel launches of a step as a CUDA graph, and replay them as one.

Launching a kernel takes about as long as a small kernel runs, so a step of a narrow network spends
its time on launches. The trap: a graph reads and writes the memory that it was recorded with.
Arguments are copied into that memory, and the next replay overwrites the results.

Random numbers repeat. An operation draws at the seed and offset of the device's generator and adds
to the offset: when called, at once; when recorded, to an offset within the graph; a replay fills in
the seed and offset that the generator has then, and adds what the graph draws in all. So
`torch.manual_seed` before a call decides its draws, whether it runs, records or replays.
"""

import gc
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

Arguments = tuple[Tensor | Hashable, ...]
Results = tuple[Tensor | None, ...]


def can_capture(device: torch.device) -> bool:
    """Return whether a device has CUDA graphs."""
    return device.type == "cuda"


class CudaGraphed:
    """Wrap a function of tensors and hashable arguments so that it is replayed as a CUDA graph.

    The function returns tensors. It may change other tensors in place, the same ones at each call,
    and must never wait for the device.

    There is one graph for each combination of tensor shapes and hashable arguments. The first call
    with a combination runs the function itself, since libraries choose their kernels and compilers
    compile then; the second call records the graph. Results are valid until the next call, for the
    graphs share their memory.
    """

    def __init__(self, function: Callable[..., Results]) -> None:
        self.function = function
        self.graphs: dict[tuple, _Graph | None] = {}
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, *arguments: Tensor | Hashable) -> Results:
        key = tuple(value.shape if isinstance(value, Tensor) else value for value in arguments)
        first = next(value for value in arguments if isinstance(value, Tensor))
        with torch.cuda.device_of(first):  # streams and graphs belong to the current device
            if key not in self.graphs:
                self.graphs[key] = None
                return _on_side_stream(lambda: self.function(*arguments))
            if self.graphs[key] is None:
                self.graphs[key] = _Graph(self.function, arguments, self.pool)
            return self.graphs[key].replay(arguments)


class _Graph:
    """Hold a recorded graph and the memory from which it reads its arguments."""

    def __init__(
        self, function: Callable[..., Results], arguments: Arguments, pool: tuple[int, int]
    ) -> None:
        self.buffers = [v.detach().clone() if isinstance(v, Tensor) else v for v in arguments]
        self.graph = torch.cuda.CUDAGraph()
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        self.graph.register_generator_state(generator)
        with _without_garbage_collection(), torch.cuda.graph(self.graph, pool=pool):
            self.results = function(*self.buffers)  # recording runs nothing

    def replay(self, arguments: Arguments) -> Results:
        """Copy the arguments into the graph's memory, replay it and return its results."""
        for buffer, value in zip(self.buffers, arguments, strict=True):
            if isinstance(value, Tensor):
                buffer.copy_(value)
        self.graph.replay()
        return self.results


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Suspend garbage collection: freeing a graph while another is recorded would break it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _on_side_stream(work: Callable[[], Results]) -> Results:
    """Run a function on a stream of its own, as PyTorch requires before it is recorded."""
    current, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(current)
    with torch.cuda.stream(side):
        results = work()
    current.wait_stream(side)
    return results
