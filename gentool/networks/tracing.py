"""List the layers of a module in the order of its forward pass, each of an exact type.

The trap: a forward pass may compute more than its layers, by a function, a hook, or a subclass that
computes something else from the same weight. Each of them is refused by name.
"""

import operator
from collections.abc import Callable

from torch import fx, nn

from gentool.common.errors import GentoolError

WEIGHT_LAYERS = (nn.Conv2d, nn.Linear)
ACTIVATIONS = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Softplus,
)
EXACT_LAYERS = (
    *WEIGHT_LAYERS,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    *ACTIVATIONS,
    nn.Flatten,
)
OUTPUT_SOFTMAX = (nn.Softmax, nn.LogSoftmax)
"""Layers that only a network's output may have, and that its logits do without."""
BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
_IDENTITY_IN_EVALUATION = (
    nn.Dropout,
    nn.Dropout2d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.Identity,
)


def is_homogeneous(activation: nn.Module) -> bool:
    """Return whether φ(c x) = c φ(x) for every c > 0."""
    return isinstance(activation, nn.ReLU | nn.LeakyReLU)


def is_lipschitz(activation: nn.Module) -> bool:
    """Return whether φ(0) = 0 and |φ(x) − φ(y)| ≤ |x − y|.

    The largest slope of GELU is 1.13 and that of SiLU 1.10; a sigmoid is ½ and a softplus
    log(2) / β at 0.
    """
    if isinstance(activation, nn.LeakyReLU):
        return abs(activation.negative_slope) <= 1
    if isinstance(activation, nn.ELU):
        return 0 <= activation.alpha <= 1
    return isinstance(activation, nn.ReLU | nn.Tanh)


PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
Step = tuple[str, nn.Module]
"""A layer and its name, a dotted path in the module."""
Modules = dict[str, nn.Module]
"""The modules that a graph calls, by name."""


def is_known(module: nn.Module) -> bool:
    """Return whether the type of a module is one of a layer that is treated exactly."""
    known = (*EXACT_LAYERS, *BATCH_NORM, *OUTPUT_SOFTMAX, *_IDENTITY_IN_EVALUATION)
    return type(module) in known


def steps_of(model: nn.Module) -> list[Step]:
    """Return the leaf modules of a model in the order of its forward pass, without dropout."""
    model = unwrapped(model)
    _check_hooks(model)
    if type(model) in EXACT_LAYERS:
        name = type(model).__name__.lower()
        _check_exact(name, model)
        return [(name, model)]
    tracer = _Tracer()
    try:
        graph = tracer.trace(model)
    except Exception as error:  # tracing runs the model's own code, which may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GentoolError(f"cannot list the layers of {type(model).__name__}: {reason}") from error
    steps: list[Step] = []
    previous: set[fx.Node] = set()  # the nodes that hold the data by now
    modules = dict(model.named_modules(remove_duplicate=False)) | tracer.made
    needed = _needed(graph, modules)
    for node in graph.nodes:
        if node.op == "placeholder" and not previous:
            previous = {node}
            continue
        if node.op == "get_attr" or _is_shape_arithmetic(node) or node not in needed:
            continue
        nodes = [a for a in node.args if isinstance(a, fx.Node) and a.op != "get_attr"]
        if not steps and _name(node) in _ARITHMETIC and nodes == list(previous):
            raise GentoolError(
                f"{node.name!r} changes the images before the first layer; leave it out of the "
                "forward pass (and say --mean and --std instead, if it normalises them)"
            )
        data_inputs = [
            argument for argument in node.all_input_nodes if not _is_shape_arithmetic(argument)
        ]
        if len(data_inputs) != 1 or data_inputs[0] not in previous:
            raise GentoolError(
                f"{node.name!r} does not follow the layer before it: not a chain of layers"
            )
        if node.op == "output":
            break
        steps += _step(node, modules)
        previous = {node} | (previous if _is_in_place(node, modules) else set())
    return _with_unique_names(steps)


def _needed(graph: fx.Graph, modules: Modules) -> set[fx.Node]:
    """Return the nodes that the output depends on: results that nothing uses are no layers.

    A call in place changes the data whether or not its result is used.
    """
    waiting = [node for node in graph.nodes if node.op == "output" or _is_in_place(node, modules)]
    needed: set[fx.Node] = set()
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    return needed


