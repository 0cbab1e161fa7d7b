"""Load a state dict into the user's own module, and describe that as a list of layers.

Wrappers put a prefix before every name, and training leaves tensors beside the network's own:
counters, metrics, a loss. They are left aside by name; any other difference is an error.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from gentool.checkpoints.foreign.layers import COUNTER
from gentool.checkpoints.foreign.set_aside import (
    Normalisation,
    is_part_of_no_layer,
    without_normalisation,
)
from gentool.checkpoints.foreign.tensor_sets import listed
from gentool.checkpoints.module_normaliser import without_normaliser
from gentool.common.errors import GentoolError, UsageError
from gentool.common.json import Json
from gentool.networks.layer_list import chain, describe
from gentool.networks.layer_shapes import output_shapes, some_shape
from gentool.networks.same_function import check_same_function, copied
from gentool.networks.tracing import WEIGHT_LAYERS, Step, steps_of

Tensors = dict[str, Tensor]


def layers_of_module(
    model: nn.Module, tensors: Tensors, input_shape: tuple[int, int, int] | None = None
) -> tuple[list[Json], Tensors, list[str], Normalisation | None]:
    """Load a state dict strictly; return its layers, their tensors, what was left aside in words.

    The last item is the normalising layer: of the file, if the module lacks it, or of the module,
    which has the identity in its place afterwards. The module holds the tensors in the precision
    of the file, in evaluation mode; weights that are formulas are computed in float64. A module
    that takes vectors gets its images flattened. Raise GentoolError, naming the tensor, if the
    state dict does not fit, or naming the layer, if it cannot be described.
    """
    tensors, words, normalisation = _of_module(tensors, set(model.state_dict()))
    try:
        model.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise GentoolError(f"the tensors do not fit --module: {'; '.join(lines[:3])}") from error
    if own := without_normaliser(model.eval(), input_shape):
        normalisation = own
        tensors = {name: t for name, t in tensors.items() if not name.startswith(f"{own.name}.")}
    plain = with_plain_weights(copied(model.eval()).double())
    layers = describe(_renamed(steps_of(plain)))
    if takes_vectors(layers):
        layers = [{"name": _flatten_name(layers), "type": "flatten"}, *layers]
    kept = _in_one_precision(tensors_of(layers, plain.state_dict() | tensors))
    used = {layer["name"] for layer in layers}
    unused = sorted(
        name for name in tensors if not any(name.startswith(f"{layer}.") for layer in used)
    )
    if unused:
        words.append(f"not used in the forward pass, left aside: {', '.join(unused)}")
    return layers, kept, words, normalisation


def tensors_of(layers: list[Json], tensors: Tensors) -> Tensors:
    """Return the tensors of a list of layers. Raise GentoolError if one is missing."""
    with torch.device("meta"):
        expected = chain(layers).state_dict()
    if missing := [name for name in expected if name not in tensors]:
        raise GentoolError(f"the weight {missing[0]!r} of the list of layers is missing")
    return {name: tensors[name] for name in expected}


def _in_one_precision(tensors: Tensors) -> Tensors:
    """Return tensors of floats in float64 unless all have one precision."""
    if len({tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}) < 2:
        return tensors
    return {name: t.double() if t.is_floating_point() else t for name, t in tensors.items()}


def check_layers(
    model: nn.Module, layers: list[Json], tensors: Tensors, shape: tuple[int, int, int] | None
) -> None:
    """Raise GentoolError if a module computes something that its list of layers does not hold.

    Without `shape` it is checked on images of some size.
    """
    with torch.device("meta"):
        listed_network = chain(layers)
        shape = shape or some_shape(listed_network.eval())
        output_shapes(listed_network, shape)  # names the layer that does not accept its input
    listed_network.load_state_dict(tensors, assign=True)
    if layers[1:] and takes_vectors(layers[1:]):
        model = nn.Sequential(nn.Flatten(), model)  # which changes nothing if it flattens, too
    check_same_function(model, listed_network.double().eval(), shape)


def takes_vectors(layers: list[Json]) -> bool:
    """Return whether a network takes vectors: its first layer is linear, and none flattens."""
    types = [layer["type"] for layer in layers]
    return "linear" in types and not {"conv2d", "flatten"} & set(types[: types.index("linear")])


def _flatten_name(layers: list[Json]) -> str:
    name = "flatten"
    while any(layer["name"].partition(".")[0] == name for layer in layers):
        name += "_"
    return name


@torch.no_grad()
def with_plain_weights(model: nn.Module) -> nn.Module:
    """Return a module whose weights are no formulas any more; it is changed, in evaluation mode.

    Parametrizations, the older weight norm and spectral norm, and pruning masks are computed once,
    as in every forward pass in evaluation mode.
    """
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            _remove_parametrizations(module)
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, prune.BasePruningMethod):
                prune.remove(module, hook._tensor_name)
            elif type(hook).__name__ == "WeightNorm":
                nn.utils.remove_weight_norm(module, hook.name)
            elif type(hook).__name__ == "SpectralNorm":
                nn.utils.remove_spectral_norm(module, hook.name)
    return model


def _remove_parametrizations(module: nn.Module) -> None:
    """Replace parametrized weights by their values.

    torch's own function also changes the class, which copies of the module share.
    """
    values = {name: getattr(module, name) for name in module.parametrizations}
    module.__class__ = type(module).__bases__[0]
    del module.parametrizations
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value))


def _of_module(
    tensors: Tensors, expected: set[str]
) -> tuple[Tensors, list[str], Normalisation | None]:
    """Return the tensors under the names of the module, and in words which others there are.

    Raise GentoolError, naming them, for others that may enter the logits.
    """
    prefix = _prefix(set(tensors), expected)
    own = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    beside = {name: tensor for name, tensor in own.items() if name not in expected}
    beside |= {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
    kept = {name: tensor for name, tensor in own.items() if name in expected}
    aside = [name for name, tensor in beside.items() if is_part_of_no_layer(name, tensor)]
    rest = {name: tensor for name, tensor in beside.items() if name not in set(aside)}
    rest, normalisation = without_normalisation(rest) if rest else (rest, None)
    if rest:
        remedy = ""
        if prefix:
            remedy = f"; if they are another network's, choose one with --key {prefix[:-1]}"
        raise GentoolError(
            f"the tensors do not fit --module: it has no {listed(list(rest))}{remedy}"
        )
    words = [f"left aside, as parts of no layer: {listed(aside)}"] if aside else []
    return kept, words, normalisation


def _prefix(names: set[str], expected: set[str]) -> str:
    """Return what stands before every name of the module in the file: `module.`, `net.`, nothing.

    Raise UsageError if several networks in the file have all of its names.
    """
    needed = {name for name in expected if name.rpartition(".")[2] != COUNTER}
    if not needed or needed <= names:
        return ""
    found = {
        name.removesuffix(own): 0 for name in names for own in needed if name.endswith(f".{own}")
    }
    complete = [prefix for prefix in found if all(prefix + own in names for own in needed)]
    if len(complete) > 1:
        keys = sorted(prefix[:-1] for prefix in complete)
        raise UsageError(
            f"it holds several networks for --module ({listed(keys)}); choose one with --key, as "
            f"--key {keys[0]}"
        )
    if complete:
        return complete[0]
    for prefix in ("module.", "_orig_mod."):  # what is missing is told without the prefix
        if all(name.startswith(prefix) for name in names):
            return prefix
    return ""


def _renamed(steps: list[Step]) -> list[Step]:
    """Return the steps with names that are no name of another layer and no container of one."""
    weighty = {
        name for name, module in steps if isinstance(module, WEIGHT_LAYERS) or _has_state(module)
    }
    if again := next((name for name in sorted(weighty) if "#" in name), None):
        raise GentoolError(
            f"layer {again.partition('#')[0]!r} is called twice in the forward pass; weights that "
            "two layers share have no place in a list of layers"
        )
    containers = {name.rsplit(".", i)[0] for name in weighty for i in range(1, name.count(".") + 1)}
    taken, renamed = weighty | containers, []
    for name, module in steps:
        own = name
        if name not in weighty:
            own = name.replace(".", "_")
            while own in taken:
                own += "_"
            taken.add(own)
        renamed.append((own, module))
    return renamed


def _has_state(module: nn.Module) -> bool:
    return bool(module.state_dict())
