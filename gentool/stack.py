"""Plain MLPs trained side by side, forward and backward pass written out as batched products.

A step of a small network is mostly the cost of calling many small operations. Here K networks of
one shape share each call, one alone saves autograd's part of it. Products that are gradients are
added to the momenta as they are made, and parameters and momenta each lie in one buffer, so that an
update is one operation whatever the depth. The arithmetic is that of autograd and torch.optim.SGD
to rounding, the draws and orders are each network's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from gentool.recipe import Recipe
from gentool.training_set import Examples

if TYPE_CHECKING:
    from gentool.training import Run


def stack_key(recipe: Recipe, examples: int) -> tuple | None:
    """What networks need in common to be trained in one stack; None for one that never is."""
    if recipe.model != "mlp" or recipe.batch_norm or recipe.dropout or recipe.optimizer != "sgd":
        return None
    if recipe.precision != "float32":
        return None
    shape = (recipe.input_shape, recipe.classes, recipe.depth, recipe.hidden)
    return (*shape, examples, recipe.batch_size, recipe.momentum, recipe.weight_decay)


@dataclass(frozen=True)
class Room:
    """Memory that the batches of one size use in turn: fresh memory costs as much as a gather."""

    rows: Tensor  # (K b, C, H, W), the images of `images`
    images: Tensor  # (K, b, d)
    ones: Tensor  # (K, 1, b)


class Stack:
    """The networks of some runs, whose parameters and momenta from now on lie here.

    All runs have one `stack_key`. They stay whole: their models' parameters and their optimizers'
    momenta are views of these buffers, to be evaluated and saved as always.
    """

    def __init__(self, runs: Sequence["Run"]) -> None:
        self.runs = runs
        parameters = [list(run.state.model.parameters()) for run in runs]
        self.weights = _flat(parameters)  # (K, P)
        self.momenta = torch.zeros_like(self.weights)
        shapes = [parameter.shape for parameter in parameters[0]]
        self.layers = _layers(self.weights, shapes)
        self.momenta_of_layers = _layers(self.momenta, shapes)
        # Views that every step needs, made once: making one takes half as long as a small product.
        self.transposed = [W.mT for W, _ in self.layers]
        self.last_bias = self.layers[-1][1].mT
        self.room: dict[int, Room] = {}
        for k, run in enumerate(runs):
            self._take_over(run, k)
        self.examples = _joined([run.examples for run in runs])

    def _take_over(self, run: "Run", k: int) -> None:
        """Make a run's parameters and momenta views of the buffers."""
        start = 0
        for parameter in run.state.model.parameters():
            part = slice(start, start := start + parameter.numel())
            momentum = self.momenta[k, part].view_as(parameter)
            state = run.state.optimizer.state[parameter]
            if state.get("momentum_buffer") is not None:
                momentum.copy_(state["momentum_buffer"])
            state["momentum_buffer"] = momentum
            parameter.data = self.weights[k, part].view_as(parameter)

    def train_epoch(self) -> list[tuple[float, float]]:
        """One pass of each network over its examples; running losses and errors in training."""
        from gentool.training import in_batches

        recipe, device = self.runs[0].recipe, self.weights.device
        order = torch.stack([run.order() for run in self.runs]).to(device)  # (K, n)
        labels = torch.stack([run.examples.labels for run in self.runs]).gather(1, order)
        targets = one_hot(labels, recipe.classes).to(self.weights.dtype).mT.contiguous()
        first = torch.arange(len(self.runs), device=device).unsqueeze(1) * order.shape[1]
        batches = in_batches(order + first, recipe.batch_size)
        parts = in_batches(targets, recipe.batch_size)
        rates = torch.tensor([run.learning_rates(len(batches)) for run in self.runs])
        rates = rates.T.unsqueeze(2).to(device).unbind()  # (K, 1) for each step
        found = []
        with torch.no_grad():
            for indices, part, rate in zip(batches, parts, rates, strict=True):
                room = self._room(indices.shape[1])
                self.examples.images_into(room.rows, indices.flatten())
                found.append(self._step(room, part, rate))
        logits = torch.cat(found, dim=2)
        losses = cross_entropy(logits.double(), labels, reduction="none").mean(dim=1)
        errors = (logits.max(dim=1).indices != labels).double().mean(dim=1)
        return list(zip(losses.tolist(), errors.tolist(), strict=True))

    def _room(self, size: int) -> "Room":
        """What batches of that many images share; there are two sizes at most."""
        if size not in self.room:
            K, d = len(self.runs), self.layers[0][0].shape[2]
            images = self.weights.new_empty(K, size, d)
            rows = images.view(K * size, *self.examples.images.shape[1:])
            self.room[size] = Room(rows, images, self.weights.new_ones(K, 1, size))
        return self.room[size]

    def _step(self, room: "Room", targets: Tensor, rate: Tensor) -> Tensor:
        """One step of gradient descent of each network; the logits before it, shape (K, C, b).

        Classes come before examples: a softmax over few numbers that lie together is slow.
        """
        inputs = [room.images]  # of each layer
        for (_, b), WT in zip(self.layers[:-1], self.transposed, strict=False):
            inputs.append(torch.baddbmm(b, inputs[-1], WT).relu_())
        logits = torch.baddbmm(self.last_bias, self.layers[-1][0], inputs[-1].mT)
        gradient = logits.softmax(dim=1).sub_(targets).mT  # of the summed losses
        scale = {"beta": self._decay(), "alpha": 1 / targets.shape[2]}
        for i in range(len(self.layers) - 1, -1, -1):
            of_weight, of_bias = self.momenta_of_layers[i]
            of_weight.baddbmm_(gradient.mT, inputs[i], **scale)
            of_bias.baddbmm_(room.ones, gradient, **scale)
            if i:
                gradient = torch.bmm(gradient, self.layers[i][0])
                gradient = torch.ops.aten.threshold_backward(gradient, inputs[i], 0)
        self.weights.addcmul_(self.momenta, rate, value=-1)
        return logits

    def _decay(self) -> float:
        """What momenta are multiplied by as a gradient is added; adds that of weight decay."""
        recipe = self.runs[0].recipe
        momentum = recipe.momentum or 0.0
        if not recipe.weight_decay:
            return momentum
        self.momenta.mul_(momentum).add_(self.weights, alpha=recipe.weight_decay)
        return 1.0