def _is_in_place(node: fx.Node, modules: Modules) -> bool:
    """Return whether a node overwrites its input, as `relu_` or `ReLU(inplace=True)` do."""
    if node.op == "call_module":
        return getattr(modules[node.target], "inplace", False) is True
    if node.op not in ("call_function", "call_method"):
        return False
    name = _name(node)
    names = _CALLS.get(name, ("", None))[0].split()
    arguments = dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
    is_operator = node.op == "call_function" and node.target.__module__ == "_operator"
    return (name.endswith("_") and not is_operator) or arguments.get("inplace") is True


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside DataParallel, DistributedDataParallel and torch.compile."""
    while True:
        if isinstance(model, PARALLEL):
            inside = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):  # of torch.compile
            inside = model._orig_mod
        else:
            return model
        _check_no_hook("the wrapper of the module", model)
        model = inside


class _Tracer(fx.Tracer):
    """Trace subclasses of layers as one step too, so that they can be refused by name.

    `made` are modules without weights that the forward pass makes itself, as `nn.AvgPool2d(2)(x)`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: Modules = {}

    def path_of_module(self, mod: nn.Module) -> str:
        try:
            return super().path_of_module(mod)
        except NameError:  # it is not a part of the model
            if mod.state_dict():
                kind = type(mod).__name__
                raise GentoolError(
                    f"its forward pass makes a {kind} with new weights; make it in __init__"
                ) from None
            name = type(mod).__name__.lower()
            while name in self.made or hasattr(self.root, name):
                name += "_"
            self.made[name] = mod
            return name

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_layer = isinstance(m, (*EXACT_LAYERS, *BATCH_NORM, *OUTPUT_SOFTMAX))
        return is_layer or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> object:
        """Trace what a wrapper of parallel training holds in place of the wrapper."""
        if isinstance(m, PARALLEL):
            return m.module(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)


_ARITHMETIC = ("sub", "truediv", "div", "mul", "add", "normalize")


def _name(node: fx.Node) -> str:
    """Return the name of the function or method that a node of the graph calls."""
    return str(getattr(node.target, "__name__", node.target))


def _with_unique_names(steps: list[Step]) -> list[Step]:
    """Return the steps with `#2`, `#3`, … after the name of a module that is used again."""
    names = [name for name, _ in steps]
    uses: dict[str, int] = {}
    for i, name in enumerate(names):
        uses[name] = uses.get(name, 0) + 1
        names[i] = name if uses[name] == 1 else f"{name}#{uses[name]}"
    return [(name, module) for name, (_, module) in zip(names, steps, strict=True)]


def _is_shape_arithmetic(node: fx.Node) -> bool:
    """Return whether a node of the graph computes sizes, as for a `view`, and not data."""
    if node.op == "call_method":
        return node.target == "size"
    if node.op == "call_function" and node.target is getattr:
        return node.args[1] == "shape"
    return node.op == "call_function" and node.target is operator.getitem


def _step(node: fx.Node, modules: Modules) -> list[Step]:
    """Return the layer of a node of the graph, an empty list if it is the identity."""
    if node.op == "call_module":
        module = modules[node.target]
        if type(module) in _IDENTITY_IN_EVALUATION:
            return []
        _check_exact(node.target, module)
        return [(node.target, module)]
    name = _name(node)
    module = _module_of_call(name, node)
    if module is not None:
        return [] if type(module) is nn.Identity else [(node.name, module)]
    raise GentoolError(
        f"{name!r} is called as a function, not held as a layer; make it a module of torch.nn to "
        "measure this model"
    )


def _check_exact(name: str, module: nn.Module) -> None:
    """Raise GentoolError, naming the layer, unless it computes exactly the function of its type.

    The type is compared exactly: a subclass may compute something else from the same weight, as
    PyTorch's parametrizations do, and so may a hook.
    """
    if type(module) not in (*EXACT_LAYERS, *BATCH_NORM, *OUTPUT_SOFTMAX):
        raise GentoolError(
            f"layer {name!r} is a {type(module).__name__}, which cannot be treated exactly"
        )
    if getattr(module, "padding_mode", "zeros") != "zeros":
        raise GentoolError(
            f"layer {name!r} pads with {module.padding_mode!r}; only zeros are exact"
        )
    _check_no_hook(f"layer {name!r}", module)


