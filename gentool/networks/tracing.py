"""List the layers of a module in the order of its forward pass, each of an exact type.

The trap: a forward pass may compute more than its layers, by a function, a hook, or a subclass that
computes something else from the same weight. Each of them is refused by name.
"""

import operator
from collections.abc import Callable

import torch
from torch import fx, nn

from gentool.common.errors import GentoolError

WEIGHT_LAYERS = (nn.Conv2d, nn.Linear)
EXACT_LAYERS = (
    *WEIGHT_LAYERS,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.ReLU,
    nn.Flatten,
)
BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)
_IDENTITY_IN_EVALUATION = (
    nn.Dropout,
    nn.Dropout2d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.Identity,
)

Step = tuple[str, nn.Module]
"""A layer and its name, a dotted path in the module."""


def steps_of(model: nn.Module) -> list[Step]:
    """Return the leaf modules of a model in the order of its forward pass, without dropout."""
    if type(model) in EXACT_LAYERS:
        name = type(model).__name__.lower()
        _check_exact(name, model)
        return [(name, model)]
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # tracing runs the model's own code, which may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GentoolError(f"cannot list the layers of {type(model).__name__}: {reason}") from error
    steps: list[Step] = []
    previous: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "placeholder" and previous is None:
            previous = node
            continue
        if node.op == "get_attr" or _is_shape_arithmetic(node):
            continue
        data_inputs = [
            argument for argument in node.all_input_nodes if not _is_shape_arithmetic(argument)
        ]
        if data_inputs != [previous]:
            raise GentoolError(
                f"{node.name!r} does not follow the layer before it: not a chain of layers"
            )
        if node.op == "output":
            break
        steps += _step(node, model)
        previous = node
    return _with_unique_names(steps)


class _Tracer(fx.Tracer):
    """Trace subclasses of layers as one step too, so that they can be refused by name."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_layer = isinstance(m, (*EXACT_LAYERS, *BATCH_NORM))
        return is_layer or super().is_leaf_module(m, module_qualified_name)


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


def _step(node: fx.Node, model: nn.Module) -> list[Step]:
    """Return the layer of a node of the graph, an empty list if it is the identity."""
    if node.op == "call_module":
        module = model.get_submodule(node.target)
        if type(module) in _IDENTITY_IN_EVALUATION:
            return []
        _check_exact(node.target, module)
        return [(node.target, module)]
    function = _FUNCTIONS.get(node.target)
    if function is not None:
        return [(node.name, function())]
    name = getattr(node.target, "__name__", node.target)
    raise GentoolError(
        f"{name!r} is called as a function, not held as a layer; make it a module of torch.nn to "
        "measure this model"
    )


def _check_exact(name: str, module: nn.Module) -> None:
    """Raise GentoolError, naming the layer, unless it computes exactly the function of its type.

    The type is compared exactly: a subclass may compute something else from the same weight, as
    PyTorch's parametrizations do, and so may a hook.
    """
    if type(module) not in (*EXACT_LAYERS, *BATCH_NORM):
        raise GentoolError(
            f"layer {name!r} is a {type(module).__name__}, which cannot be treated exactly"
        )
    if getattr(module, "padding_mode", "zeros") != "zeros":
        raise GentoolError(
            f"layer {name!r} pads with {module.padding_mode!r}; only zeros are exact"
        )
    if module._forward_hooks or module._forward_pre_hooks:
        raise GentoolError(
            f"layer {name!r} has a hook on its forward pass, which cannot be treated exactly"
        )


# The modules that stand for functions in the forward passes of published VGGs and MLPs. `view` and
# `reshape` nearly always flatten; where they do not, `canonical` finds that the logits differ.
_FUNCTIONS: dict[Callable[..., object] | str, Callable[[], nn.Module]] = {
    torch.flatten: nn.Flatten,
    "flatten": nn.Flatten,
    "view": nn.Flatten,
    "reshape": nn.Flatten,
    torch.relu: nn.ReLU,
    "relu": nn.ReLU,
    nn.functional.relu: nn.ReLU,
}
