"""Hold a measured network: canonical network, margins, and quantities that measures share."""

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, wraps
from math import log
from typing import NewType, TypeVar

import torch
from torch import Tensor, nn

from gentool.common.errors import UsageError
from gentool.data.examples import Examples, TrainingSet
from gentool.networks.canonical import Layer, Network
from gentool.networks.circular import circular_norm
from gentool.networks.class_logits import class_logits
from gentool.networks.tracing import is_homogeneous, is_lipschitz
from gentool.numerics import matrix_norms
from gentool.records.recipe import Outcome

REL_ERROR = 0.05  # relative standard error at which a sampling stops, unless --rel-error says

Value = TypeVar("Value")
Log = NewType("Log", float)
"""A natural logarithm, returned by measures whose value may be too large for a float."""


@dataclass(frozen=True)
class Estimate:
    """Hold a value that is estimated by sampling, with its standard error; 0: exact."""

    value: float
    stderr: float


class Undefined(Exception):
    """Signal that a measure does not exist for a network: `null` in the record, with a note.

    The message says why, and becomes the note.
    """


@dataclass(frozen=True)
class Measured:
    """Hold the arguments of a measure: a canonical network, its margins and settings.

    `margins` holds the margin of each training point, shape (m,), float64; None without data.
    `epsilon` is the fraction of the margins that may lie below gamma. With `biases`, path norms
    count the paths that begin at a bias; with `largest_path`, only the largest path sum goes
    through a max pooling. `initial` returns the canonical network before training, None if it is
    unknown; it is called only when a measure needs it, since drawing the weights again takes time.

    `sets` are the images that the network was trained on, None without data; `seed` is that of
    every random draw, and `rel_error` the relative standard error at which a sampling stops;
    `most_images` limits how many images are computed together.
    Values of each weight layer go into `of_layers`, by name: they stand in the table of layers.
    With `circular`, spectral norms are those of circular convolutions at the size of the images.
    `outcome` is the training record, None if there is none; `first_epoch` returns the canonical
    network after the first epoch, None if it is unknown.

    `path_sums` are the sums over paths that the chosen measures need, so that one forward pass
    computes those alike. `shared` holds what was computed for one measure and serves others.
    """

    network: Network
    margins: Tensor | None = None  # (m,)
    epsilon: float = 0.05
    biases: bool = True
    initial: Callable[[], Network | None] = lambda: None
    gamma_is_one: bool = False
    circular: bool = False
    outcome: Outcome | None = None
    first_epoch: Callable[[], Network | None] = lambda: None
    largest_path: bool = False
    path_sums: frozenset[Hashable] = frozenset()
    sets: TrainingSet | None = None
    seed: int = 0
    rel_error: float = REL_ERROR
    most_images: int | None = None
    of_layers: dict[str, list[float | None]] = field(default_factory=dict, repr=False)
    shared: dict[Hashable, object] = field(default_factory=dict, repr=False)  # of several measures

    @cached_property
    def gamma(self) -> float:
        """Return the margin of the training set: its ceil(epsilon m)-th smallest margin.

        It is not interpolated. Raise Undefined without data.
        """
        if self.gamma_is_one:
            return 1.0
        if self.margins is None:
            raise Undefined("the margin is unknown without data")
        if not bool(self.margins.isfinite().all()):
            raise Undefined("some logits are NaN or infinite, so the margin does not exist")
        return float(self.margins.kthvalue(margin_rank(self.epsilon, len(self.margins))).values)

    @property
    def log_gamma(self) -> float:
        """Return log(gamma). Raise Undefined if gamma is not positive: no measure divides by it."""
        if self.gamma <= 0:
            raise Undefined(f"the margin gamma = {self.gamma:.6g} is not positive")
        return log(self.gamma)

    @property
    def subset(self) -> Examples:
        """Return the training images without the confusion set. Raise Undefined without data."""
        return self._data.subset

    @property
    def trained_on(self) -> Examples:
        """Return all training images, the confusion set too. Raise Undefined without data."""
        return self._data.all

    @property
    def _data(self) -> TrainingSet:
        if self.sets is None:
            raise Undefined("it needs the training data")
        return self.sets

    def generator(self) -> torch.Generator:
        """Return a generator of random numbers at the start of the seed's stream."""
        return torch.Generator().manual_seed(self.seed)

    def check_size(self) -> None:
        """Raise Undefined if the size of the images is unknown, and so that of the maps."""
        if self.network.input_shape is None:
            first = self.layers[0].module
            raise Undefined(
                "it needs the size of the images, which is unknown; name it with --input-shape, "
                f"as --input-shape {first.weight.shape[1] * first.groups}x32x32"
            )

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Return the weight layers, W_1 to W_d."""
        return self.network.weight_layers

    @property
    def initial_layers(self) -> tuple[Layer, ...]:
        """Return the weight layers before training. Raise Undefined if they are unknown."""
        initial = self.initial()
        if initial is None:
            raise Undefined("the initial weights are not known, or this torch draws others")
        return initial.weight_layers

    @property
    def movements(self) -> list[Tensor]:
        """Return the change of each weight layer in training, as a matrix: Wᵢ − Wᵢ⁰."""
        return self.once("movements", self._movements)

    def _movements(self) -> list[Tensor]:
        layers = zip(self.layers, self.initial_layers, strict=True)
        return [layer.matrix - initial.matrix for layer, initial in layers]

    def log_movements(self, norm: Callable[[Tensor], float]) -> list[float]:
        """Return the log of a norm of each change. Raise Undefined like log_norms."""
        return self.log_norms(self.once(norm, lambda: [norm(W) for W in self.movements]))

    @property
    def log_spectral_movements(self) -> list[float]:
        """Return log ‖Wᵢ − Wᵢ⁰‖₂ of each layer as a matrix. Raise Undefined like log_norms."""
        if not self.circular:
            return self.log_movements(matrix_norms.spectral)
        pairs = zip(self.layers, self.initial_layers, strict=True)
        changes = [layer.module.weight - initial.module.weight for layer, initial in pairs]
        return self.log_norms(self.once("moved", lambda: self._circular_norms(changes)))

    def _circular_norms(self, weights: list[Tensor]) -> list[float]:
        """Return the norm of each weight, a kernel's as a circular convolution of whole images."""
        self.check_size()
        size = self.network.input_shape[1:]
        return [
            circular_norm(weight.detach(), size, layer.module.groups)
            if weight.dim() == 4
            else matrix_norms.spectral(weight.detach())
            for layer, weight in zip(self.layers, weights, strict=True)
        ]

    def once(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return what a function computes, at the first call; the same at every later one."""
        if key not in self.shared:
            self.shared[key] = compute()
        return self.shared[key]

    @property
    def log_frobenius(self) -> list[float]:
        """Return log ‖Wᵢ‖_F of each layer. Raise Undefined for NaN or infinite weights."""
        return self.log_norms(layer.frobenius for layer in self.layers)

    @property
    def points(self) -> int:
        """Return m, the number of training images. Raise Undefined without data."""
        if self.margins is None:
            raise Undefined("the number of training images is unknown without data")
        return len(self.margins)

    @property
    def log_spectral(self) -> list[float]:
        """Return log ‖Wᵢ‖₂ of each layer as a matrix. Raise Undefined like log_frobenius."""
        if self.circular:
            weights = [layer.module.weight for layer in self.layers]
            return self.log_norms(self.once("circular", lambda: self._circular_norms(weights)))
        return self.log_norms(layer.spectral for layer in self.layers)

    @property
    def log_frobenius_operator(self) -> list[float]:
        """Return log ‖Aᵢ‖_F of each layer as a linear map. Raise Undefined like log_frobenius."""
        self.check_size()
        return self.log_norms(layer.frobenius_operator for layer in self.layers)

    @property
    def log_spectral_operator(self) -> list[float]:
        """Return log ‖Aᵢ‖₂ of each layer as a linear map. Raise Undefined like log_frobenius."""
        self.check_size()
        return self.log_norms(layer.spectral_operator.lower for layer in self.layers)

    def log_norms(self, norms: Iterable[float]) -> list[float]:
        """Return the logarithms of norms, one a weight layer; minus infinity for 0.

        Raise Undefined, naming the layer, if a norm is NaN or infinite.
        """
        norms = list(norms)
        for layer, norm in zip(self.layers, norms, strict=True):
            if not math.isfinite(norm):
                raise Undefined(f"layer {layer.name!r} has NaN or infinite weights")
        return [log(norm) if norm > 0 else -math.inf for norm in norms]

    @property
    def log_nonzero_spectral(self) -> list[float]:
        """Return log_spectral, to divide by. Raise Undefined also if a layer is all zeros."""
        if -math.inf in self.log_spectral:
            layer = self.layers[self.log_spectral.index(-math.inf)]
            raise Undefined(f"the weights of layer {layer.name!r} are all zero")
        return self.log_spectral


Function = TypeVar("Function", bound=Callable[[Measured], float])

HOMOGENEOUS = (is_homogeneous, "positively homogeneous")
LIPSCHITZ = (is_lipschitz, "1-Lipschitz with φ(0) = 0")


def needs(
    *properties: tuple[Callable[[nn.Module], bool], str],
) -> Callable[[Function], Function]:
    """Make a measure undefined unless every activation has some properties; use as a decorator."""

    def decorate(function: Function) -> Function:
        @wraps(function)
        def checked(net: Measured) -> float:
            for activation in net.network.activations:
                for has_property, words in properties:
                    if not has_property(activation):
                        raise Undefined(
                            f"it needs activations that are {words}; {activation} is not"
                        )
            return function(net)

        return checked

    return decorate


def log_sum(logs: Iterable[float]) -> Log:
    """Return the logarithm of a sum from the logarithms of its terms."""
    terms = torch.tensor(list(logs), dtype=torch.float64)
    return Log(float(torch.logsumexp(terms, dim=0)))


def checked_rel_error(rel_error: float, words: str) -> float:
    """Return a relative standard error to stop at; raise UsageError unless it is from 0 to 1."""
    if not 0 < rel_error < 1:
        raise UsageError(f"{words} is {rel_error}; it has to be above 0 and below 1")
    return rel_error


def margin_rank(epsilon: float, points: int) -> int:
    """Return the rank of gamma among the m sorted margins: k = ceil(epsilon m), at least 1.

    The product is rounded before the ceiling: 0.05 * 20 is slightly above 1 in binary, and has to
    give 1, not 2.
    """
    return max(1, math.ceil(round(epsilon * points, 9)))


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the margin of each point: the logit of its label minus the largest other logit.

    `logits` of shape (m, classes), `labels` of shape (m,); the result has shape (m,). Of one output
    f for the labels y of 0 and 1 it is (2y − 1) f.
    """
    logits = class_logits(logits)
    rows = torch.arange(len(labels), device=logits.device)
    others = logits.clone()
    others[rows, labels] = -torch.inf
    return logits[rows, labels] - others.amax(dim=1)
