"""Name what is assumed about a network because no state dict can tell it.

A state dict holds no activations, and not the eps of batch norm. Nor does it show a skip connection
x + f(x) around layers f with as many outputs as inputs: shapes, names and order are those of a
plain chain. Only an nn.Sequential proves one: its layers have indices, and its forward pass calls
them one after the other. So what is not proved is recorded and said; the training error shows
whether it is wrong.
"""

from itertools import groupby

from gentool.checkpoints.foreign.layers import ForeignLayer
from gentool.checkpoints.hints import Hints
from gentool.common.json import Json
from gentool.records.recipe import Recipe

ACTIVATION, CHAIN, EPS = "activation", "no skip connection", "eps"
_WORDS = {
    ACTIVATION: "ReLU as the activation (--activation names another)",
    CHAIN: "no skip connection around layers with as many outputs as inputs (--module builds the "
    "network from its code)",
    EPS: "eps 1e-5 of batch norm (--layers names another)",
}


def assumptions(
    order: list[ForeignLayer], layers: list[Json], hints: Hints, is_activation_told: bool = False
) -> list[str]:
    """Return what is assumed about a network, of which --model says that it is a usual one.

    `order` are the layers with weights, from first to last; `layers` are those of the recipe.
    """
    if hints.model is not None:
        return []
    assumed = []
    is_open = hints.activation is None and not is_activation_told
    if is_open and any(layer["type"] == "relu" for layer in layers):
        assumed.append(ACTIVATION)
    if _may_be_skipped(order):
        assumed.append(CHAIN)
    if not is_activation_told and any(layer["type"].startswith("batch_norm") for layer in layers):
        assumed.append(EPS)
    return assumed


def _may_be_skipped(order: list[ForeignLayer]) -> bool:
    """Return whether a skip connection could be around a layer, or around a module that holds some.

    Inside of an nn.Sequential there is none, and around the last part there hardly is one.
    """
    parts = [list(part) for _, part in groupby(order, key=_part)]
    return any(part[0].inputs == part[-1].outputs for part in parts[:-1])


def _part(layer: ForeignLayer) -> str:
    """Return the name of what the forward pass calls: an nn.Sequential, or a layer by itself."""
    return layer.name if layer.index is None else layer.container


def assumption_notes(recipe: Recipe) -> list[str]:
    """Return a note for a record on what is assumed about a foreign network, if anything is."""
    assumed = (recipe.origin or {}).get("assumed")
    words = [_WORDS[name] for name in _WORDS if isinstance(assumed, list) and name in assumed]
    return [f"network: assumed, as the file does not tell: {'; '.join(words)}"] if words else []
