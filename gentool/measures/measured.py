"""The measured network: the canonical network with its margins, and what several measures share."""

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from math import log
from typing import NewType

import torch
from torch import Tensor

from gentool.networks.canonical import Layer, Network

Log = NewType("Log", float)
"""A natural logarithm: what a measure returns whose value may be too large for a float."""


class Undefined(Exception):
    """The quantity does not exist for this network; the message says why.

    It becomes `null` with a note.
    """


@dataclass(frozen=True)
class Measured:
    """What a measure is a function of.

    `margins` holds the margin of each training point, shape (m,), float64; None where there is no
    data. `epsilon` is the fraction of the margins that may lie below gamma. `biases` tells whether
    path norms count them, `largest_path` whether of the paths through a max pooling the largest
    counts alone. `initial` gives the canonical network before training, None where it is not
    known; it is not called before a measure asks.
    """

    network: Network
    margins: Tensor | None = None  # (m,)
    epsilon: float = 0.05
    biases: bool = True
    initial: Callable[[], Network | None] = lambda: None
    gamma_is_one: bool = False
    largest_path: bool = False
    path_sums: dict[Hashable, float] = field(default_factory=dict, repr=False)  # found already

    @cached_property
    def gamma(self) -> float:
        """The margin of the training set: its ceil(epsilon m)-th smallest margin, not interpolated.

        Raises Undefined where there is no data.
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
        """log(gamma). Raises Undefined where gamma is not positive: nothing divides by it then."""
        if self.gamma <= 0:
            raise Undefined(f"the margin gamma = {self.gamma:.6g} is not positive")
        return log(self.gamma)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The weight layers, W_1 to W_d."""
        return self.network.weight_layers

    @property
    def initial_layers(self) -> tuple[Layer, ...]:
        """The weight layers before training. Raises Undefined where they are not known."""
        initial = self.initial()
        if initial is None:
            raise Undefined("the initial weights are not known, or this torch draws others")
        return initial.weight_layers

    @cached_property
    def movements(self) -> list[Tensor]:
        """What training added to each weight layer as a matrix: Wᵢ − Wᵢ⁰."""
        layers = zip(self.layers, self.initial_layers, strict=True)
        return [layer.matrix - initial.matrix for layer, initial in layers]

    @property
    def log_frobenius(self) -> list[float]:
        """log of each layer's Frobenius norm. Raises Undefined for NaN or infinite weights."""
        return self.log_norms(layer.frobenius for layer in self.layers)

    @property
    def log_spectral(self) -> list[float]:
        """log of the spectral norm of each weight layer as a matrix. Raises Undefined likewise."""
        return self.log_norms(layer.spectral for layer in self.layers)

    @property
    def log_frobenius_operator(self) -> list[float]:
        """log of each layer's Frobenius norm as a linear map. Raises Undefined likewise."""
        return self.log_norms(layer.frobenius_operator for layer in self.layers)

    @property
    def log_spectral_operator(self) -> list[float]:
        """log of each layer's spectral norm as a linear map. Raises Undefined likewise."""
        return self.log_norms(layer.spectral_operator.lower for layer in self.layers)

    def log_norms(self, norms: Iterable[float]) -> list[float]:
        """Logarithms of norms, one a weight layer; minus infinity for 0.

        Raises Undefined, naming the layer, where one is NaN or infinite.
        """
        norms = list(norms)
        for layer, norm in zip(self.layers, norms, strict=True):
            if not math.isfinite(norm):
                raise Undefined(f"layer {layer.name!r} has NaN or infinite weights")
        return [log(norm) if norm > 0 else -math.inf for norm in norms]

    @property
    def log_nonzero_spectral(self) -> list[float]:
        """As log_spectral, to divide by. Raises Undefined where a layer is zero, too."""
        if -math.inf in self.log_spectral:
            layer = self.layers[self.log_spectral.index(-math.inf)]
            raise Undefined(f"the weights of layer {layer.name!r} are all zero")
        return self.log_spectral


def log_sum(logs: Iterable[float]) -> Log:
    """log of a sum, from the logarithms of its terms."""
    terms = torch.tensor(list(logs), dtype=torch.float64)
    return Log(float(torch.logsumexp(terms, dim=0)))


def margin_rank(epsilon: float, points: int) -> int:
    """k = ceil(epsilon m), at least 1: which of the m sorted margins is gamma.

    Rounded before the ceiling, so that 0.05 * 20, slightly above 1 in binary, gives 1 and not 2.
    """
    return max(1, math.ceil(round(epsilon * points, 9)))


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Margin of each point: its label's logit minus the largest of the others.

    `logits` of shape (m, classes), `labels` of shape (m,); the result has shape (m,).
    """
    rows = torch.arange(len(labels), device=logits.device)
    others = logits.clone()
    others[rows, labels] = -torch.inf
    return logits[rows, labels] - others.amax(dim=1)
