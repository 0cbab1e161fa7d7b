"""Define the recipe (everything that changes a trained network) and the outcome. No torch.

A recipe begins with the options of the command line. Drawing the data adds facts (`input_shape`,
`classes`, the resolved `subset`, digests, normalisation); from then on the same recipe drawn again
must give the same facts. Checkpoints and measure files hold all of it.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any

from gentool.common.errors import GentoolError, UsageError
from gentool.common.json import Json, finite
from gentool.common.text import recordable, shortened
from gentool.records import ranges
from gentool.records.ranges import Range
from gentool.records.schemas import list_of, object_of

LAYERS = "layers"
"""The model of a network that its recipe describes layer by layer."""
REGARDLESS_OF_EPOCHS = ("constant", "on-stall", "exponential")
"""Schedules whose learning rates do not depend on the highest number of epochs."""


class Role(Enum):
    """Name a purpose for which fields of a recipe matter; a field may have several roles.

    Networks are averaged only where they agree in every field but those that are REPEATED.
    """

    REPEATED = "is the seed, or follows from its draws: values are averaged over it"
    IDENTITY = "chooses the network to train"
    CONDITION = "sets how training begins, computes and stops"
    STEP = "sets how a step of training changes the weights"
    LIMIT = "ends a training that does not meet the stop rule"
    DERIVED = "follows from the rest of the recipe and its data, or says where a network came from"
    UNNAMED = "is not shown in a legend"


def _option(default: object, values: Range, *roles: Role) -> Any:  # noqa: ANN401 - as `field` itself
    """Return a field of the recipe with its range and its roles as metadata."""
    return field(default=default, metadata={"range": values, "roles": roles})


@dataclass(frozen=True)
class Recipe:
    """Hold everything that determines a trained network, on one machine to the bit.

    Options that a model does not have are None (`hidden` of a VGG); `init` None is `uniform` with
    batch norm on every convolution or hidden layer, else `he`. `batch_norm` true is on every
    convolution of a VGG or every hidden layer of an MLP; "hidden" is on the hidden linear layer of
    the paper's VGG alone, "all" on both. `last_pool` is the kind of that VGG's last pooling.
    `stop_on` is the mode in which the stop rule takes the training loss, and `stop_check` is when:
    at the end of an epoch, or after some steps within it, too; None is what `stop_check_of` says,
    and trained networks have either. `channels` and `resize`
    say how the images of a folder are read, `channel_order` those of an npz archive; `draw` says
    whether the subset is drawn at random or is the first images. Raise UsageError for a value out
    of range.

    A network that another program trained has the model `layers`: `layers` lists them (see
    `networks.layer_list`), `origin` names the file and the settings inferred from it, and unknown
    settings of its training are None.
    """

    model: str = _option("vgg", ranges.NAME, Role.IDENTITY)
    batch_norm: bool | str = _option(False, ranges.BATCH_NORM)
    dropout: float = _option(0.0, ranges.BELOW_ONE)
    last_pool: str | None = _option(None, ranges.one_of("max", "average").or_none())
    width: float | None = _option(None, ranges.WIDTH.or_none())
    depth: int | None = _option(None, ranges.whole_number(0, 1000).or_none())
    hidden: int | None = _option(None, ranges.UNITS.or_none())
    init: str | None = _option(None, ranges.one_of("he", "uniform").or_none(), Role.CONDITION)

    data: str = _option("cifar10", ranges.NAME)
    channels: int | None = _option(None, ranges.CHANNELS.or_none(), Role.IDENTITY, Role.UNNAMED)
    resize: int | None = _option(None, ranges.PIXELS.or_none(), Role.IDENTITY)
    channel_order: str | None = _option(
        None, ranges.one_of("first", "last").or_none(), Role.IDENTITY, Role.UNNAMED
    )
    labels: str | float = _option("true", ranges.LABELS, Role.IDENTITY)
    subset: int | None = _option(None, ranges.COUNT.or_none())
    draw: str = _option("random", ranges.one_of("random", "first"), Role.IDENTITY)
    confusion: int = _option(0, ranges.whole_number(0), Role.IDENTITY)
    seed: int = _option(0, ranges.whole_number(0, 2**32 - 1), Role.IDENTITY, Role.REPEATED)

    optimizer: str = _option("sgd", ranges.NAME, Role.STEP)
    lr: float = _option(0.01, ranges.POSITIVE, Role.STEP)
    momentum: float | None = _option(0.9, ranges.BELOW_ONE.or_none(), Role.STEP)
    weight_decay: float = _option(0.0, ranges.NOT_NEGATIVE, Role.STEP)
    batch_size: int = _option(64, ranges.COUNT, Role.STEP)
    schedule: str = _option("constant", ranges.NAME, Role.STEP)
    warmup: float | None = _option(0.0, ranges.EPOCHS.or_none(), Role.STEP)
    epochs: int = _option(500, ranges.COUNT, Role.LIMIT)
    patience: int | None = _option(None, ranges.COUNT.or_none(), Role.LIMIT)
    precision: str = _option("float32", ranges.one_of("float32", "bfloat16"), Role.CONDITION)
    stop_loss: float = _option(0.01, ranges.POSITIVE, Role.CONDITION)
    stop_on: str = _option("evaluation", ranges.one_of("evaluation", "training"), Role.CONDITION)
    stop_check: str | None = _option(
        None, ranges.one_of("epoch", "steps").or_none(), Role.CONDITION
    )

    input_shape: tuple[int, int, int] | None = _option(None, ranges.SHAPE.or_none(), Role.DERIVED)
    classes: int | None = _option(None, ranges.UNITS.or_none(), Role.DERIVED)
    digest: str | None = _option(
        None, ranges.SHA256.or_none(), Role.REPEATED, Role.DERIVED, Role.UNNAMED
    )
    fingerprint: str | None = _option(None, ranges.SHA256.or_none(), Role.DERIVED, Role.UNNAMED)
    mean: tuple[float, ...] | None = _option(
        None, ranges.CHANNEL_NUMBERS.or_none(), Role.DERIVED, Role.UNNAMED
    )
    std: tuple[float, ...] | None = _option(
        None, ranges.CHANNEL_DEVIATIONS.or_none(), Role.DERIVED, Role.UNNAMED
    )
    initial_digest: str | None = _option(
        None, ranges.SHA256.or_none(), Role.REPEATED, Role.DERIVED, Role.UNNAMED
    )

    layers: tuple[Json, ...] | None = _option(None, ranges.LIST_OF_LAYERS.or_none(), Role.UNNAMED)
    origin: Json | None = _option(  # noqa: RUF009 - a call of dataclasses.field
        None, ranges.OBJECT.or_none(), Role.DERIVED, Role.UNNAMED
    )

    def __post_init__(self) -> None:
        if self.last_pool is None:
            object.__setattr__(self, "last_pool", _last_pool(self.model))
        for name in ("input_shape", "mean", "std", "layers"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON has no tuples
        if isinstance(self.data, str):
            object.__setattr__(self, "data", recordable(self.data))
        for option in fields(self):
            value = getattr(self, option.name)
            if self.model == LAYERS and value is None:
                continue  # another program trained it, and its file does not hold the value
            values = option.metadata["range"]
            if not values.includes(value):
                name = option.name.replace("_", "-")
                raise UsageError(f"{name} is {value!r}; it has to be {values.words}")
        if self.stop_on == "training" and self.stop_check == "steps":
            raise UsageError(
                "stop-on training takes the loss of a whole epoch; leave out stop-check steps"
            )

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def of_foreign(cls, **known: object) -> "Recipe":
        """Return the recipe of a network that another program trained; all but `known` is None."""
        unknown = dict.fromkeys(field.name for field in fields(cls))
        return cls(**unknown | {"model": LAYERS} | known)

    @classmethod
    def from_json(cls, values: object) -> "Recipe":
        """Return the recipe of a JSON object.

        Raise GentoolError, naming the field, for an unknown key or a value out of range.
        """
        if not isinstance(values, dict):
            raise GentoolError(f"the recipe is {ranges.shown(values)}, not a JSON object")
        if unknown := sorted(set(values) - {field.name for field in fields(cls)}):
            raise GentoolError(
                f"the recipe has unknown keys ({', '.join(unknown)}); is this gentool too old?"
            )
        values = with_later_fields(values)
        schema = _FOREIGN_RECIPE if values.get("model") == LAYERS else _RECIPE
        if fault := schema.fault(values, "recipe"):
            raise GentoolError(fault)
        return cls(**values)

    @classmethod
    def from_file(cls, values: object) -> "Recipe":
        """Return the recipe of a JSON object that a file holds, which has to be complete.

        Raise GentoolError, naming the field, as `from_json` does.
        """
        recipe = cls.from_json(values)
        if missing := [name for name in _ALWAYS_WRITTEN if name not in values]:
            raise GentoolError(f"recipe.{missing[0]} is missing")
        return recipe

    def check_facts(self) -> None:
        """Raise GentoolError unless the recipe has all facts of its data, as after training.

        That of a network that another program trained may lack some.
        """
        for name in () if self.model == LAYERS else _FACTS:
            if getattr(self, name) is None:
                raise GentoolError(f"recipe.{name} is null; a trained network has one")
        if self.mean is None or self.std is None or self.input_shape is None:
            return
        lengths, channels = (len(self.mean), len(self.std)), self.input_shape[0]
        if lengths != (channels, channels):
            raise GentoolError(
                f"recipe.mean and recipe.std have {lengths[0]} and {lengths[1]} numbers; "
                f"recipe.input_shape has {channels} channels"
            )


_RECIPE = object_of({option.name: option.metadata["range"] for option in fields(Recipe)})
_FOREIGN_RECIPE = object_of(
    {option.name: option.metadata["range"].or_none() for option in fields(Recipe)}
)
_ALWAYS_WRITTEN = (
    *("model", "batch_norm", "dropout", "width", "depth", "hidden", "data", "labels", "subset"),
    *("confusion", "seed", "optimizer", "lr", "momentum", "weight_decay", "batch_size"),
    *("schedule", "epochs", "stop_loss", "input_shape", "classes", "digest", "fingerprint"),
    *("mean", "std"),
)
"""The fields that recipes of all versions have."""
_FACTS = ("data", "input_shape", "classes", "subset", "digest", "fingerprint", "mean", "std")


def with_later_fields(recipe: Json) -> Json:
    """Add the fields that the recipes of earlier versions lack, with the values that they meant."""
    later = {
        "last_pool": _last_pool(recipe.get("model")),
        "stop_on": "evaluation",
        "stop_check": "epoch",
        "draw": "random",
    }
    if recipe.get("model") == LAYERS:
        later |= {"stop_on": None, "stop_check": None, "draw": None}
    return later | dict.fromkeys(("channels", "resize", "channel_order")) | recipe


def _last_pool(model: object) -> str | None:
    """Return the last pooling of a model that names none: the paper's VGG has a maximum."""
    return "max" if model == "vgg" else None


