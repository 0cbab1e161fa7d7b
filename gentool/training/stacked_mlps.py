"""Train plain MLPs in a stack, each with its own draw and order of examples.

Parameters and momenta lie in the buffers of `StackedSGD`, which takes the steps.
"""

import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial

import torch
from torch import Tensor

from gentool.data.examples import Examples
from gentool.numerics.cuda_graphs import CudaGraphed, can_capture
from gentool.records.recipe import Recipe, stop_check_of
from gentool.training.batches import in_batches
from gentool.training.parts import ends_of_parts
from gentool.training.run import Run
from gentool.training.stacked_sgd import (
    StackedSGD,
    StepKind,
    aligned,
    losses_and_errors,
    one_hot_columns,
)


def stack_key(recipe: Recipe, examples: int) -> tuple | None:
    """Return a key that is equal for networks that can be stacked; None for a network that cannot.

    Only plain MLPs are stacked: no dropout or batch norm, trained by sgd in float32.
    """
    if recipe.model != "mlp" or recipe.batch_norm or recipe.dropout or recipe.optimizer != "sgd":
        return None
    if recipe.precision != "float32":
        return None
    shape = (recipe.input_shape, recipe.classes, recipe.depth, recipe.hidden)
    step = (recipe.batch_size, recipe.momentum, recipe.weight_decay)
    return (*shape, examples, *step, stop_check_of(recipe))


def step_kind(run: Run) -> StepKind:
    """Return what chooses the kernels of a run's steps in a stack."""
    parameters = list(run.state.model.parameters())
    return StepKind(
        tuple(parameter.shape for parameter in parameters),
        run.recipe.momentum or 0.0,
        run.recipe.weight_decay,
        parameters[0].dtype,
        parameters[0].device,
    )


