"""Train plain MLPs in a stack: forward and backward pass written out as batched matrix products.

A step of a small network mostly pays for calling many small operations. Here K networks of one
shape share each call, and a single network saves the cost of autograd. Gradients are added to the
momenta as they are computed, and parameters and momenta each lie in one buffer, so that an update
is one operation whatever the depth. Results are those of autograd and torch.optim.SGD up to
rounding; each network keeps its own draw and order of examples.

By hand because 1 to 16 MLPs of 8 and 64 units train 1.75 to 20 times as fast as with torch.func on
one thread, and ten 3.5 to 11 times as fast as one by one with autograd
(examples/benchmarks/training.md, "On two CPU cores").
"""

import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gentool.data.examples import Examples
from gentool.numerics.cuda_graphs import CudaGraphed, can_capture
from gentool.records.recipe import Recipe
from gentool.training.run import Run, in_batches

WIDE = 32  # units from which the weights of a layer are stored transposed, as measured

_relu_backward = torch.ops.aten.threshold_backward.grad_input


def stack_key(recipe: Recipe, examples: int) -> tuple | None:
    """Return a key that is equal for networks that can be stacked; None for a network that cannot.

    Only plain MLPs are stacked: no dropout or batch norm, trained by sgd in float32.
    """
    if recipe.model != "mlp" or recipe.batch_norm or recipe.dropout or recipe.optimizer != "sgd":
        return None
    if recipe.precision != "float32":
        return None
    shape = (recipe.input_shape, recipe.classes, recipe.depth, recipe.hidden)
    return (*shape, examples, recipe.batch_size, recipe.momentum, recipe.weight_decay)


class Workspace:
    """Memory that is reused by the steps on batches of one size, with all views of it.

    Allocating costs as much as a gather, and making a view half as much as a small product. The
    `inputs` of each layer and the `gradients` of its outputs are rows, shape (K, b, units); the
    gradient of the logits is columns, shape (K, C, b): a softmax over few contiguous numbers is
    slow.
    """

    def __init__(self, weights: Sequence[Tensor], size: int, input_shape: Sequence[int]) -> None:
        first, last, K = weights[0], weights[-1], len(weights[0])
        self.inputs = [W.new_empty(K, size, W.shape[2]) for W in weights]
        self.images = self.inputs[0].view(K * size, *input_shape)
        self.last_input = self.inputs[-1].mT
        self.of_logits = last.new_empty(K, last.shape[1], size)
        hidden = [W.new_empty(K, size, W.shape[1]) for W in weights[:-1]]
        self.gradients = [*hidden, self.of_logits.mT]
        self.transposed = [*(rows.mT for rows in hidden), self.of_logits]
        self.ones = first.new_ones(K, 1, size)


