"""Presets: the training options that `--recipe` stands for, so that a name is enough. No torch.

`paper` is the plain SGD of Neyshabur et al. `fast`, the default, is what fitted best where it was
measured.

The hidden linear layer of a VGG with random labels is what decides. Its inputs are positive, so
that all its units share one steep direction, along which a step that is too long or too noisy
switches them off for good: at 0.03 in batches of 64 all 512 were off at full width after a few
epochs and the loss was ln 10 from there on; at quarter width nine of ten were, and 5,000 labels
took 103 epochs. Batches of 256 make the steps less noisy (those of 128 are not enough), the warm-up
keeps them short until there is something to learn, and the rate goes with 1 / width, as the
steepness does: a loss leapt when the rate came to 0.03 at full width, and with few images at 0.06
at quarter width. Then 5,000 random labels take 15 epochs at full and 45 at quarter width, 50,000 of
them 41 at full width. The price: the lower the rate, the less norms tell random labels from true;
at full width and this one most of them do not.

For MLPs the rate is 0.01 in batches of 64: on MNIST 32 units fit in 55 to 62 epochs with each of
four seeds, while at 0.03 two of three were left with one wrong image after 500. It is halved where
the loss stalls.
"""

from collections.abc import Mapping

from gentool.common.errors import UsageError, unknown
from gentool.common.json import Json

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
