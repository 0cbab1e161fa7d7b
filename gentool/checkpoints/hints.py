"""Hold the options that describe a foreign checkpoint. No torch.

A state dict holds only names and numbers. The places of the poolings, the size of the images and
the training data come from these options if they cannot be inferred.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from gentool.common.errors import UsageError
from gentool.common.json import Json
from gentool.records.recipe import parse_labels

POOLINGS = ("max", "avg")
OPTIONS = {"draw": "first", "channel_order": "channels_first", "seed": "data_seed"}
"""Options of the command line that have another name than the hint that they give."""
_ARCHITECTURE = ("model", "input_shape", "pool", "order", "module", "layers", "key")


@dataclass(frozen=True)
class Hints:
    """Hold facts about a network that its file does not hold; None for an option not given.

    `order` names the linear layers of an MLP from first to last; `draw` is `first` if the subset is
    the first images; `key` is that of one of several sets of weights in the file. `module` names
    the user's own class, `layers` a file with the list of layers: either describes the network
    completely. Raise UsageError if a value is out of range.
    """

    model: str | None = None
    input_shape: tuple[int, int, int] | None = None
    pool: str | None = None
    order: tuple[str, ...] | None = None
    module: str | None = None
    layers: str | None = None
    key: str | None = None
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
        partial = [name for name in ("model", "pool", "order") if getattr(self, name) is not None]
        if len(described + partial[:1]) > 1 and described:
            raise UsageError(
                f"{as_options(described[:1])} describes the whole network; leave out "
                f"{as_options([*described[1:], *partial])}"
            )
        if self.pool not in (None, *POOLINGS):
            raise UsageError(f"unknown pooling {self.pool!r}; known: {', '.join(POOLINGS)}")
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
            order=_or_none(lambda text: tuple(text.split(",")), order),
            module=module,
            layers=layers,
            key=key,
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
