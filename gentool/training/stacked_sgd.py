"""Take steps of SGD with several MLPs of one shape: batched matrix products, written by hand.

A step of a small network mostly pays for calling many small operations. Here K networks share each
call, and a single network saves the cost of autograd. Gradients are added to the momenta as they
are computed, and parameters and momenta each lie in one buffer, so that an update is one operation
whatever the depth. Results are those of autograd and torch.optim.SGD up to rounding.

By hand because 1 to 16 MLPs of 8 and 64 units train 1.75 to 20 times as fast as with torch.func on
one thread, and ten 3.5 to 11 times as fast as one by one with autograd
(examples/benchmarks/training.md, "On two CPU cores").

A network should get the same bits in a stack as alone. BLAS rounds otherwise where matrices lie
otherwise in memory, so that each network has the strides and the alignment that it has alone.
torch's loops end with numbers that do not fill a register, whose exponential or whose sum may
be rounded otherwise. So the parts of each network are whole registers, and only products, of which
`stacking.same_as_alone` knows the bits, take more threads than a network alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

WIDE = 32  # units from which the weights of a layer are stored transposed, as measured
ALIGNED = 16  # numbers: 64 bytes of float32, as torch aligns the memory of a tensor
REGISTERS = 32  # numbers: two registers of AVX-512, which torch's loops take at a time

_relu_backward = torch.ops.aten.threshold_backward.grad_input


def aligned(count: int, to: int = ALIGNED) -> int:
    """Return the least multiple of `to` that is not below `count`."""
    return math.ceil(count / to) * to


@dataclass(frozen=True)
class StepKind:
    """Hold what chooses the kernels of a step, beside the numbers of networks and of images.

    `shapes` are those of the parameters: weight (out, in) and bias (out,) of each layer.
    """

    shapes: tuple[torch.Size, ...]
    momentum: float
    weight_decay: float
    dtype: torch.dtype
    device: torch.device

    def zeros(self, *shape: int) -> Tensor:
        """Return zeros of the dtype, on the device."""
        return torch.zeros(*shape, dtype=self.dtype, device=self.device)


class Workspace:
    """Memory that is reused by the steps on batches of one size, with all views of it.

    Allocating costs as much as a gather, and making a view half as much as a small product. The
    `inputs` of each layer and the `gradients` of its outputs are rows, shape (K, b, units); the
    gradient of the logits is columns, shape (K, C, b): a softmax over few contiguous numbers is
    slow.

    Behind the b rows of a network are some that do not count, so that the next network is aligned.
    The logits of such rows are computed, too: with columns of any other number, MKL takes other
    kernels for them with two threads than with one.
    """

    def __init__(self, kind: StepKind, networks: int, size: int) -> None:
        weights, K, rows = kind.shapes[::2], networks, aligned(size)
        whole = [kind.zeros(K, rows, shape[1]) for shape in weights]
        self.images = whole[0].view(K * rows, -1)
        self.last_input = whole[-1].mT
        self.softmax = kind.zeros(K, weights[-1][0], rows)
        self.inputs = [part[:, :size] for part in whole]
        self.of_logits = self.softmax[:, :, :size]
        hidden = [kind.zeros(K, rows, shape[0])[:, :size] for shape in weights[:-1]]
        self.gradients = [*hidden, self.of_logits.mT]
        self.transposed = [*(part.mT for part in hidden), self.of_logits]
        self.ones = kind.zeros(K, 1, rows)[:, :, :size].fill_(1)


class StackedSGD:
    """Hold the parameters and momenta of K MLPs in two buffers, and take steps of SGD with them.

    `parameters` and `momenta_of_parameters` are views of the buffers, shape (K, *shape) each.
    Products take `threads` CPU threads, all else as many as torch uses now.
    """

    def __init__(self, kind: StepKind, networks: int, threads: int | None = None) -> None:
        self.kind = kind
        self.other_threads = torch.get_num_threads()
        self.threads = None if threads == self.other_threads else threads
        size = aligned(sum(aligned(shape.numel()) for shape in kind.shapes), to=REGISTERS)
        self.weights, self.momenta = kind.zeros(networks, size), kind.zeros(networks, size)
        self.parameters = _views(self.weights, kind.shapes)
        self.momenta_of_parameters = _views(self.momenta, kind.shapes)
        self.layers = _layers(self.parameters)
        self.momenta_of_layers = _layers(self.momenta_of_parameters)
        self.transposed = [W.mT for W, _ in self.layers]
        self.last_bias = self.layers[-1][1].mT
        self.workspaces: dict[int, Workspace] = {}

    def workspace(self, size: int) -> Workspace:
        """Return the workspace for batches of `size` images; an epoch has at most two sizes."""
        if size not in self.workspaces:
            self.workspaces[size] = Workspace(self.kind, len(self.weights), size)
        return self.workspaces[size]

    def step(self, targets: Tensor, rate: Tensor) -> Tensor:
        """Take one step on the images of a workspace; return the logits before it.

        `targets`, of shape (K, C, b), are 1 at the labels; `rate` has the shape (K, 1). The logits
        have the shape (K, C, b).
        """
        size = targets.shape[2]
        workspace = self.workspace(size)
        inputs, gradients = workspace.inputs, workspace.gradients
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        for i, WT in enumerate(self.transposed[:-1]):
            torch.baddbmm(self.layers[i][1], inputs[i], WT, out=inputs[i + 1]).relu_()
        logits = torch.baddbmm(self.last_bias, self.layers[-1][0], workspace.last_input)
        if self.threads is not None:
            torch.set_num_threads(self.other_threads)
        torch.softmax(logits, dim=1, out=workspace.softmax)
        workspace.of_logits.sub_(targets)  # of the summed losses
        scale = {"beta": self._decay(), "alpha": 1 / size}
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        for i in range(len(self.layers) - 1, -1, -1):
            of_weight, of_bias = self.momenta_of_layers[i]
            of_weight.baddbmm_(workspace.transposed[i], inputs[i], **scale)
            of_bias.baddbmm_(workspace.ones, gradients[i], **scale)
            if i:
                below = torch.bmm(gradients[i], self.layers[i][0], out=gradients[i - 1])
                _relu_backward(below, inputs[i], 0, grad_input=below)
        if self.threads is not None:
            torch.set_num_threads(self.other_threads)
        self.weights.addcmul_(self.momenta, rate, value=-1)
        return logits if size % ALIGNED == 0 else logits[:, :, :size]

    def _decay(self) -> float:
        """Return the factor of the momenta when a gradient is added; 1 if it is applied here.

        Weight decay is added to the momenta here, after the factor.
        """
        momentum, weight_decay = self.kind.momentum, self.kind.weight_decay
        if not weight_decay:
            return momentum
        self.momenta.mul_(momentum).add_(self.weights, alpha=weight_decay)
        return 1.0


def one_hot_columns(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Return 1 at the labels, shape (K, n), and 0 elsewhere, shape (K, C, n)."""
    networks, n = labels.shape
    targets = torch.zeros(networks, classes, n, dtype=dtype, device=labels.device)
    return targets.scatter_(1, labels.unsqueeze(1), 1.0)


def losses_and_errors(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean cross-entropies and errors, of logits (K, C, n) and labels (K, n).

    Losses are summed one after the other: the order of other sums may follow from the shape.
    """
    losses = cross_entropy(logits.double(), labels, reduction="none").cumsum(dim=1)[:, -1]
    errors = (logits.max(dim=1).indices != labels).double().mean(dim=1)
    return losses / labels.shape[1], errors


def _views(buffer: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Return views (K, *shape) of a buffer (K, P), with the weights of wide layers transposed.

    Their products with rows of images then take a sixth less time, on a CPU.
    """
    views, start = [], 0
    for shape in shapes:
        part = buffer[:, start : start + shape.numel()]
        start += aligned(shape.numel())
        is_wide = len(shape) == 2 and shape[0] >= WIDE
        views.append(part.unflatten(1, shape[::-1]).mT if is_wide else part.unflatten(1, shape))
    return views


def _layers(views: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return the weights (K, out, in) and biases (K, 1, out) of each layer."""
    return [(W, b.unsqueeze(1)) for W, b in zip(views[::2], views[1::2], strict=True)]
