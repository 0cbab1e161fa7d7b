"""Prepare a network for sharpness: on its device, with its loss and an objective to evaluate."""

import math
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from gentool.common.errors import GentoolError
from gentool.data.examples import Examples
from gentool.networks.models import has_convolutions
from gentool.numerics.device import fast_products
from gentool.numerics.memory import memory_budget
from gentool.sharpness.autotune import BatchingChoice, choose_batching
from gentool.sharpness.evaluate import evaluate_point
from gentool.sharpness.forward import batchings_of
from gentool.sharpness.functional import FunctionalNetwork
from gentool.sharpness.objective import Objective, Spent

FEW_PARAMETERS = 1024  # with which float64 costs nothing


def check_float64(device: torch.device) -> None:
    """Raise GentoolError on a device without float64."""
    if device.type == "mps":
        raise GentoolError("sharpness is judged in float64, which mps lacks; use --device cpu")


class PreparedNetwork:
    """Hold a network and its examples on one device, and the evaluation before any perturbation.

    Raise GentoolError on a device without float64.
    """

    def __init__(
        self, network: FunctionalNetwork, examples: Examples, batching: str = "auto"
    ) -> None:
        device = examples.labels.device
        check_float64(device)
        self.network = network.to(device)
        self.examples, self.batching = examples, batching
        self.before = evaluate_point(self.network, examples, self.network.weights)
        self._objectives: dict[torch.dtype, tuple[Objective, BatchingChoice]] = {}

    @property
    def fault(self) -> str | None:
        """Return why nothing can be perturbed, None if it can: a loss or a weight is not finite."""
        if not math.isfinite(self.before.loss):
            return f"the training loss is {self.before.loss}, which nothing can rise from"
        if not self.network.weights.isfinite().all():
            return "some weights are NaN or infinite, and nothing is near them"
        return None

    @property
    def dtype(self) -> torch.dtype:
        """Return the precision to search in, unless the box is too small for it."""
        is_small = self.network.size <= FEW_PARAMETERS
        return torch.float64 if is_small else torch.float32

    @cached_property
    def gradient(self) -> Tensor:
        """Return ∇L(w), shape (P,)."""
        objective, _ = self.objective(self.dtype)
        return objective.gradients(objective.network.weights[None])[1][0]

    def objective(
        self, dtype: torch.dtype, deadline: float = math.inf
    ) -> tuple[Objective, BatchingChoice]:
        """Return the loss in a precision, its cost counted from 0, and how it batches candidates.

        After the deadline, as time.monotonic(), no more ways to batch them are tried.
        Raise GentoolError if the network cannot be batched in the way that the user chose.
        """
        if dtype not in self._objectives:
            self._objectives[dtype] = self._prepare(dtype, deadline)
        objective, batching = self._objectives[dtype]
        return replace(objective, spent=Spent()), batching

    def part(self, indices: Tensor) -> "PreparedNetwork":
        """Return the same network with some of the examples, batched in the same way."""
        images, labels = self.examples.images[indices], self.examples.labels[indices]
        examples = replace(self.examples, images=images, labels=labels)
        part = PreparedNetwork(self.network, examples, self.batching)
        for dtype in {self.dtype, *self._objectives}:
            objective, batching = self.objective(dtype)
            part._objectives[dtype] = objective.part(indices), batching
        return part

    def _prepare(
        self, dtype: torch.dtype, deadline: float = math.inf
    ) -> tuple[Objective, BatchingChoice]:
        device = self.examples.labels.device
        examples = self.examples.normalised() if dtype is torch.float32 else self.examples
        if has_convolutions(self.network.module):
            examples = examples.channels_last()
        objective = Objective(
            self.network.to(device, dtype), examples, memory=memory_budget(device)
        )
        if self.batching not in ("auto", *batchings_of(self.network)):
            raise GentoolError(
                f"--batching {self.batching} is for MLPs; take auto, loop, vmap or compiled"
            )
        with fast_products():
            is_auto = self.batching == "auto"
            batching = (
                choose_batching(objective, deadline=deadline)
                if is_auto
                else BatchingChoice(self.batching)
            )
        return replace(objective, batching=batching.chosen), batching
