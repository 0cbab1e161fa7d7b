"""The recipe: everything that changes a trained network, and the outcome that it had. No torch.

A recipe begins as what was asked on the command line. Drawing the data adds the facts that were not
known then (`input_shape`, `classes`, the resolved `subset`, digests, normalisation); from then on
the same recipe drawn again must give the same facts. Checkpoints and measure files hold it whole.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path

from gentool.common.errors import GentoolError, UsageError
from gentool.common.json import Json

LAYERS = "layers"
"""The model of a network that is described layer by layer, whoever trained it."""


@dataclass(frozen=True)
class Recipe:
    """What determines a trained network, on one machine to the bit.

    Options that a model does not have are None (`hidden` of a VGG); `init` None is `uniform` with
    batch norm, else `he`. Raises UsageError for a value out of range.

    A network that another program trained has the model `layers`: `layers` lists them (see
    `networks.layer_list`), `origin` tells the file and what was inferred from it, and whatever is
    not known of its training is None.
    """

    model: str = "vgg"
    batch_norm: bool = False
    dropout: float = 0.0
    width: float | None = None
    depth: int | None = None
    hidden: int | None = None
    init: str | None = None

    data: str = "cifar10"
    labels: str | float = "true"
    subset: int | None = None
    confusion: int = 0
    seed: int = 0

    optimizer: str = "sgd"
    lr: float = 0.01
    momentum: float | None = 0.9
    weight_decay: float = 0.0
    batch_size: int = 64
    schedule: str = "constant"
    warmup: float | None = 0.0
    epochs: int = 500
    patience: int | None = None
    precision: str = "float32"
    stop_loss: float = 0.01

    input_shape: tuple[int, int, int] | None = None
    classes: int | None = None
    digest: str | None = None
    fingerprint: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    initial_digest: str | None = None

    layers: tuple[Json, ...] | None = None
    origin: Json | None = None

    def __post_init__(self) -> None:
        for name in ("input_shape", "mean", "std", "layers"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))  # as JSON has no tuples
        for name, (is_right, words) in _RANGES.items():
            value = getattr(self, name)
            if self.model == LAYERS and value is None:
                continue  # another program trained it, and did not say
            if not is_right(value):
                raise UsageError(f"{name.replace('_', '-')} is {value!r}; it has to be {words}")

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


def _whole(low: int, high: int = 2**53) -> Callable[[object], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _number(is_right: Callable[[float], bool]) -> Callable[[object], bool]:
    return lambda value: type(value) in (int, float) and is_right(value)


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _shape(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(map(_whole(1), value))


def _floats(value: object) -> bool:
    return isinstance(value, tuple) and all(
        _number(lambda number: abs(number) < 1e30)(item) for item in value
    )


def _or_none(is_right: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or is_right(value)


_positive = _number(lambda value: 0 < value < float("inf"))
_RANGES: dict[str, tuple[Callable[[object], bool], str]] = {
    "model": (_text, "a name"),
    "batch_norm": (lambda value: isinstance(value, bool), "true or false"),
    "dropout": (_number(lambda value: 0 <= value < 1), "at least 0 and below 1"),
    "width": (_or_none(_positive), "a positive number"),
    "depth": (_or_none(_whole(0, 1000)), "a whole number from 0 to 1000"),
    "hidden": (_or_none(_whole(1)), "a whole number, 1 or more"),
    "init": (lambda value: value in (None, "he", "uniform"), "he or uniform"),
    "data": (_text, "a name"),
    "labels": (
        lambda value: value in ("true", "random") or _number(lambda part: 0 < part < 1)(value),
        "true, random or a fraction between 0 and 1",
    ),
    "subset": (_or_none(_whole(1)), "a whole number, 1 or more"),
    "confusion": (_whole(0), "a whole number, 0 or more"),
    "seed": (_whole(0, 2**32 - 1), "a whole number from 0 to 4294967295"),
    "optimizer": (_text, "a name"),
    "lr": (_positive, "a positive number"),
    "momentum": (_or_none(_number(lambda value: 0 <= value < 1)), "at least 0 and below 1"),
    "weight_decay": (_number(lambda value: 0 <= value < float("inf")), "a number, 0 or more"),
    "batch_size": (_whole(1), "a whole number, 1 or more"),
    "schedule": (_text, "a name"),
    "warmup": (
        lambda value: value is None or _number(lambda epochs: 0 <= epochs < 1e9)(value),
        "a number of epochs, 0 or more",
    ),
    "epochs": (_whole(1), "a whole number, 1 or more"),
    "patience": (_or_none(_whole(1)), "a whole number, 1 or more"),
    "stop_loss": (_positive, "a positive number"),
    "precision": (lambda value: value in ("float32", "bfloat16"), "float32 or bfloat16"),
    "input_shape": (_or_none(_shape), "channels, height and width"),
    "classes": (_or_none(_whole(2)), "a whole number, 2 or more"),
    "digest": (_or_none(_text), "a SHA-256"),
    "fingerprint": (_or_none(_text), "a SHA-256"),
    "initial_digest": (_or_none(_text), "a SHA-256"),
    "mean": (_or_none(_floats), "one number a channel"),
    "std": (_or_none(_floats), "one number a channel"),
    "layers": (_or_none(lambda value: isinstance(value, tuple)), "a list of layers"),
    "origin": (_or_none(lambda value: isinstance(value, dict)), "a JSON object"),
}


def describe_source(data: str) -> str:
    """A data set in a word, for file names: `folder:/x/faces` is `faces`, `npz:/x/y.npz` is `y`."""
    kind, colon, where = data.partition(":")
    return (Path(where).stem or kind) if colon else kind
