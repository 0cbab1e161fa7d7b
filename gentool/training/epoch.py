"""Train one network for one epoch: its examples in a new order, one optimizer step per batch.

Losses and errors are read at the ends of a few parts, so that no step waits for the device.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gentool.numerics.cuda_graphs import CudaGraphed, can_capture
from gentool.numerics.device import fast_products
from gentool.training.batches import in_batches
from gentool.training.evaluation import count_wrong
from gentool.training.parts import ends_of_parts
from gentool.training.run import Run

Step = Callable[[Tensor, int], tuple[Tensor | None, ...]]
"""A function of image indices and the global batch size that returns logits and gradients.

The gradient of a parameter without effect is None."""


def step_function(run: Run) -> Step:
    """Return the forward and backward pass of a run, as a CUDA graph in a single process on a GPU.

    Dropout draws from the generator that `Run.order` seeds for each epoch, also when replayed.
    """
    examples, module, group = run.examples, run.module, run.group
    parameters = list(run.state.model.parameters())
    is_half = run.recipe.precision == "bfloat16"

    def step(indices: Tensor, batch_size: int) -> tuple[Tensor | None, ...]:
        images, labels = examples.batch(indices)
        with torch.autocast(
            images.device.type, torch.bfloat16, enabled=is_half, cache_enabled=False
        ):
            logits = module(images)
        logits = logits.float() if is_half else logits
        for parameter in parameters:
            parameter.grad = None
        loss = cross_entropy(logits, labels, reduction="sum") / batch_size
        (loss * group.size).backward()  # DDP takes the mean over the processes
        return logits.detach(), *(parameter.grad for parameter in parameters)

    is_single = group.size == 1
    return CudaGraphed(step) if is_single and can_capture(examples.labels.device) else step


def train_epoch(run: Run, step: Step | None = None) -> tuple[float, float]:
    """Train one epoch and return the running loss and error, in training mode.

    It ends within the epoch where the run stops. `step` is the run's `step_function`, if it is kept
    from epoch to epoch.
    """
    step = step or step_function(run)
    order = run.order().to(run.examples.labels.device)
    batches = in_batches(order, run.recipe.batch_size)
    rates = run.learning_rates(len(batches))
    for first, last in ends_of_parts(len(batches), run.recipe.stop_check):
        run.state.model.train()  # an evaluation may have come between
        loss, error, images = _train_part(run, step, batches[first:last], rates[first:last])
        run.after_part(loss, error, images, last - first)
        if run.state.stopped:
            break
    return run.begun.means()


@fast_products()
def _train_part(
    run: Run, step: Step, batches: Sequence[Tensor], rates: Sequence[float]
) -> tuple[float, float, int]:
    """Take a step on each batch; return the running loss and error, and the number of images."""
    examples, optimizer = run.examples, run.state.optimizer
    parameters = list(run.state.model.parameters())
    shards = [run.group.shard(batch) for batch in batches]
    logits_of_batches = []  # losses are read once, not after each step
    for batch, shard, rate in zip(batches, shards, rates, strict=True):
        for parameter_group in optimizer.param_groups:
            parameter_group["lr"] = rate
        logits, *gradients = step(shard, len(batch))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        logits_of_batches.append(logits.clone())  # a CUDA graph overwrites its output
    logits, labels = torch.cat(logits_of_batches), examples.labels[torch.cat(shards)]
    losses = cross_entropy(logits.double(), labels, reduction="sum")
    loss, error = run.group.all_reduce_sum(losses, count_wrong(logits, labels))
    images = sum(map(len, batches))
    return loss / images, error / images, images