def stop_check_of(recipe: Recipe) -> str:
    """Return when the stop rule is checked; `stop_check` None means at the end of an epoch."""
    return recipe.stop_check or "epoch"


def default_init(batch_norm: object) -> str:
    """Return the initial weights that `init` None means, for the batch norm of a recipe."""
    return "uniform" if batch_norm in (True, "all") else "he"


def initial_weights(recipe: Json) -> str | None:
    """Return the `init` of a recipe in JSON, or what null means there.

    None where it is unknown: of a network that another program trained.
    """
    init = recipe.get("init")
    if init is None and recipe.get("model") not in (None, LAYERS):
        return default_init(recipe.get("batch_norm"))
    return init


def fields_with(*roles: Role) -> tuple[str, ...]:
    """Return the names of the fields of a recipe that have a role, role by role in their order."""
    options = fields(Recipe)
    return tuple(
        option.name for role in roles for option in options if role in option.metadata["roles"]
    )


def _result(values: Range) -> Any:  # noqa: ANN401 - as `field` itself
    """Return a field of the outcome with its range as metadata."""
    return field(metadata={"range": values})


def _later_result(values: Range) -> Any:  # noqa: ANN401 - as `field` itself
    """Return a field that outcomes of earlier versions lack: None there."""
    return field(default=None, metadata={"range": values.or_none()})


