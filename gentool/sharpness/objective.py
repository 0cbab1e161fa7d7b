"""Compute the mean training loss at many points of the parameter space, and its gradient.

Points are rows of a (k, P) tensor. Where kernels are too small to fill the machine, all k networks
run together; where they are large (convolutions on a CPU), one after the other. Either way both the
points and the images go through in chunks, so that memory is bounded whatever the network. Losses
are summed in float64.
"""

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from gentool.data.examples import Examples
from gentool.numerics.cuda_graphs import CudaGraphed, can_capture
from gentool.numerics.memory import CPU_MEMORY, is_large
from gentool.sharpness.forward import logits_at
from gentool.sharpness.functional import FunctionalNetwork

GRADIENT_COST = 3  # forward passes that one gradient costs, about
CAPTURE_LIMIT = 2**29  # numbers that the layers put out, below which a GPU waits for launches
CACHE_BYTES = 4 * 2**20  # of activations in one chunk of a stack on a CPU, as measured

Criterion = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From logits (n, classes), labels (n,) and a point's own parameter to one number per image."""

Logits = Callable[[Tensor, Tensor], Tensor]
"""From points (k, P) and images to logits (k, n, classes)."""

Tensors = tuple[Tensor, ...]
ChunkFunction = Callable[..., Tensors]
"""From `Logits` and tensors to tensors."""


@dataclass
class Spent:
    """Count the cost of a search: images through the network, forward only and with a gradient."""

    forward: int = 0
    gradient: int = 0
    seconds: float = 0.0

    def units(self, examples: int) -> float:
        """Return the cost in forward passes over a set of so many examples."""
        return (self.forward + GRADIENT_COST * self.gradient) / examples


def training_loss(logits: Tensor, labels: Tensor, temperature: Tensor) -> Tensor:
    """Return each image's cross-entropy, its logits divided by a temperature (1: the loss itself).

    The classes go first: along the short last dimension a softmax takes several times as long.
    """
    log_p = (logits / temperature).T.log_softmax(dim=0)
    return -log_p.gather(0, labels[None])[0]


def towards_class(logits: Tensor, labels: Tensor, direction: Tensor) -> Tensor:
    """Return the logits along a direction (classes,), for example the unit vector of a class."""
    return logits @ direction.to(logits.dtype)


def towards_probability(logits: Tensor, labels: Tensor, direction: Tensor) -> Tensor:
    """Return the log-probability of a class, given as its unit vector (classes,).

    Its gradient at w raises a logit where that makes a difference: hardly on images that the
    network gives the class already.
    """
    return direction.to(logits.dtype) @ logits.T.log_softmax(dim=0)


def margins_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logit of each image's label less the largest other one, shape (n,)."""
    own = logits.gather(1, labels[:, None])
    return own[:, 0] - logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)