def _check_hooks(model: nn.Module) -> None:
    """Raise GentoolError if a module that holds others, or one without effect, has a hook."""
    for name, module in model.named_modules():
        if type(module) not in (*EXACT_LAYERS, *BATCH_NORM, *OUTPUT_SOFTMAX) or module is model:
            _check_no_hook(f"layer {name!r}" if name else "the module", module)


def _check_no_hook(words: str, module: nn.Module) -> None:
    if module._forward_hooks or module._forward_pre_hooks:
        raise GentoolError(
            f"{words} has a hook on its forward pass, which cannot be treated exactly"
        )


def _module_of_call(name: str, node: fx.Node) -> nn.Module | None:
    """Return the module that a function or method of PyTorch computes; None if there is none.

    The first argument of the call is the data; the others are bound to the parameters of the
    function of the same name in torch.nn.functional. Raise GentoolError if one depends on the data.
    """
    is_torchs = node.op == "call_method" or str(node.target.__module__ or "torch").startswith(
        "torch"
    )
    if name not in _CALLS or not is_torchs:
        return None
    names, build = _CALLS[name]
    if name in ("flatten", "view", "reshape"):  # the sizes of a view are computed from the data
        return build()
    arguments = dict(zip(names.split(), node.args[1:], strict=False)) | dict(node.kwargs)
    options = {key: value for key, value in arguments.items() if key in names.split()}
    if any(isinstance(value, fx.Node) for value in options.values()):
        raise GentoolError(f"{name!r} is called with options that depend on the data")
    return build(**options)


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    """Return the identity for dropout in evaluation mode; raise GentoolError if it is always on."""
    if training:
        raise GentoolError("dropout is on in evaluation mode too; pass training=self.training")
    return nn.Identity()


def _without(*unused: str) -> Callable[[type[nn.Module]], Callable[..., nn.Module]]:
    """Return a function that builds a module and drops options that do not change its output."""

    def build_with(kind: type[nn.Module]) -> Callable[..., nn.Module]:
        return lambda **options: kind(**{k: v for k, v in options.items() if k not in unused})

    return build_with


_WINDOW = "kernel_size stride padding"
_in_any_place = _without("inplace")
_softmax = _without("_stacklevel", "dtype")

# The functions and methods in the forward passes of published VGGs and MLPs, by name: their options
# after the data, and the module that computes the same. `view` and `reshape` nearly always flatten;
# where they do not, `canonical` finds that the logits differ.
_CALLS: dict[str, tuple[str, Callable[..., nn.Module]]] = {
    "flatten": ("", nn.Flatten),
    "view": ("", nn.Flatten),
    "reshape": ("", nn.Flatten),
    "relu": ("inplace", _in_any_place(nn.ReLU)),
    "relu_": ("", nn.ReLU),
    "leaky_relu": ("negative_slope inplace", _in_any_place(nn.LeakyReLU)),
    "elu": ("alpha inplace", _in_any_place(nn.ELU)),
    "gelu": ("approximate", nn.GELU),
    "silu": ("inplace", _in_any_place(nn.SiLU)),
    "tanh": ("", nn.Tanh),
    "sigmoid": ("", nn.Sigmoid),
    "softplus": ("beta threshold", nn.Softplus),
    "max_pool2d": (f"{_WINDOW} dilation ceil_mode return_indices", nn.MaxPool2d),
    "avg_pool2d": (f"{_WINDOW} ceil_mode count_include_pad divisor_override", nn.AvgPool2d),
    "adaptive_avg_pool2d": ("output_size", nn.AdaptiveAvgPool2d),
    "dropout": ("p training inplace", _dropout),
    "dropout2d": ("p training inplace", _dropout),
    "softmax": ("dim _stacklevel dtype", _softmax(nn.Softmax)),
    "log_softmax": ("dim _stacklevel dtype", _softmax(nn.LogSoftmax)),
}