HISTORY = object_of(
    {
        "epoch": list_of(ranges.whole_number(1)),
        "loss": list_of(ranges.NUMBER),
        "error": list_of(ranges.NUMBER),
    },
    required=("epoch", "loss", "error"),
)


STEPS = ("steps", "steps_to_loss_0_1", "steps_to_loss_0_01")
"""Fields of an outcome that those of earlier versions lack, all three."""


@dataclass(frozen=True)
class Outcome:
    """Hold the result of training.

    Losses are mean cross-entropies, errors are fractions, both in evaluation mode.
    Those of the confusion set and of the test set are None if the data has none.
    `gave_up` is true if training ended because its loss no longer fell. `training_mode_loss` and
    `training_mode_error` are the running ones of the last epoch, with dropout and with the batch
    norm statistics of each batch; None before the first epoch.
    `history` holds, for each epoch, the running loss and error in training mode: `epoch`, `loss`,
    `error`. A loss that is infinite or NaN is None, and `notes` says so.
    `steps` counts the steps of the optimizer. `steps_to_loss_0_1` and `steps_to_loss_0_01` are the
    steps after which the mean cross-entropy over all that is trained on, in evaluation mode, was
    first seen to be below 0.1 and 0.01: it is looked at as the recipe's `stop_check` says. They are
    None where that was not seen, and outcomes of earlier versions have none of the three.
    `threads` is the number of CPU threads of the steps, which changes how sums are rounded where a
    network is not small; None on a GPU, after a change of the number, and in earlier versions.
    """

    epochs: int = _result(ranges.whole_number(0))
    stop_rule_met: bool = _result(ranges.BOOLEAN)
    gave_up: bool = _result(ranges.BOOLEAN)
    train_loss: float | None = _result(ranges.FINITE.or_none())
    train_error: float = _result(ranges.FRACTION)
    confusion_loss: float | None = _result(ranges.FINITE.or_none())
    confusion_error: float | None = _result(ranges.FRACTION.or_none())
    test_loss: float | None = _result(ranges.FINITE.or_none())
    test_error: float | None = _result(ranges.FRACTION.or_none())
    training_mode_loss: float | None = _result(ranges.FINITE.or_none())
    training_mode_error: float | None = _result(ranges.FRACTION.or_none())
    history: dict[str, list[float]] = _result(HISTORY)  # noqa: RUF009 - a field
    steps: int | None = _later_result(ranges.whole_number(0))
    steps_to_loss_0_1: int | None = _later_result(ranges.whole_number(0))
    steps_to_loss_0_01: int | None = _later_result(ranges.whole_number(0))
    threads: int | None = _later_result(ranges.whole_number(1))
    notes: tuple[str, ...] = field(default=(), metadata={"range": list_of(ranges.TEXT)})
    others: Json = field(default_factory=dict)  # fields of later versions, kept as they are

    def to_json(self) -> Json:
        """Return the outcome as JSON; without notes, steps and threads, where there are none.

        Outcomes of earlier versions are then written as they were.
        """
        values = asdict(self)
        others, notes = values.pop("others"), values.pop("notes")
        if self.steps is None:
            values = {name: value for name, value in values.items() if name not in STEPS}
        if self.threads is None:
            del values["threads"]
        return values | ({"notes": list(notes)} if notes else {}) | others

    def with_losses(self, **losses: float | None) -> "Outcome":
        """Return the outcome with other losses: None for one that is not finite, and a note."""
        notes = tuple(
            f"{name}: it is {loss}, and null stands for it"
            for name, loss in losses.items()
            if loss is not None and not math.isfinite(loss)
        )
        numbers = {k: None if v is None else finite(v) for k, v in losses.items()}
        return replace(self, **numbers, notes=(*self.notes, *notes))

    @classmethod
    def from_json(cls, values: object) -> "Outcome":
        """Return the outcome of a JSON object; raise GentoolError, naming the field, if it is none.

        Unknown fields are kept.
        """
        if not isinstance(values, dict):
            raise GentoolError(f"the outcome is {ranges.shown(values)}, not a JSON object")
        values = _later_outcome_fields(values) | values
        if fault := _OUTCOME.fault(values, "outcome"):
            raise GentoolError(fault)
        if fault := fault_of_history(values["history"], values["epochs"], "outcome.history"):
            raise GentoolError(fault)
        known = {name: value for name, value in values.items() if name in _OUTCOME_FIELDS}
        others = {name: value for name, value in values.items() if name not in _OUTCOME_FIELDS}
        return cls(**known | {"notes": tuple(values["notes"]), "others": others})


