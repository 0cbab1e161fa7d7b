"""Build the module of an explicit list of layers, as a recipe holds it.

Each layer is a JSON object: its `name`, its `type`, and the options of torch.nn's module of that
type. The list determines the network completely, and the module's state dict has the names of the
list, so that a foreign network keeps its own.
"""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from gentool.common.errors import GentoolError
from gentool.common.json import Json
from gentool.records import ranges
from gentool.records.ranges import Range, shown
from gentool.records.schemas import any_of, list_of

_WINDOW = "kernel_size stride padding"
_NORM = "num_features eps affine"
TYPES: dict[str, tuple[type[nn.Module], str]] = {
    "conv2d": (nn.Conv2d, f"in_channels out_channels {_WINDOW} dilation groups bias"),
    "linear": (nn.Linear, "in_features out_features bias"),
    "batch_norm1d": (nn.BatchNorm1d, _NORM),
    "batch_norm2d": (nn.BatchNorm2d, _NORM),
    "relu": (nn.ReLU, ""),
    "leaky_relu": (nn.LeakyReLU, "negative_slope"),
    "elu": (nn.ELU, "alpha"),
    "gelu": (nn.GELU, "approximate"),
    "silu": (nn.SiLU, ""),
    "tanh": (nn.Tanh, ""),
    "sigmoid": (nn.Sigmoid, ""),
    "softplus": (nn.Softplus, "beta threshold"),
    "max_pool2d": (nn.MaxPool2d, f"{_WINDOW} dilation ceil_mode"),
    "avg_pool2d": (nn.AvgPool2d, f"{_WINDOW} ceil_mode count_include_pad divisor_override"),
    "adaptive_avg_pool2d": (nn.AdaptiveAvgPool2d, "output_size"),
    "flatten": (nn.Flatten, ""),
    "dropout": (nn.Dropout, "p"),
    "softmax": (nn.Softmax, "dim"),
    "log_softmax": (nn.LogSoftmax, "dim"),
}
"""The module of each type, and the options that a list of layers may set."""


def _one_or_two(low: int) -> Range:
    """Return the range of whole numbers from `low`, one or two: height and width."""
    one = ranges.whole_number(low, ranges.LARGEST)
    return any_of(one, list_of(one, 1, 2))


_SIZE = ranges.whole_number(1, ranges.LARGEST)
OPTIONS = {
    **dict.fromkeys(["in_channels", "out_channels", "in_features", "out_features"], _SIZE),
    **dict.fromkeys(["num_features", "groups", "divisor_override"], _SIZE),
    **dict.fromkeys(["kernel_size", "stride", "dilation", "output_size"], _one_or_two(1)),
    "padding": _one_or_two(0),
    **dict.fromkeys(["bias", "affine", "ceil_mode", "count_include_pad"], ranges.BOOLEAN),
    "eps": ranges.NOT_NEGATIVE,
    **dict.fromkeys(["negative_slope", "alpha", "beta", "threshold"], ranges.FINITE),
    "approximate": ranges.one_of("none", "tanh"),
    "p": ranges.FRACTION,
    "dim": ranges.whole_number(-4, 4),
}
"""The range of each option."""
_REAL = frozenset(["eps", "negative_slope", "alpha", "beta", "threshold", "p"])
"""Options that may be fractions: torch adds no whole number beyond 64 bits to a tensor."""


class Chain(nn.Module):
    """Call modules one after the other, each under a dotted name of its own.

    Unlike in nn.Sequential names may be nested: `pre_logits.fc1` and `head.fc` are two layers.
    """

    def __init__(self, modules: Iterable[tuple[str, nn.Module]]) -> None:
        super().__init__()
        self._order: list[str] = []
        for name, module in modules:
            self.append(name, module)

    def append(self, name: str, module: nn.Module) -> None:
        """Add a module at the end; raise GentoolError if it cannot have that name."""
        self._place(name, module)
        self._order.append(name)

    def _place(self, name: str, module: nn.Module) -> None:
        *folders, leaf = name.split(".")
        place: nn.Module = self
        try:
            for folder in folders:
                if folder not in place._modules:
                    place.add_module(folder, nn.Module())
                place = place._modules[folder]
            if leaf in place._modules:
                raise KeyError("the name is there twice")
            place.add_module(leaf, module)
        except KeyError as error:
            raise GentoolError(f"no layer can be called {name!r}: {error.args[0]}") from error

    def steps(self) -> Iterator[tuple[str, nn.Module]]:
        """Return the modules with their names, in their order."""
        for name in self._order:
            yield name, self.get_submodule(name)

    def forward(self, images: Tensor) -> Tensor:
        for _, module in self.steps():
            images = module(images)
        return images


