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

from gentool.common.errors import UsageError
from gentool.common.json import Json
from gentool.common.registry import FunctionRegistry

PRESETS = FunctionRegistry("recipe")
ADAM_LR = 0.001


@PRESETS.register
def paper(model: str, width: float | None) -> Json:
    """Return the options of the plain SGD of Neyshabur et al."""
    return {
        "lr": 0.01,
        "momentum": 0.9,
        "batch_size": 64,
        "schedule": "constant",
        "warmup": 0.0,
        "patience": None,
    }


@PRESETS.register
def fast(model: str, width: float | None) -> Json:
    """Return the options of the default preset, which fitted in the fewest epochs when measured."""
    options = paper(model, width) | {"schedule": "on-stall", "warmup": 1.0, "patience": 30}
    if model == "mlp":
        return options
    return options | {"batch_size": 256, "warmup": 5.0, "lr": 0.01 / max(width or 1.0, 0.25)}


def training_options(
    name: str, model: str, width: float | None, given: Mapping[str, object]
) -> Json:
    """Return the training options of a preset; those in `given` that are not None replace its own.

    `width` is that of a VGG, None if it was not given.

    Raise UsageError for an unknown preset, and for a momentum if the optimizer has none.
    """
    options = PRESETS[name](model, width)
    if given["optimizer"] != "sgd":
        if given["momentum"] is not None:
            raise UsageError(f"--momentum is an option of sgd; {given['optimizer']} has none")
        options |= {"momentum": None, "lr": ADAM_LR}
    options |= {option: value for option, value in given.items() if value is not None}
    return options | {"patience": options["patience"] or None}
