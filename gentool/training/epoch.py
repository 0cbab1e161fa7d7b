"""An epoch of one network: its examples in a new order, and a step of the optimizer on each batch.

Nothing waits for the device in between: losses and errors are read once, at the end.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gentool.numerics.cuda_graphs import CudaGraphed, can_capture
from gentool.numerics.device import fast_products
from gentool.training.evaluation import wrong
from gentool.training.run import in_batches

if TYPE_CHECKING:
    from gentool.training.run import Run

Step = Callable[[Tensor, int], tuple[Tensor | None, ...]]
"""From the indices of images, and how many of them all processes take, to logits and gradients.

A parameter that has no effect has the gradient None."""


def step_of(run: "Run") -> Step:
    """A forward and a backward pass of a run; on a GPU of its own it is captured.

    Not with dropout, whose generator is seeded for every epoch: a graph would draw on.
    """
    examples, module, group = run.examples, run.module, run.group
    parameters = list(run.state.model.parameters())
    is_half = run.recipe.precision == "bfloat16"

    def step(indices: Tensor, batch_size: int) -> tuple[Tensor | None, ...]:
        images, labels = examples.batch(indices)
        with torch.autocast(
            images.device.type, torch.bfloat16, enabled=is_half, cache_enabled=False
        ):
            logits = module(images).float()
        for parameter in parameters:
            parameter.grad = None
        loss = cross_entropy(logits, labels, reduction="sum") / batch_size
        (loss * group.size).backward()  # DDP takes the mean over the processes
        return logits.detach(), *(parameter.grad for parameter in parameters)

    is_alone = group.size == 1 and not run.recipe.dropout
    return CudaGraphed(step) if is_alone and can_capture(examples.labels.device) else step


@fast_products()
def train_epoch(run: "Run", step: Step | None = None) -> tuple[float, float]:
    """One pass over the examples in a new order; the running loss and error in training mode.

    `step` is that of `step_of`, where it is worth keeping from epoch to epoch.
    """
    step = step or step_of(run)
    examples, optimizer, batch_size = run.examples, run.state.optimizer, run.recipe.batch_size
    parameters = list(run.state.model.parameters())
    order = run.order().to(examples.labels.device)
    batches = in_batches(order, batch_size)
    shares = [run.group.shard(batch) for batch in batches]
    found = []  # the logits of each batch: one reading of losses an epoch, no waiting in between
    run.state.model.train()
    for batch, mine, rate in zip(batches, shares, run.learning_rates(len(batches)), strict=True):
        for settings in optimizer.param_groups:
            settings["lr"] = rate
        logits, *gradients = step(mine, len(batch))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        found.append(logits.clone())  # a CUDA graph writes the next over them
    logits, labels = torch.cat(found), examples.labels[torch.cat(shares)]
    losses = cross_entropy(logits.double(), labels, reduction="sum")
    loss, error = run.group.all_reduce_sum(losses, wrong(logits, labels))
    return loss / len(order), error / len(order)
