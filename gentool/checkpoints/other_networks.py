"""Try what a file does not tell about a network that does not fit its training set.

Where activations were assumed, the others are tried; where a skip connection cannot be excluded,
connections x + f(x) around the layers of equal width. Nothing is switched: what lowers the error is
named.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gentool.checkpoints.checkpoint import Checkpoint
from gentool.checkpoints.foreign.assumptions import ACTIVATION, CHAIN
from gentool.checkpoints.hints import ACTIVATIONS
from gentool.checkpoints.normalisation import BY_CHANCE, judge
from gentool.common.json import Json
from gentool.data.examples import Examples
from gentool.networks.layer_list import TYPES, Chain

_NONLINEAR = tuple(TYPES[name][0] for name in ACTIVATIONS)


@dataclass(frozen=True)
class OtherNetwork:
    """Hold another reading of a file, in words, with its error on some images."""

    words: str
    error: float
    loss: float


def best_other_networks(checkpoint: Checkpoint, few: Examples) -> list[OtherNetwork]:
    """Return the readings with the lowest error on a few images; none if nothing was assumed.

    Those within chance of the lowest are among them, as a few images do not tell them apart. They
    are ordered by error, then by loss.
    """
    device = few.labels.device
    trials = []
    for words, network in _others(checkpoint):
        error, loss = judge(few, network.to(device, torch.float64).eval())
        trials.append(OtherNetwork(words, error, loss))
    trials.sort(key=lambda trial: (trial.error, trial.loss))
    return [trial for trial in trials if (trial.error - trials[0].error) * len(few) < BY_CHANCE]


def _others(checkpoint: Checkpoint) -> Iterator[tuple[str, nn.Module]]:
    layers = checkpoint.recipe.layers or ()
    assumed = checkpoint.recipe.origin.get("assumed")
    assumed = assumed if isinstance(assumed, list) else []
    if ACTIVATION in assumed:
        for kind in ACTIVATIONS[1:]:
            others = tuple(
                {"name": layer["name"], "type": kind} if layer["type"] == "relu" else layer
                for layer in layers
            )
            recipe = replace(checkpoint.recipe, layers=others)
            yield f"with --activation {kind}", replace(checkpoint, recipe=recipe).model()
    if CHAIN in assumed:
        wide = [layer["name"] for layer in layers if _keeps_size(layer)]
        for is_after in (True, False):
            model = checkpoint.model()
            if isinstance(model, Chain) and wide:
                where = "after its activation" if is_after else "before its activation"
                words = f"with a skip connection around {', '.join(map(repr, wide))}, added {where}"
                yield words, _Skipping(model, frozenset(wide), is_after)


def _keeps_size(layer: Json) -> bool:
    return layer["type"] == "linear" and layer["in_features"] == layer["out_features"]


class _Skipping(nn.Module):
    """Add the input of some linear layers to their output, before or after the activation."""

    def __init__(self, chain: Chain, skipped: frozenset[str], is_after: bool) -> None:
        super().__init__()
        self.chain, self._skipped, self._is_after = chain, skipped, is_after

    def forward(self, images: Tensor) -> Tensor:
        kept: Tensor | None = None
        for name, module in self.chain.steps():
            is_activation = isinstance(module, _NONLINEAR)
            if kept is not None and is_activation and not self._is_after:
                images, kept = images + kept, None
            if name in self._skipped:
                kept = images
            images = module(images)
            if kept is not None and is_activation:
                images, kept = images + kept, None
        return images