def chain(layers: object) -> Chain:
    """Return the module of a list of layers, on the device of the context (see `torch.device`).

    Raise GentoolError, naming the layer, if torch.nn has no such module.
    """
    if not isinstance(layers, (list, tuple)) or not layers:
        raise GentoolError("the recipe's list of layers is empty or not a list")
    return Chain([(_name(layer), _module(layer)) for layer in layers])


def describe(steps: Iterable[tuple[str, nn.Module]]) -> list[Json]:
    """Return the list of layers of modules by name, from which `chain` builds equal modules.

    Raise GentoolError, naming the layer, if its type or its padding has no place in a list.
    """
    layers, has_maps = [], True
    for name, module in steps:
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Flatten):
            has_maps = isinstance(module, nn.Conv2d)
        layers.append(_description(name, module, has_maps))
    return layers


def padding_in_numbers(
    padding: str, kernel_size: Iterable[int], dilation: Iterable[int]
) -> tuple[int, ...] | None:
    """Return the padding of a convolution with `padding="same"` or `"valid"`, (height, width).

    None if "same" pads one side more than the other, as with a kernel of even size.
    """
    if padding == "valid":
        return (0, 0)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True)]
    return None if any(r % 2 for r in reach) else tuple(r // 2 for r in reach)


def _description(name: str, module: nn.Module, has_maps: bool) -> Json:
    kinds = {kind: names for kind, (cls, names) in TYPES.items() if cls is type(module)}
    if isinstance(module, nn.SyncBatchNorm):
        kinds = {f"batch_norm{2 if has_maps else 1}d": _NORM}
    is_partial = isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) != (1, -1)
    padding = getattr(module, "padding", 0)
    if isinstance(padding, str):
        padding = padding_in_numbers(padding, module.kernel_size, module.dilation)
    if not kinds or is_partial or padding is None:
        raise GentoolError(f"layer {name!r} ({module}) has no place in a list of layers")
    [(kind, names)] = kinds.items()
    options = {option: getattr(module, option) for option in names.split()}
    if "padding" in options:
        options["padding"] = padding
    if "bias" in options:
        options["bias"] = module.bias is not None
    known = {option: value for option, value in options.items() if value is not None}
    return {"name": name, "type": kind} | {
        option: list(value) if isinstance(value, tuple) else value
        for option, value in known.items()
    }


def _name(layer: object) -> str:
    """Return the name of a layer; raise GentoolError if a module cannot have it."""
    name = layer.get("name") if isinstance(layer, dict) else None
    if not isinstance(name, str) or "" in name.split(".") or not name.isprintable():
        raise GentoolError(f"a layer of the recipe has no name: {str(layer)[:80]!r}")
    return name


def _module(layer: Json) -> nn.Module:
    """Return the module of a layer; raise GentoolError, naming the layer, if there is none."""
    kind = layer.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise GentoolError(
            f"layer {layer['name']!r} is of unknown type {str(kind)[:80]!r}; "
            f"known: {', '.join(TYPES)}"
        )
    module, names = TYPES[kind]
    options = {name: value for name, value in layer.items() if name not in ("name", "type")}
    for name, value in options.items():
        if name not in names.split():
            known = names.replace(" ", ", ") or "none"
            raise GentoolError(
                f"layer {layer['name']!r} has {name} = {shown(value)}; the options of a {kind} are "
                f"{known}"
            )
        if not OPTIONS[name].includes(value):
            raise GentoolError(
                f"layer {layer['name']!r} has {name} = {shown(value)}; it has to be "
                f"{OPTIONS[name].words}"
            )
    try:
        return module(**{name: _as_torch_takes(name, value) for name, value in options.items()})
    except (TypeError, ValueError, RuntimeError, OverflowError, ZeroDivisionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GentoolError(f"layer {layer['name']!r} cannot be a {kind}: {reason}") from error


def _as_torch_takes(name: str, value: object) -> object:
    """Return an option as torch takes it: numbers of height and width as a tuple, one as itself."""
    if name in _REAL:
        return float(value)
    if not isinstance(value, list):
        return value
    return value[0] if len(value) == 1 else tuple(value)
