"""The recipe: everything that changes a trained network, and the outcome that it had. No torch.

A recipe begins as what was asked on the command line. Drawing the data adds the facts that were not
known then (`input_shape`, `classes`, the resolved `subset`, digests, normalisation); from then on
the same recipe drawn again must give the same facts. Checkpoints and measure files hold it whole.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

from gentool.common.errors import GentoolError, UsageError
from gentool.common.json import Json
from gentool.records import ranges
from gentool.records.ranges import Range

LAYERS = "layers"
"""The model of a network that is described layer by layer, whoever trained it."""


class Role(Enum):
    """Represent a purpose for which some fields of a recipe matter; a field may have several."""

    KIND = "the networks of one figure must agree in it"
    NOTED = "a figure notes that its networks differ in it"
    IDENTITY = "says which network was asked for"
    CONDITION = "says how training begins, computes and stops"
    STEP = "says how a step of training changes the weights"
    LIMIT = "ends a training that does not meet the stop rule"
    DERIVED = "follows from the rest of the recipe and its data, or says where a network came from"
    UNNAMED = "is not shown in a legend"


def _option(default: object, values: Range, *roles: Role) -> Any:  # noqa: ANN401 - as `field` itself
    """Return a field of the recipe with its range and its roles as metadata."""
    return field(default=default, metadata={"range": values, "roles": roles})


@dataclass(frozen=True)
class Recipe:
    """What determines a trained network, on one machine to the bit.

    Options that a model does not have are None (`hidden` of a VGG); `init` None is `uniform` with
    batch norm, else `he`. Raises UsageError for a value out of range.

    A network that another program trained has the model `layers`: `layers` lists them (see
    `networks.layer_list`), `origin` tells the file and what was inferred from it, and whatever is
    not known of its training is None.
    """

    model: str = _option("vgg", ranges.NAME, Role.KIND, Role.IDENTITY)
    batch_norm: bool = _option(False, ranges.BOOLEAN, Role.KIND)
    dropout: float = _option(0.0, ranges.BELOW_ONE, Role.KIND)
    width: float | None = _option(None, ranges.POSITIVE.or_none(), Role.KIND)
    depth: int | None = _option(None, ranges.whole_number(0, 1000).or_none(), Role.KIND)
    hidden: int | None = _option(None, ranges.COUNT.or_none(), Role.KIND)
    init: str | None = _option(None, ranges.one_of("he", "uniform").or_none(), Role.CONDITION)

    data: str = _option("cifar10", ranges.NAME, Role.KIND)
    labels: str | float = _option("true", ranges.LABELS, Role.IDENTITY)
    subset: int | None = _option(None, ranges.COUNT.or_none())
    confusion: int = _option(0, ranges.whole_number(0), Role.IDENTITY)
    seed: int = _option(0, ranges.whole_number(0, 2**32 - 1), Role.IDENTITY)

    optimizer: str = _option("sgd", ranges.NAME, Role.NOTED, Role.STEP)
    lr: float = _option(0.01, ranges.POSITIVE, Role.NOTED, Role.STEP)
    momentum: float | None = _option(0.9, ranges.BELOW_ONE.or_none(), Role.NOTED, Role.STEP)
    weight_decay: float = _option(0.0, ranges.NOT_NEGATIVE, Role.NOTED, Role.STEP)
    batch_size: int = _option(64, ranges.COUNT, Role.NOTED, Role.STEP)
    schedule: str = _option("constant", ranges.NAME, Role.NOTED, Role.STEP)
    warmup: float | None = _option(0.0, ranges.EPOCHS.or_none(), Role.STEP)
    epochs: int = _option(500, ranges.COUNT, Role.LIMIT)
    patience: int | None = _option(None, ranges.COUNT.or_none(), Role.LIMIT)
    precision: str = _option("float32", ranges.one_of("float32", "bfloat16"), Role.CONDITION)
    stop_loss: float = _option(0.01, ranges.POSITIVE, Role.NOTED, Role.CONDITION)

    input_shape: tuple[int, int, int] | None = _option(
        None, ranges.SHAPE.or_none(), Role.KIND, Role.DERIVED
    )
    classes: int | None = _option(None, ranges.whole_number(2).or_none(), Role.DERIVED)
    digest: str | None = _option(None, ranges.SHA256.or_none(), Role.DERIVED, Role.UNNAMED)
    fingerprint: str | None = _option(None, ranges.SHA256.or_none(), Role.DERIVED, Role.UNNAMED)
    mean: tuple[float, ...] | None = _option(
        None, ranges.CHANNEL_NUMBERS.or_none(), Role.DERIVED, Role.UNNAMED
    )
    std: tuple[float, ...] | None = _option(
        None, ranges.CHANNEL_NUMBERS.or_none(), Role.DERIVED, Role.UNNAMED
    )
    initial_digest: str | None = _option(None, ranges.SHA256.or_none(), Role.DERIVED, Role.UNNAMED)

    layers: tuple[Json, ...] | None = _option(None, ranges.LIST_OF_LAYERS.or_none(), Role.UNNAMED)
    origin: Json | None = _option(  # noqa: RUF009 - a call of dataclasses.field
        None, ranges.OBJECT.or_none(), Role.DERIVED, Role.UNNAMED
    )

    def __post_init__(self) -> None:
        for name in ("input_shape", "mean", "std", "layers"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))  # as JSON has no tuples
        for option in fields(self):
            value = getattr(self, option.name)
            if self.model == LAYERS and value is None:
                continue  # another program trained it, and did not say
            values = option.metadata["range"]
            if not values.includes(value):
                name = option.name.replace("_", "-")
                raise UsageError(f"{name} is {value!r}; it has to be {values.words}")

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def of_foreign(cls, **known: object) -> "Recipe":
        """The recipe of a network that another program trained: None for all that is not known."""
        unknown = dict.fromkeys(field.name for field in fields(cls))
        return cls(**unknown | {"model": LAYERS} | known)

    @classmethod
    def from_json(cls, values: object) -> "Recipe":
        """The recipe of a JSON object; GentoolError for keys or values that no recipe has."""
        if not isinstance(values, dict):
            raise GentoolError("the recipe is no JSON object")
        if strange := sorted(set(values) - {field.name for field in fields(cls)}):
            raise GentoolError(
                f"the recipe has unknown keys ({', '.join(strange)}); is this gentool too old?"
            )
        return cls(**values)


def fields_with(*roles: Role) -> tuple[str, ...]:
    """Return the names of the fields of a recipe that have a role, role by role in their order."""
    options = fields(Recipe)
    return tuple(
        option.name for role in roles for option in options if role in option.metadata["roles"]
    )


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Losses are mean cross-entropies, errors are fractions, both in evaluation mode.
    `gave_up` tells that training ended because its loss no longer fell.
    `history` holds, for each epoch, the running loss and error in training mode: `epoch`, `loss`,
    `error`.
    """

    epochs: int
    stop_rule_met: bool
    gave_up: bool
    train_loss: float
    train_error: float
    confusion_loss: float | None
    confusion_error: float | None
    test_loss: float
    test_error: float
    history: dict[str, list[float]]

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, values: object) -> "Outcome":
        """The outcome of a JSON object. Raises GentoolError where it is none."""
        if not isinstance(values, dict):
            raise GentoolError("the outcome is not one that gentool wrote")
        values = {"gave_up": False} | values  # the first checkpoints knew no giving up
        if set(values) != {field.name for field in fields(cls)}:
            raise GentoolError("the outcome is not one that gentool wrote")
        return cls(**values)


