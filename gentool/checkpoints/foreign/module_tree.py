"""Read a whole module that was pickled as a tree of names, types, options and tensors.

The types and options are what the file says of them (`Conv2d`, stride 2); no class is imported. In
an nn.Sequential the order of the children is the order of the forward pass. The forward pass of
any other class with children is code, which no file holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gentool.checkpoints.foreign.inert_pickle import Inert
from gentool.checkpoints.foreign.pickled_tensors import PickledFile, StoredTensor
from gentool.common.errors import GentoolError
from gentool.common.json import Json
from gentool.networks.layer_list import TYPES, padding_in_numbers

DEEPEST = 20
MOST_MODULES = 20_000
SEQUENTIAL = "torch.nn.modules.container.Sequential"
WRAPPERS = (
    "torch.nn.parallel.data_parallel.DataParallel",
    "torch.nn.parallel.distributed.DistributedDataParallel",
)
TORCHVISION_VGG = "torchvision.models.vgg.VGG"
_NOT_OPTIONS = ("training", "inplace")
_WEIGHT_HOOKS = ("weight_norm.WeightNorm", "spectral_norm.SpectralNorm", "utils.prune.")


@dataclass(frozen=True)
class ModuleTree:
    """Hold one module: the dotted name of its class, plain options, children in their order.

    `hooks` are the names of the hooks on its forward pass.
    """

    type: str
    options: Json = field(default_factory=dict)
    children: tuple[tuple[str, "ModuleTree"], ...] = ()
    hooks: tuple[str, ...] = ()

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, "ModuleTree"]]:
        """Return all modules without children, with their dotted names."""
        for name, child in self.children:
            if child.children:
                yield from child.leaves(f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", child


def is_module(value: object) -> bool:
    """Return whether an inert object is a module of torch.nn or of a class derived from one."""
    state = value.state if isinstance(value, Inert) else None
    return isinstance(state, dict) and "_modules" in state and "_parameters" in state


def module_tree(value: object) -> ModuleTree | None:
    """Return the tree of a pickled module, without the wrappers of parallel training."""
    if not is_module(value):
        return None
    return _tree(value, 0, [0])


def tensors_of_module(file: PickledFile, value: Inert) -> dict[str, StoredTensor]:
    """Return the state dict of a pickled module: parameters and persistent buffers by name."""
    tensors: dict[str, StoredTensor] = {}
    _collect(file, value, "", tensors, 0, [0])
    return tensors


def chain_of(tree: ModuleTree, without: str | None = None) -> list[Json] | None:
    """Return the layers of a module whose forward pass is known, as in a recipe; else None.

    Known are nn.Sequential, also nested, and the VGG of torchvision. `without` names a module to be
    left out. Raise GentoolError, naming the
    layer, if one is of a type or has an option that a list of layers cannot hold.
    """
    while tree.type in WRAPPERS and len(tree.children) == 1:
        tree = tree.children[0][1]
    if not _is_known(tree):
        return None
    layers, has_maps = list(_layers(tree, "", without)), True
    synchronised = {name for name, leaf in tree.leaves() if leaf.type.endswith(".SyncBatchNorm")}
    for layer in layers:
        if layer["type"] in ("conv2d", "linear", "flatten"):
            has_maps = layer["type"] == "conv2d"
        if layer["name"] in synchronised and not has_maps:
            layer["type"] = "batch_norm1d"
    return layers


def _is_known(tree: ModuleTree) -> bool:
    children = dict(tree.children)
    if tree.type == TORCHVISION_VGG:
        return {"features", "avgpool", "classifier"} == set(children) and all(
            _is_known(child) for child in children.values() if child.children
        )
    return tree.type == SEQUENTIAL and all(
        _is_known(child) for child in children.values() if child.children
    )


def _layers(tree: ModuleTree, prefix: str, without: str | None) -> Iterator[Json]:
    _check_hooks(tree, prefix.rstrip(".") or "the module")
    for name, child in tree.children:
        path = f"{prefix}{name}"
        if tree.type == TORCHVISION_VGG and name == "classifier":
            yield {"name": "flatten", "type": "flatten"}
        if path == without:
            continue
        if child.children:
            yield from _layers(child, f"{path}.", without)
        elif (layer := _layer(path, child)) is not None:
            yield layer


def _check_hooks(tree: ModuleTree, name: str) -> None:
    for hook in tree.hooks:
        if not any(known in hook for known in _WEIGHT_HOOKS):
            raise GentoolError(
                f"layer {name!r} has a hook on its forward pass ({hook[:80]}), whose code the file "
                "does not hold; build the network from its code with --module"
            )


def _layer(name: str, tree: ModuleTree) -> Json | None:
    """Return one layer as in a recipe, None for one that does nothing in evaluation mode."""
    _check_hooks(tree, name)
    kind = tree.type.rpartition(".")[2]
    is_of_torch = tree.type.startswith("torch.nn.modules.")
    types = {module.__name__: key for key, (module, _) in TYPES.items()}
    types["SyncBatchNorm"] = "batch_norm2d"
    if is_of_torch and kind in ("Identity", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout"):
        return None
    if is_of_torch and kind == "Sequential":
        return None  # without children
    if not is_of_torch or kind not in types:
        raise GentoolError(
            f"layer {name!r} is a {tree.type[:80]}, which a chain of layers cannot hold here; "
            f"known: {', '.join(sorted(types))}"
        )
    options = _options(name, types[kind], tree)
    return {"name": name, "type": types[kind], **options}


def _options(name: str, kind: str, tree: ModuleTree) -> Json:
    """Return the options of a layer that a recipe keeps; refuse those that it cannot keep."""
    known = TYPES[kind][1].split()
    given = tree.options
    if given.get("padding_mode", "zeros") != "zeros":
        raise GentoolError(
            f"layer {name!r} pads with {given['padding_mode']!r}; only zeros are read"
        )
    if given.get("start_dim", 1) != 1 or given.get("end_dim", -1) != -1:
        raise GentoolError(f"layer {name!r} flattens some of the sizes only")
    if given.get("return_indices"):
        raise GentoolError(f"layer {name!r} returns indices, which no later layer takes")
    if not given.get("track_running_stats", True):
        raise GentoolError(f"layer {name!r} normalises by the batch even in evaluation mode")
    options: Json = {}
    for option in known:
        if given.get(option) is not None:
            value = given[option]
            if option == "padding" and isinstance(value, str):
                value = padding_in_numbers(value, given["kernel_size"], given["dilation"])
                if value is None:
                    raise GentoolError(
                        f"layer {name!r} pads one side more than the other ('same' with a kernel "
                        "of even size), which a list of layers cannot hold"
                    )
            options[option] = list(value) if isinstance(value, tuple) else value
    return options


def _tree(value: Inert, depth: int, count: list[int]) -> ModuleTree:
    count[0] += 1
    if depth > DEEPEST or count[0] > MOST_MODULES:
        raise GentoolError("its modules are nested too deeply, or too many")
    state = value.state
    options = {
        name: option
        for name, option in state.items()
        if isinstance(name, str) and name[:1] != "_" and name not in _NOT_OPTIONS and _plain(option)
    }
    children = tuple(
        (name, _tree(child, depth + 1, count))
        for name, child in _names(state["_modules"]).items()
        if is_module(child)
    )
    hooks = tuple(
        hook.name if isinstance(hook, Inert) else str(hook)
        for kind in ("_forward_hooks", "_forward_pre_hooks")
        for hook in _all_items(state.get(kind)).values()
    )
    return ModuleTree(value.name, options, children, hooks)


def _collect(
    file: PickledFile,
    value: Inert,
    prefix: str,
    tensors: dict[str, StoredTensor],
    depth: int,
    count: list[int],
) -> None:
    count[0] += 1
    if depth > DEEPEST or count[0] > MOST_MODULES:
        raise GentoolError("its modules are nested too deeply, or too many")
    state = value.state
    passing = state.get("_non_persistent_buffers_set")
    passing = {name for name in _set(passing) if isinstance(name, str)}
    for kind in ("_parameters", "_buffers"):
        for name, entry in _names(state.get(kind)).items():
            stored = file.stored(entry)
            if stored is not None and not (kind == "_buffers" and name in passing):
                tensors[f"{prefix}{name}"] = stored
    for name, child in _names(state["_modules"]).items():
        if is_module(child):
            _collect(file, child, f"{prefix}{name}.", tensors, depth + 1, count)


def _set(value: object) -> list:
    if not isinstance(value, Inert):
        return []
    if value.values:
        return value.values
    args = value.args
    return args[0] if isinstance(args, tuple) and args and isinstance(args[0], list) else []


def _all_items(value: object) -> dict:
    return value if isinstance(value, dict) else value.items if isinstance(value, Inert) else {}


def _names(value: object) -> dict[str, object]:
    return {name: item for name, item in _all_items(value).items() if isinstance(name, str)}


def _plain(value: object) -> bool:
    """Return whether an option is a number, a word, or a few of them."""
    if isinstance(value, tuple):
        return len(value) <= 4 and all(isinstance(item, (int, float, str)) for item in value)
    return value is None or isinstance(value, (int, float, str))