@dataclass(frozen=True)
class Objective:
    """Compute L(w + ν) over a set of examples, for many ν at once.

    `watch` is called before every chunk of work, and may raise to stop it.
    """

    network: FunctionalNetwork
    examples: Examples
    weights: Tensor | None = None  # (n,), of each image in the mean; None: all the same
    batching: str = "vmap"
    memory: int = CPU_MEMORY
    spent: Spent = field(default_factory=Spent)
    watch: Callable[[], None] = lambda: None
    cuda_graphs: dict[tuple, CudaGraphed] = field(default_factory=dict)  # shared with parts

    @property
    def dtype(self) -> torch.dtype:
        return self.network.dtype

    def __len__(self) -> int:
        return len(self.examples)

    def part(self, indices: Tensor, weights: Tensor | None = None) -> "Objective":
        """Return the loss over some of the examples; its cost is counted in the same `spent`."""
        chosen = replace(
            self.examples,
            images=self.examples.images[indices],
            labels=self.examples.labels[indices],
        )
        return replace(self, examples=chosen, weights=weights)

    def image_losses(self, point: Tensor) -> Tensor:
        """Return the loss of each image at one point, shape (n,)."""
        self.spent.forward += len(self)
        temperature = torch.ones(1, dtype=self.dtype, device=point.device)
        with torch.inference_mode(), self._timed():
            losses = []
            for images, labels, _ in self._batches(1):
                logits = self._logits(point[None], images)
                losses.append(_image_values(logits, labels, training_loss, temperature)[0])
        return torch.cat(losses).clone()

    def losses(self, points: Tensor) -> Tensor:
        """Return L at points of shape (k, P): shape (k,), float64."""
        self.spent.forward += len(points) * len(self)
        with torch.inference_mode(), self._timed():
            chunks = [self._losses(chunk) for chunk in points.split(self.candidates_per_chunk)]
        return torch.cat(chunks).clone()

    def margins(self, points: Tensor) -> Tensor:
        """Return the margin of each image at points (k, P): shape (k, n)."""
        self.spent.forward += len(points) * len(self)
        with torch.inference_mode(), self._timed():
            chunks = [self._margins(chunk) for chunk in points.split(self.candidates_per_chunk)]
        return torch.cat(chunks).clone()

    def gradients(
        self, points: Tensor, criterion: Criterion = training_loss, parameters: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the mean of a criterion at points (k, P), shape (k,), and its gradients, (k, P).

        `parameters` holds the criterion's own parameter of each point, (k, ...); None: 1 for each.
        """
        self.spent.gradient += len(points) * len(self)
        if parameters is None:
            parameters = torch.ones(len(points), dtype=self.dtype, device=points.device)
        size = self.candidates_per_chunk
        with self._timed():
            chunks = [
                self._gradients(chunk, criterion, parameter)
                for chunk, parameter in zip(points.split(size), parameters.split(size), strict=True)
            ]
        if len(chunks) == 1:  # a copy of the gradients costs as much as a small product
            return chunks[0]
        values, gradients = zip(*chunks, strict=True)
        return torch.cat(values), torch.cat(gradients)

    @property
    def candidates_per_chunk(self) -> int:
        """Return how many points are evaluated together, as memory allows; 1 in a loop."""
        if self.batching == "loop":
            return 1
        weight = 4 * self.network.size + 32 * self.network.activations
        return max(1, self.memory // 2 // (weight * self.dtype.itemsize))

    def images_per_chunk(self, candidates: int) -> int:
        """Return how many images go through the network together with so many candidates.

        Stacked candidates share the images. On a CPU there are no more images than keep the
        activations of all candidates near its cache, or than take as long to read as the weights.
        """
        network, itemsize = self.network, self.dtype.itemsize
        numbers = candidates * network.activations
        if self.batching == "stacked":
            numbers = network.pixels + candidates * network.units
        fitting = self.memory // 2 // (3 * numbers * itemsize)
        if self.batching == "stacked" and network.device.type == "cpu":
            cached = CACHE_BYTES // (candidates * network.units * itemsize)
            fitting = min(fitting, max(cached, 6 * network.size // network.activations))
        return max(1, min(len(self), fitting))

    @property
    def _logits(self) -> Logits:
        """Return a function of points and images that holds none of this objective's tensors."""
        return partial(logits_at, self.network, batching=self.batching)

    def run_on_chunk(
        self, numbers: int, work: ChunkFunction, *arguments: Tensor | Hashable
    ) -> Tensors:
        """Run a function on a chunk for which the layers put out so many numbers.

        On CUDA, if they are few, it is replayed as a CUDA graph, which all parts share.
        """
        run = partial(work, self._logits)
        few = min(CAPTURE_LIMIT, self.memory // (12 * self.dtype.itemsize))
        if numbers > few or not can_capture(self.network.device):
            return run(*arguments)
        kind = (work, self.batching, torch.backends.cuda.matmul.allow_tf32)
        if kind not in self.cuda_graphs:
            self.cuda_graphs[kind] = CudaGraphed(run)
        return tuple(output.clone() for output in self.cuda_graphs[kind](*arguments))

    def _losses(self, points: Tensor) -> Tensor:
        total = torch.zeros(len(points), dtype=torch.float64, device=points.device)
        ones = torch.ones(len(points), dtype=self.dtype, device=points.device)
        for batch in self._batches(len(points)):
            numbers = len(points) * len(batch[0]) * self.network.activations
            total += self.run_on_chunk(numbers, _losses_on, points, *batch, ones)[0]
        return total

    def _margins(self, points: Tensor) -> Tensor:
        parts = []
        for images, labels, _ in self._batches(len(points)):
            logits = self._logits(points, images)
            parts.append(torch.stack([margins_of(each, labels) for each in logits]))
        return torch.cat(parts, dim=1)

    def _gradients(
        self, points: Tensor, criterion: Criterion, parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        on_cpu = points.device.type == "cpu"
        if on_cpu and self.batching == "loop" and is_large(self.network.size):
            return self._gradient_in_place(points, criterion, parameters)
        total = torch.zeros(len(points), dtype=torch.float64, device=points.device)
        gradients = None
        for batch in self._batches(len(points)):
            numbers = len(points) * len(batch[0]) * self.network.activations
            arguments = (points, *batch, parameters, criterion)
            values, gradient = self.run_on_chunk(numbers, _gradients_on, *arguments)
            gradients = gradient if gradients is None else gradients.add_(gradient)
            total += values
        return total, gradients

    def _gradient_in_place(
        self, points: Tensor, criterion: Criterion, parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what `_gradients` does at one point, adding each layer's gradient in its place.

        So the gradient of a large network is in memory once, with that of one layer beside it.
        """
        total = torch.zeros(1, dtype=torch.float64, device=points.device)
        gradient = torch.zeros_like(points, memory_format=torch.contiguous_format)
        weights = {
            name: W.detach().requires_grad_()
            for name, W in self.network.named(points[0].detach()).items()
        }
        for name, into in self.network.named(gradient[0]).items():
            weights[name].grad = into
        for images, labels, fraction in self._batches(1):
            with torch.enable_grad():
                logits = functional_call(self.network.module, weights, (images,))[None]
                each = _image_values(logits, labels, criterion, parameters)
                (each * fraction.to(each.dtype)).sum().backward(inputs=list(weights.values()))
            total += (each.detach().double() * fraction).sum(dim=1)
        return total, gradient

    def _batches(self, candidates: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield images, labels, and the weight of each image in the mean (float64), in chunks."""
        weights = self.weights
        if weights is None:
            weights = torch.ones(len(self), device=self.examples.labels.device)
        fractions = weights.double() / weights.double().sum()
        size = self.images_per_chunk(candidates)
        chunks = zip(self.examples.batches(size, self.dtype), fractions.split(size), strict=True)
        for (images, labels), fraction in chunks:
            self.watch()
            yield images, labels, fraction

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spent.seconds += time.perf_counter() - began


def _losses_on(
    forward: Logits, points: Tensor, images: Tensor, labels: Tensor, fraction: Tensor, ones: Tensor
) -> Tensors:
    """Return what some images add to the mean loss at points (k, P): shape (k,)."""
    each = _image_values(forward(points, images), labels, training_loss, ones)
    return ((each.double() * fraction).sum(dim=1),)


def _gradients_on(
    forward: Logits,
    points: Tensor,
    images: Tensor,
    labels: Tensor,
    fraction: Tensor,
    parameters: Tensor,
    criterion: Criterion,
) -> Tensors:
    """Return what some images add to the mean of a criterion, (k,), and its gradients, (k, P)."""
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        each = _image_values(forward(points, images), labels, criterion, parameters)
        [gradient] = torch.autograd.grad((each * fraction.to(each.dtype)).sum(), points)
    return (each.detach().double() * fraction).sum(dim=1), gradient


def _image_values(
    logits: Tensor, labels: Tensor, criterion: Criterion, parameters: Tensor
) -> Tensor:
    """Return the criterion of each point on each image, shape (k, n)."""
    if len(logits) == 1:
        return criterion(logits[0], labels, parameters[0])[None]
    return vmap(criterion, (0, None, 0))(logits, labels, parameters)
