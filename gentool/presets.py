"""Presets: the training options that `--recipe` stands for, so that a name is enough. No torch.

`paper` is the plain SGD of Neyshabur et al. `fast`, the default, is what fitted best where it was
measured.

The hidden linear layer of a VGG with random labels is what decides. Its inputs are positive, so
that all its units share one steep direction, along which a step that is too long or too noisy
switches them off for good: at 0.03 in batches of 64 all 512 were dead at full width after three
epochs and the loss was ln 10 from there on, and nine of ten at quarter width, where 5,000 labels
took 103 epochs. Batches of 256 make the steps less noisy, the warm-up keeps them short until there
is something to learn, and the rate goes with 1 / width, as the steepness does: from 0.03 on it is
too much at full width, from 0.1 on at quarter width. At half of that the same labels take 42
epochs. A rate that is lower still fits in fewer, but the weights then hardly leave their initial
values, and norms do not tell random labels from true ones.

For MLPs the rate is 0.01 in batches of 64: on MNIST 32 units fit in 55 to 62 epochs with each of
four seeds, while at 0.03 two of three were left with one wrong image after 500. It is halved where
the loss stalls.
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
_FAST_MLP = _PAPER | {"schedule": "on-stall", "warmup": 1.0, "patience": 30}
_FAST_VGG = _FAST_MLP | {"batch_size": 256, "warmup": 5.0}
PRESETS = ("paper", "fast")
ADAM_LR = 0.001


def training_options(
    name: str, model: str, width: float | None, given: Mapping[str, object]
) -> Json:
    """The training options of a preset for a model; those given (not None) replace its own.

    `width` is that of a VGG, None where it was not given.

    Raises UsageError for an unknown preset, and for a momentum where the optimizer has none.
    """
    if name not in PRESETS:
        raise unknown("recipe", name, PRESETS)
    if name == "paper":
        options = dict(_PAPER)
    elif model == "mlp":
        options = dict(_FAST_MLP)
    else:
        options = _FAST_VGG | {"lr": 0.01 / max(width or 1.0, 0.25)}
    if given["optimizer"] != "sgd":
        if given["momentum"] is not None:
            raise UsageError(f"--momentum is an option of sgd; {given['optimizer']} has none")
        options |= {"momentum": None, "lr": ADAM_LR}
    options |= {option: value for option, value in given.items() if value is not None}
    return options | {"patience": options["patience"] or None}