class StackedMLPs:
    """Hold the parameters and momenta of several runs, with equal `stack_key`s, in two buffers.

    The models' parameters and the optimizers' momenta become views of the buffers, so that each run
    is evaluated and saved as usual.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = runs
        parameters = list(runs[0].state.model.parameters())
        shapes = [parameter.shape for parameter in parameters]
        size = sum(parameter.numel() for parameter in parameters)
        self.weights = parameters[0].new_empty(len(runs), size)
        self.momenta = torch.zeros_like(self.weights)
        views, momenta = _views(self.weights, shapes), _views(self.momenta, shapes)
        for k, run in enumerate(runs):
            _move_into(run, [view[k] for view in views], [view[k] for view in momenta])
        self.layers = _layers(views)
        self.momenta_of_layers = _layers(momenta)
        self.transposed = [W.mT for W, _ in self.layers]
        self.last_bias = self.layers[-1][1].mT
        self.workspace: dict[int, Workspace] = {}
        self.examples = _concatenated([run.examples for run in runs])
        self.step = self._step
        if can_capture(self.weights.device):
            # a weak proxy, so that the graph does not keep the memory of the stack alive
            self.step = CudaGraphed(partial(StackedMLPs._step, weakref.proxy(self)))

    def train_epoch(self) -> list[tuple[float, float]]:
        """Train each network for one epoch; return the running losses and errors of training."""
        recipe, device = self.runs[0].recipe, self.weights.device
        order = torch.stack([run.order() for run in self.runs]).to(device)  # (K, n)
        labels = torch.stack([run.examples.labels for run in self.runs]).gather(1, order)
        targets = self.weights.new_zeros(len(order), recipe.classes, order.shape[1])
        targets.scatter_(1, labels.unsqueeze(1), 1.0)  # as columns
        first = torch.arange(len(self.runs), device=device).unsqueeze(1) * order.shape[1]
        batches = in_batches(order + first, recipe.batch_size)
        parts = in_batches(targets, recipe.batch_size)
        rates = torch.tensor(
            [run.learning_rates(len(batches)) for run in self.runs], dtype=self.weights.dtype
        )
        rates = rates.T.unsqueeze(2).to(device).unbind()  # (K, 1) for each step
        logits_of_batches = []
        with torch.no_grad():
            for indices, part, rate in zip(batches, parts, rates, strict=True):
                [logits] = self.step(indices, part, rate)
                is_overwritten = isinstance(self.step, CudaGraphed)
                logits_of_batches.append(logits.clone() if is_overwritten else logits)
        logits = torch.cat(logits_of_batches, dim=2)
        losses = cross_entropy(logits.double(), labels, reduction="none").mean(dim=1)
        errors = (logits.max(dim=1).indices != labels).double().mean(dim=1)
        return list(zip(losses.tolist(), errors.tolist(), strict=True))

    def _workspace(self, size: int) -> Workspace:
        """Return the workspace for batches of `size` images; an epoch has at most two sizes."""
        if size not in self.workspace:
            weights = [W for W, _ in self.layers]
            self.workspace[size] = Workspace(weights, size, self.examples.images.shape[1:])
        return self.workspace[size]

    def _step(self, indices: Tensor, targets: Tensor, rate: Tensor) -> tuple[Tensor]:
        """Take one step of SGD with each network; return the logits before it, shape (K, C, b)."""
        workspace = self._workspace(indices.shape[1])
        self.examples.images_into(workspace.images, indices.flatten())
        inputs, gradients = workspace.inputs, workspace.gradients
        for i, WT in enumerate(self.transposed[:-1]):
            torch.baddbmm(self.layers[i][1], inputs[i], WT, out=inputs[i + 1]).relu_()
        logits = torch.baddbmm(self.last_bias, self.layers[-1][0], workspace.last_input)
        torch.softmax(logits, dim=1, out=workspace.of_logits).sub_(targets)  # of the summed losses
        scale = {"beta": self._decay(), "alpha": 1 / targets.shape[2]}
        for i in range(len(self.layers) - 1, -1, -1):
            of_weight, of_bias = self.momenta_of_layers[i]
            of_weight.baddbmm_(workspace.transposed[i], inputs[i], **scale)
            of_bias.baddbmm_(workspace.ones, gradients[i], **scale)
            if i:
                below = torch.bmm(gradients[i], self.layers[i][0], out=gradients[i - 1])
                _relu_backward(below, inputs[i], 0, grad_input=below)
        self.weights.addcmul_(self.momenta, rate, value=-1)
        return (logits,)

    def _decay(self) -> float:
        """Return the factor of the momenta when a gradient is added; 1 if it is applied here.

        Weight decay is added to the momenta here, after the factor.
        """
        recipe = self.runs[0].recipe
        momentum = recipe.momentum or 0.0
        if not recipe.weight_decay:
            return momentum
        self.momenta.mul_(momentum).add_(self.weights, alpha=recipe.weight_decay)
        return 1.0


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


def _views(flat: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Return views (K, *shape) of a buffer (K, P), with the weights of wide layers transposed.

    Their products with rows of images then take a sixth less time, on a CPU.
    """
    views, start = [], 0
    for shape in shapes:
        part = flat[:, start : (start := start + shape.numel())]
        is_wide = len(shape) == 2 and shape[0] >= WIDE
        views.append(part.unflatten(1, shape[::-1]).mT if is_wide else part.unflatten(1, shape))
    return views


def _layers(views: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return the weights (K, out, in) and biases (K, 1, out) of each layer."""
    return [(W, b.unsqueeze(1)) for W, b in zip(views[::2], views[1::2], strict=True)]