def parse_labels(text: str) -> str | float:
    """The `labels` of a recipe from what was typed: true, random, or a fraction."""
    if text in ("true", "random"):
        return text
    try:
        fraction = float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        raise UsageError(
            f"labels are {text!r}; they have to be true, random or a fraction as 0.3"
        ) from None
    return {0.0: "true", 1.0: "random"}.get(fraction, fraction)


def default_stem(asked: Recipe, shape: Mapping[str, object]) -> str:
    """What the checkpoint of a recipe is called, as `vgg-cifar10-random-5000-seed0`.

    `shape` holds the model options that were given; those that were not (None) are left out, and so
    are training options: two runs that differ in those alone need -o to tell them apart.
    """
    given = [
        f"{name.replace('_', '-')}{value}" for name, value in shape.items() if value is not None
    ]
    parts = [asked.model, *given, describe_source(asked.data), str(asked.labels)]
    if asked.subset is not None:
        parts.append(str(asked.subset))
    if asked.confusion:
        parts.append(f"confusion{asked.confusion}")
    return "-".join([*parts, f"seed{asked.seed}"])


def describe_source(data: str) -> str:
    """A data set in a word, for file names: `folder:/x/faces` is `faces`, `npz:/x/y.npz` is `y`."""
    kind, colon, where = data.partition(":")
    return (Path(where).stem or kind) if colon else kind