def release(run: "Run") -> None:
    """Give a run's parameters and momenta memory of their own again."""
    for parameter in run.state.model.parameters():
        parameter.data = parameter.data.clone()
        state = run.state.optimizer.state[parameter]
        if state.get("momentum_buffer") is not None:
            state["momentum_buffer"] = state["momentum_buffer"].clone()


def _joined(examples: Sequence[Examples]) -> Examples:
    """The examples of all networks one after the other; those of one network are not copied."""
    if len(examples) == 1:
        return examples[0]
    images = torch.cat([part.images for part in examples])
    return replace(examples[0], images=images, labels=torch.cat([p.labels for p in examples]))


def _flat(parameters: list[list[nn.Parameter]]) -> Tensor:
    """The parameters of each network in a row, shape (K, P)."""
    return torch.stack([torch.cat([p.detach().flatten() for p in row]) for row in parameters])


def _layers(flat: Tensor, shapes: Sequence[torch.Size]) -> list[tuple[Tensor, Tensor]]:
    """Weights (K, out, in) and biases (K, 1, out) of each layer, as views of a flat buffer."""
    views, start = [], 0
    for shape in shapes:
        part = slice(start, start := start + shape.numel())
        inner = shape if len(shape) == 2 else (1, *shape)
        views.append(flat[:, part].unflatten(1, inner))
    return list(zip(views[::2], views[1::2], strict=True))
