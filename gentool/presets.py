"""Presets: the training options that `--recipe` stands for, so that a name is enough. No torch.

`paper` is the plain SGD of Neyshabur et al. `fast` fits all that the paper trains on: its learning
rate is large enough to move the weights far, which is what lets norms tell random labels from true
ones, and is halved when the loss stalls, so that large steps do not keep it from zero error.
"""

from collections.abc import Mapping

from gentool.errors import UsageError, unknown
from gentool.recipe import Json

_PAPER = {
    "lr": 0.01,
    "momentum": 0.9,
    "batch_size": 64,
    "schedule": "constant",
    "warmup": 0.0,
    "patience": None,
}
_FAST = _PAPER | {"lr": 0.03, "schedule": "on-stall", "warmup": 1.0, "patience": 30}
PRESETS: dict[str, Json] = {"paper": _PAPER, "fast": _FAST}
ADAM_LR = 0.001


def training_options(name: str, given: Mapping[str, object]) -> Json:
    """The training options of a preset; those given (not None) take the place of its own.

    Raises UsageError for an unknown preset, and for a momentum where the optimizer has none.
    """
    if name not in PRESETS:
        raise unknown("recipe", name, PRESETS)
    options = dict(PRESETS[name])
    if given["optimizer"] != "sgd":
        if given["momentum"] is not None:
            raise UsageError(f"--momentum is an option of sgd; {given['optimizer']} has none")
        options |= {"momentum": None, "lr": ADAM_LR}
    options |= {option: value for option, value in given.items() if value is not None}
    return options | {"patience": options["patience"] or None}
