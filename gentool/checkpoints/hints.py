"""Hold the options that describe a foreign checkpoint. No torch.

A state dict holds only names and numbers. The places of the poolings, the size of the images and
the training data come from these options if they cannot be inferred.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from gentool.common.errors import UsageError
from gentool.common.json import Json
from gentool.records.recipe import parse_labels

POOLINGS = ("max", "avg")
OPTIONS = {"draw": "first", "channel_order": "channels_first", "seed": "data_seed"}
"""Options of the command line that have another name than the hint that they give."""
_ARCHITECTURE = (
    "model",
    "input_shape",
    "pool",
    "order",
    "leave_out",
    "activation",
    "batch_norm",
    "padding",
    "stride",
    "module",
    "layers",
    "key",
)
_PARTIAL = tuple(
    name for name in _ARCHITECTURE if name not in ("input_shape", "module", "layers", "key")
)
ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus")
_CHOICES = {"activation": (*ACTIVATIONS, "none"), "batch_norm": ("before", "after")}


@dataclass(frozen=True)
class Pooling:
    """Hold one pooling of `--pool`: kind, size if given, and number of the convolution before it.

    `place` counts the convolutions from 1; it is None where only kinds are listed.
    """

    kind: str
    size: int | None = None
    place: int | None = None


def parse_poolings(text: str) -> tuple[Pooling, ...]:
    """Parse `--pool`: kinds as `max` or `max,max,avg4`, places as `2:max2,4:avg2`, or `none`.

    Raise UsageError, naming the part, for anything else.
    """
    if text == "none":
        return ()
    poolings = []
    for part in text.split(","):
        match = re.fullmatch(r"(?:([1-9]\d{0,3}):)?(max|avg)(?:([1-9]\d{0,3})(?:x\3)?)?", part)
        if match is None:
            raise UsageError(
                f"unknown pooling {part!r}; known: {', '.join(POOLINGS)}; --pool is one of them, a "
                "list as max,max,avg4, places as 2:max2,4:avg2 (after the 2nd and the 4th "
                "convolution), or none"
            )
        place, kind, size = match.groups()
        poolings.append(Pooling(kind, size and int(size), place and int(place)))
    places = [pooling.place for pooling in poolings]
    if None in places and set(places) != {None}:
        raise UsageError(f"--pool is {text!r}; give all poolings a place, as 2:max2, or none")
    if None not in places and places != sorted(set(places)):
        raise UsageError(f"--pool is {text!r}; the places go up, one pooling at each")
    return tuple(poolings)


@dataclass(frozen=True)
class Hints:
    """Hold facts about a network that its file does not hold; None for an option not given.

    `order` names the linear layers from first to last, `leave_out` layers or modules that are not
    part of the network. `activation`, `padding` and `stride` hold one value for all layers, or one
    for each. `module` names the user's own class, `layers` a file with the list of layers: either
    describes the network completely. `draw` is `first` if the subset is the first images; `key` is
    that of one of several sets of weights in the file. Raise UsageError if a value is out of range.
    """

    model: str | None = None
    input_shape: tuple[int, int, int] | None = None
    pool: str | None = None
    order: tuple[str, ...] | None = None
    module: str | None = None
    layers: str | None = None
    key: str | None = None
    leave_out: tuple[str, ...] | None = None
    activation: tuple[str, ...] | None = None
    batch_norm: str | None = None
    padding: tuple[int, ...] | None = None
    stride: tuple[int, ...] | None = None
    labels: str | float | None = None
    subset: int | None = None
    seed: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    draw: str | None = None
    channels: int | None = None
    resize: int | None = None
    channel_order: str | None = None
    classes: int | None = None

    def __post_init__(self) -> None:
        described = [name for name in ("module", "layers") if getattr(self, name) is not None]
        partial = [name for name in _PARTIAL if getattr(self, name) is not None]
        if len(described + partial[:1]) > 1 and described:
            raise UsageError(
                f"{as_options(described[:1])} describes the whole network; leave out "
                f"{as_options([*described[1:], *partial])}"
            )
        if self.pool is not None:
            parse_poolings(self.pool)
        for name, choices in _CHOICES.items():
            values = getattr(self, name) or ()
            for value in [values] if isinstance(values, str) else values:
                if value not in choices:
                    option = name.replace("_", "-")
                    raise UsageError(f"--{option} is {value!r}; known: {', '.join(choices)}")
        if (self.mean is None) != (self.std is None):
            raise UsageError("--mean and --std go together; name both or neither")
        if self.std is not None and min(self.std) <= 0:
            raise UsageError(f"--std is {min(self.std)}; standard deviations are positive")

    @classmethod
    def parse(
        cls,
        *,
        model: str | None = None,
        input_shape: str | None = None,
        pool: str | None = None,
        order: str | None = None,
        module: str | None = None,
        layers: str | None = None,
        key: str | None = None,
        leave_out: str | None = None,
        activation: str | None = None,
        batch_norm: str | None = None,
        padding: str | None = None,
        stride: str | None = None,
        labels: str | None = None,
        subset: int | None = None,
        seed: int | None = None,
        mean: str | None = None,
        std: str | None = None,
        first: int | None = None,
        channels: int | None = None,
        resize: int | None = None,
        channels_first: bool | None = None,
        classes: int | None = None,
    ) -> "Hints":
        """Parse options of the command line. Raise UsageError, naming the option, if malformed."""
        if first is not None and subset is not None:
            raise UsageError("--first and --subset exclude each other; name one")
        return cls(
            model=model,
            input_shape=_or_none(_shape, input_shape),
            pool=pool,
            module=module,
            layers=layers,
            key=key,
            order=_or_none(_names, order),
            leave_out=_or_none(_names, leave_out),
            activation=_or_none(_names, activation),
            batch_norm=batch_norm,
            padding=_or_none(lambda text: _counts(text, "--padding", 0), padding),
            stride=_or_none(lambda text: _counts(text, "--stride", 1), stride),
            labels=_or_none(parse_labels, labels),
            subset=subset if first is None else first,
            draw=None if first is None else "first",
            seed=seed,
            mean=_or_none(lambda text: _numbers(text, "--mean"), mean),
            std=_or_none(lambda text: _numbers(text, "--std"), std),
            channels=channels,
            resize=resize,
            channel_order=channel_order(channels_first),
            classes=classes,
        )

    def to_json(self, seed: str = "seed") -> Json:
        """Return the options that were given, by name; `seed` is the name of the seed."""
        options = {name: value for name, value in asdict(self).items() if value is not None}
        return {seed if name == "seed" else name: value for name, value in options.items()}

    @property
    def poolings(self) -> tuple[Pooling, ...] | None:
        """Return the poolings of --pool; None if it is not given."""
        return None if self.pool is None else parse_poolings(self.pool)

    def architecture(self) -> Json:
        """Return the options given about the architecture."""
        return {name: value for name, value in self.to_json().items() if name in _ARCHITECTURE}

    def data(self) -> Json:
        """Return the options given about the training data."""
        return {name: value for name, value in self.to_json().items() if name not in _ARCHITECTURE}


NO_HINTS = Hints()


def as_options(names: Iterable[str]) -> str:
    """Return names as options of the command line: `--input-shape, --pool`.

    The seed is named --data-seed, which all commands know: `--seed` is sometimes that of a search.
    """
    return ", ".join(f"--{OPTIONS.get(name, name).replace('_', '-')}" for name in names)


def channel_order(channels_first: bool | None) -> str | None:
    """Return `first` or `last` for the option --channels-first or --channels-last."""
    return None if channels_first is None else "first" if channels_first else "last"


def _or_none(parse: Callable, text: str | None) -> object:
    return None if text is None else parse(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _counts(text: str, option: str, smallest: int) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(re.fullmatch("[0-9]{1,4}", part) and int(part) >= smallest for part in parts):
        raise UsageError(
            f"{option} is {text!r}; write a number of at least {smallest}, or one for each "
            f"convolution, as {option} 1,2,1"
        )
    return tuple(map(int, parts))


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.lower().split("x")
    is_shape = len(sizes) == 3 and all(size.isascii() and size.isdigit() for size in sizes)
    if not is_shape or not all(len(size) < 9 and int(size) > 0 for size in sizes):
        raise UsageError(f"--input-shape is {text!r}; write CHANNELSxHEIGHTxWIDTH, as 3x32x32")
    return tuple(map(int, sizes))


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        numbers = tuple(map(float, text.split(",")))
    except ValueError:
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise UsageError(f"{option} is {text!r}; write one number a channel, as 0.49,0.48,0.45")
    return numbers
