"""Define the presets of training options that `--recipe` names: `paper` and `fast`. No torch.

`paper` is what the evidence supports as the recipe of Neyshabur et al.; `fast`, the default, fitted
best where it was measured (see gentool/training/README.md for both).
"""

from collections.abc import Mapping, Sequence

from gentool.common.errors import UsageError
from gentool.common.json import Json
from gentool.common.registry import FunctionRegistry

PRESETS = FunctionRegistry("recipe")
PRESET_OPTIONS = (
    *("lr", "momentum", "batch_size", "schedule", "warmup", "patience", "init", "stop_loss"),
)
"""The training options that a preset holds."""
ADAM_LR = 0.001


@PRESETS.register
def paper(model: str, width: float | None) -> Json:
    """Return the options of Neyshabur et al.: plain SGD from PyTorch's initial weights.

    Their MLPs stop where the first author's later code stops.
    """
    return {
        "lr": 0.01,
        "momentum": 0.9,
        "batch_size": 64,
        "schedule": "constant",
        "warmup": 0.0,
        "patience": None,
        "init": "uniform",
        "stop_loss": 0.01 if model == "mlp" else 1e-4,
    }


@PRESETS.register
def fast(model: str, width: float | None) -> Json:
    """Return the options of the default preset, which fitted best where it was measured."""
    options = paper(model, width) | {"schedule": "on-stall", "warmup": 1.0, "patience": 30}
    options |= {"init": None, "stop_loss": 0.01}
    if model == "mlp":
        return options
    return options | {"batch_size": 256, "warmup": 5.0, "lr": 0.01 / max(width or 1.0, 0.25)}


def preset_of(recipes: Sequence[Json], option: str) -> str | None:
    """Return the preset that sets an option of all these recipes as they have it; None if none."""
    for name in PRESETS.names:
        if all(_is_of_preset(recipe, name, option) for recipe in recipes):
            return name
    return None


def _is_of_preset(recipe: Json, name: str, option: str) -> bool:
    """Return whether a recipe has an option as a preset sets it for its model and width."""
    model, width = recipe.get("model"), recipe.get("width")
    return isinstance(model, str) and PRESETS[name](model, width)[option] == recipe.get(option)


def training_options(
    name: str, model: str, width: float | None, overrides: Mapping[str, object]
) -> Json:
    """Return the training options of a preset; `overrides` that are not None replace its own.

    `width` is the width of a VGG, None for its default.

    Raise UsageError for an unknown preset, and for a momentum if the optimizer has none.
    """
    options = PRESETS[name](model, width)
    if overrides["optimizer"] != "sgd":
        if overrides["momentum"] is not None:
            raise UsageError(f"--momentum is an option of sgd; {overrides['optimizer']} has none")
        options |= {"momentum": None, "lr": ADAM_LR}
    options |= {option: value for option, value in overrides.items() if value is not None}
    return options | {"patience": options["patience"] or None}
