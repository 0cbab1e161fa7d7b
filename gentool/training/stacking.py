"""Choose how networks are stacked so that each gets the bits that it would get alone.

What a product is rounded to depends on the sizes of its matrices, on where they lie, and in BLAS
libraries also on how many products and threads there are. Nothing promises that products in a
batch have the bits of a single one: on an AMD EPYC they have, but for layers with one unit; two
threads split a single product, but not one of a batch. So it is tried, with random numbers, before
networks are stacked. Kernels are chosen by sizes, not by values, and many random sums do not
agree by chance.
"""

import math
from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from gentool.numerics.device import cpu_threads
from gentool.training.stacked_sgd import (
    StackedSGD,
    StepKind,
    losses_and_errors,
    one_hot_columns,
)

THREADED_STEP = 2**23  # multiplications of a forward pass of a stack: an estimate


def threads_of_stack(
    kind: StepKind, networks: int, sizes: tuple[int, ...], threads: int
) -> int | None:
    """Return how many threads the products of a stack take; None for no stack at all.

    They are at most `threads`, and those of a network alone are as many as torch uses now: each
    network in the stack gets the same bits as alone. `sizes` are those of the batches.
    """
    alone = torch.get_num_threads()
    if networks == 1:
        return alone
    if (
        alone > 1 and kind.device.type == "cpu"
    ):  # which share each operation of a single network, at other places than in a stack
        return None
    is_large = networks * max(sizes) * sum(map(math.prod, kind.shapes)) >= THREADED_STEP
    for count in (threads, alone) if is_large and threads > alone else (alone,):
        if all(same_as_alone(kind, networks, size, count) for size in sizes):
            return count
    return None


@cache
def same_as_alone(kind: StepKind, networks: int, size: int, threads: int) -> bool:
    """Return whether steps of a stack have the bits of steps of a single network in one thread.

    `threads` are those of the stack's products, `size` is the number of images. Each network of
    the stack is the same here, so that one other is enough to compare with.
    """
    steps = 2 + 64 // size  # as many more as there are fewer sums in each
    with cpu_threads(1):
        single = _results(StackedSGD(kind, 1), size, steps)
        stacked = _results(StackedSGD(kind, networks, threads), size, steps)
        return all(
            torch.equal(_bits(one.expand(many.shape)), _bits(many))
            for one, many in zip(single, stacked, strict=True)
        )


def _results(sgd: StackedSGD, size: int, steps: int) -> Iterator[Tensor]:
    """Yield all results of steps that begin with the same random numbers in each network.

    In the second step momenta decay. The numbers are positive, so that no unit is off: nothing
    would be seen of its sums.
    """
    kind, networks, generator = sgd.kind, len(sgd.weights), torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=kind.dtype).to(kind.device)

    for view in sgd.parameters:
        view.copy_(random(*view.shape[1:]) / view.shape[-1])
    [classes], features = kind.shapes[-1], kind.shapes[0][1]
    rate = kind.zeros(networks, 1).fill_(0.01)
    workspace = sgd.workspace(size)
    for _ in range(steps):
        labels = torch.randint(classes, (size,), generator=generator).to(kind.device)
        labels = labels.expand(networks, size)
        workspace.inputs[0].copy_(random(size, features))
        with torch.no_grad():
            logits = sgd.step(one_hot_columns(labels, classes, kind.dtype), rate)
        yield from (logits, *losses_and_errors(logits, labels))
        yield from (*workspace.inputs, *workspace.gradients, sgd.weights, sgd.momenta)


def _bits(tensor: Tensor) -> Tensor:
    """Return the bytes of a tensor, in which 0 and -0 differ."""
    return tensor.contiguous().view(torch.uint8)