class StackedMLPs:
    """Train several runs, with equal `stack_key`s, together.

    The models' parameters and the optimizers' momenta become views of the buffers of the stack, so
    that each run is evaluated and saved as usual. Products take `threads` CPU threads, if given.
    """

    def __init__(self, runs: Sequence[Run], threads: int | None = None) -> None:
        self.runs = runs
        kind = step_kind(runs[0])
        self.sgd = StackedSGD(kind, len(runs), threads)
        parameters, momenta = self.sgd.parameters, self.sgd.momenta_of_parameters
        for k, run in enumerate(runs):
            _move_into(run, [view[k] for view in parameters], [view[k] for view in momenta])
        self.examples = _concatenated([run.examples for run in runs])
        self.images: dict[int, Tensor] = {}  # of the workspaces, by the number of images
        self.step = self._step
        if can_capture(kind.device):
            # a weak proxy, so that the graph does not keep the memory of the stack alive
            self.step = CudaGraphed(partial(StackedMLPs._step, weakref.proxy(self)))

    def train_epoch(self) -> list[tuple[float, float]]:
        """Train each network for one epoch; return the running losses and errors of training.

        A network that stops within the epoch has the weights and momenta of that step afterwards.
        """
        recipe, kind, runs = self.runs[0].recipe, self.sgd.kind, self.runs
        order = torch.stack([run.order() for run in runs]).to(kind.device)  # (K, n)
        labels = torch.stack([run.examples.labels for run in runs]).gather(1, order)
        first = torch.arange(len(order), device=kind.device).unsqueeze(1) * order.shape[1]
        rows = (order + first).index_select(1, self._positions)
        batches = rows.split([aligned(size) for size in self.sizes], dim=1)
        targets = one_hot_columns(labels, recipe.classes, kind.dtype).split(self.sizes, dim=2)
        rates = torch.tensor([run.learning_rates(len(batches)) for run in runs], dtype=kind.dtype)
        rates = rates.T.unsqueeze(2).to(kind.device).unbind()  # (K, 1) for each step
        steps = list(zip(batches, targets, rates, strict=True))
        labels_of_batches = labels.split(self.sizes, dim=1)
        held: dict[int, tuple[Tensor, Tensor]] = {}
        for begin, end in ends_of_parts(len(batches), recipe.stop_check):
            logits = self._logits_of_steps(steps[begin:end])
            labels = torch.cat(labels_of_batches[begin:end], dim=1)
            losses, errors = losses_and_errors(logits, labels)
            images = labels.shape[1]
            for k, (loss, error) in enumerate(zip(losses.tolist(), errors.tolist(), strict=True)):
                if k not in held:
                    runs[k].after_part(loss, error, images, end - begin)
                    if runs[k].state.stopped:
                        held[k] = self.sgd.weights[k].clone(), self.sgd.momenta[k].clone()
            if len(held) == len(runs):
                break
        for k, (weights, momenta) in held.items():
            self.sgd.weights[k], self.sgd.momenta[k] = weights, momenta
        return [run.begun.means() for run in runs]

    @torch.no_grad()
    def _logits_of_steps(self, steps: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        """Take steps, each on indices, targets and rates; return all logits before them (K, C, n).

        Evaluations may come between two calls: they leave the buffers as they are.
        """
        is_overwritten = isinstance(self.step, CudaGraphed)
        logits_of_batches = []
        for indices, part, rate in steps:
            [logits] = self.step(indices, part, rate)
            logits_of_batches.append(logits.clone() if is_overwritten else logits)
        return torch.cat(logits_of_batches, dim=2)

    @cached_property
    def sizes(self) -> list[int]:
        """Return the numbers of images of the batches of an epoch."""
        return batch_sizes(self.runs[0])

    @cached_property
    def _positions(self) -> Tensor:
        """Return the places, in the order of an epoch, of the images of each workspace.

        Rows that do not count are filled with the last image of the batch.
        """
        parts, start = [], 0
        for size in self.sizes:
            parts.append(start + torch.arange(aligned(size)).clamp(max=size - 1))
            start += size
        return torch.cat(parts).to(self.sgd.kind.device)

    def _step(self, indices: Tensor, targets: Tensor, rate: Tensor) -> tuple[Tensor]:
        """Take one step of SGD with each network; return the logits before it, shape (K, C, b)."""
        size = targets.shape[2]
        if size not in self.images:
            shape = self.examples.images.shape[1:]
            self.images[size] = self.sgd.workspace(size).images.view(-1, *shape)
        self.examples.images_into(self.images[size], indices.flatten())
        return (self.sgd.step(targets, rate),)


def batch_sizes(run: Run) -> list[int]:
    """Return the numbers of images of the batches of an epoch."""
    batches = in_batches(torch.arange(len(run.examples)), run.recipe.batch_size)
    return [len(batch) for batch in batches]


def _move_into(run: Run, parameters: Sequence[Tensor], momenta: Sequence[Tensor]) -> None:
    """Move the parameters and momenta of a run into views of the buffers, of the same shapes."""
    with torch.no_grad():
        for parameter, place, momentum in zip(
            run.state.model.parameters(), parameters, momenta, strict=True
        ):
            state = run.state.optimizer.state[parameter]
            if state.get("momentum_buffer") is not None:
                momentum.copy_(state["momentum_buffer"])
            state["momentum_buffer"] = momentum
            parameter.data = place.copy_(parameter)


def release(run: Run) -> None:
    """Copy the parameters and momenta of a run out of the buffers of a stack."""
    for parameter in run.state.model.parameters():
        parameter.data = _copy(parameter.data)
        state = run.state.optimizer.state[parameter]
        if state.get("momentum_buffer") is not None:
            state["momentum_buffer"] = _copy(state["momentum_buffer"])


def _copy(tensor: Tensor) -> Tensor:
    return tensor.clone(memory_format=torch.contiguous_format)


def _concatenated(examples: Sequence[Examples]) -> Examples:
    """Concatenate the examples of all networks; those of a single network are not copied."""
    if len(examples) == 1:
        return examples[0]
    images = torch.cat([part.images for part in examples])
    return replace(examples[0], images=images, labels=torch.cat([p.labels for p in examples]))