_OUTCOME_FIELDS = {
    option.name: option.metadata["range"] for option in fields(Outcome) if option.metadata
}
_OUTCOME = object_of(_OUTCOME_FIELDS, _OUTCOME_FIELDS)


def fault_of_history(history: dict[str, list[float]], epochs: int, name: str) -> str | None:
    """Return what is wrong with a history of the right types; None if it is one of `epochs`."""
    for key in ("epoch", "loss", "error"):
        if len(history[key]) != epochs:
            return f"{name}.{key} has {len(history[key])} epochs; it has to have {epochs}"
    if history["epoch"] != list(range(1, epochs + 1)):
        return f"{name}.epoch does not count the epochs from 1"
    return None


def _later_outcome_fields(values: Json) -> Json:
    """Return the fields that outcomes of earlier versions lack, as far as the others tell them."""
    history = values.get("history")
    later: Json = {"gave_up": False, "notes": []} | dict.fromkeys((*STEPS, "threads"))
    for name in ("loss", "error"):
        running = history.get(name) if isinstance(history, dict) else None
        later[f"training_mode_{name}"] = (
            running[-1] if isinstance(running, list) and running else None
        )
    return later


def parse_labels(text: str) -> str | float:
    """Return the `labels` of a recipe for the text of an option: true, random, or a fraction."""
    if text in ("true", "random"):
        return text
    above, slash, below = text.partition("/")
    try:
        fraction = float(above) / float(below) if slash else float(text)
        if not 0 <= fraction <= 1:  # NaN is not
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise UsageError(
            f"--labels is {shortened(text)!r}; it has to be true, random or a fraction such as 0.3"
        ) from None
    return {0.0: "true", 1.0: "random"}.get(fraction, fraction)


BATCH_NORM_WORDS = ("none", "conv", "hidden", "all")


def parse_batch_norm(text: str, model: str) -> bool | str:
    """Return the `batch_norm` of a recipe: none, conv, hidden or all; on for the model's usual one.

    Raise UsageError for another word, and for layers that the model does not have.
    """
    if text not in (*BATCH_NORM_WORDS, "on"):
        words = ", ".join(BATCH_NORM_WORDS)
        raise UsageError(f"Invalid value for '--batch-norm': {text!r}; it takes one of {words}")
    if text in ("none", "on"):
        return text == "on"
    if text == "conv" and model == "mlp":
        raise UsageError("--batch-norm conv is for convolutions, which an mlp does not have")
    if text == "hidden" and model not in ("vgg", "mlp"):
        raise UsageError(f"--batch-norm hidden is for hidden linear layers, which {model} has not")
    return text if model == "vgg" and text != "conv" else True


def default_stem(
    recipe: Recipe,
    model_options: Mapping[str, object],
    training_options: Mapping[str, object] | None = None,
) -> str:
    """Return the default file name of a checkpoint, such as `vgg-cifar10-random-5000-seed0`.

    `model_options` are those of the command line, `training_options` those that are to be in the
    name: `lr` 0.1 is `mlp-digits-true-lr0.1-seed0`. An option that was left out (None) is not in
    the name.
    """
    words = dict(model_options)
    if isinstance(norm := words.get("batch_norm"), bool):
        words["batch_norm"] = ("hidden" if recipe.model == "mlp" else "conv") if norm else "none"
    return _stem(recipe, words, training_options or {})


def older_stem(recipe: Recipe, model_options: Mapping[str, object]) -> str:
    """Return the default file name that earlier versions gave: `batch-normTrue` for batch norm."""
    return _stem(recipe, model_options, {})


def _stem(
    recipe: Recipe, model_options: Mapping[str, object], training_options: Mapping[str, object]
) -> str:
    options = [_part(name, value) for name, value in model_options.items() if value is not None]
    parts = [recipe.model, *options, describe_source(recipe.data), str(recipe.labels)]
    if recipe.subset is not None:
        parts.append(f"{'first' if recipe.draw == 'first' else ''}{recipe.subset}")
    if recipe.confusion:
        parts.append(f"confusion{recipe.confusion}")
    for name, value in training_options.items():
        whole = isinstance(value, float) and value.is_integer()
        parts.append(_part(name, int(value) if whole else value))
    return "-".join([*parts, f"seed{recipe.seed}"])


def _part(name: str, value: object) -> str:
    """Return an option as a part of a file name."""
    return name.replace("_", "-") + (f"-{value}" if isinstance(value, str) else str(value))


def describe_source(data: str) -> str:
    """Return a data set's short name: `faces` for `folder:/x/faces`, `y` for `npz:/x/y.npz`."""
    kind, colon, where = data.partition(":")
    return (Path(where).stem or kind) if colon else kind
