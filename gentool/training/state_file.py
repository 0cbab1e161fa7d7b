"""Write and read the file of a run's state; what is read is checked before anything uses it.

The file is a safetensors file: numbers without code, strides or shared storages. Its metadata hold
recipe, epoch and history as one JSON text with a digest over all of it and over the tensors. Files
of format 1, which torch.save wrote, are read without unpickling and without a digest.

The trap avoided: tensors of another shape, type or layout than an optimizer's own, which its
kernels would index beyond their memory.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from gentool.checkpoints.checkpoint import apart
from gentool.checkpoints.foreign.inert_pickle import DamagedPickle
from gentool.checkpoints.foreign.pickled_tensors import PickledFile, open_pickled
from gentool.checkpoints.foreign.tensor_sets import entries_of
from gentool.common.errors import GentoolError
from gentool.common.json import Json, dumps, loads
from gentool.records import ranges
from gentool.records.formats import check_format
from gentool.records.recipe import HISTORY, Recipe, fault_of_history
from gentool.records.schemas import list_of, object_of
from gentool.training.watch import RECENT, RECORDED, WATCH

FORMAT = 2
KEY = "gentool-state"
_MODEL, _OPTIMIZER = "model.", "optimizer."
_BEST = f"{_MODEL}best:"
_SCHEMA = object_of(
    {
        "recipe": ranges.OBJECT,
        "epoch": ranges.whole_number(0),
        "history": HISTORY,
        "stopped": ranges.BOOLEAN,
        "kept": list_of(ranges.POSITIVE),
        "progress": object_of(
            {
                "steps": ranges.whole_number(0),
                "steps_to": object_of(
                    {str(loss): ranges.whole_number(1).or_none() for loss in RECORDED},
                    names=ranges.one_of(*map(str, RECORDED)),
                ),
                "recent": RECENT,
                "watch": WATCH,
                "keeping": WATCH,
                "threads": list_of(ranges.whole_number(1)),
            },
            required=("steps", "steps_to", "recent", "watch", "keeping"),
        ).or_none(),
    },
    required=("recipe", "epoch", "history", "stopped"),
)

Group = dict[str, Any]


@dataclass(frozen=True)
class SavedState:
    """Hold what a state file holds: tensors by name, those of the optimizer by parameter, too.

    `best` are those of the model after the epoch of the least loss; empty if that is `model`, or if
    an earlier version wrote the file.

    `progress` counts the steps, and holds what was seen of the loss in evaluation mode; earlier
    versions wrote none.

    `groups` are the settings of the optimizer in a file of format 1, to be compared with the
    recipe's; later files have none.
    """

    recipe: Recipe
    epoch: int
    history: dict[str, list[float]]
    stopped: bool
    kept: list[float]
    model: dict[str, Tensor]
    optimizer: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    groups: list[Group] | None = None
    progress: Json | None = None


def content_of(state: SavedState) -> bytes:
    """Return the content of the file of a state."""
    named = {f"{_MODEL}{name}": tensor for name, tensor in state.model.items()}
    named |= {f"{_BEST}{name}": tensor for name, tensor in state.best.items()}
    for index, tensors in state.optimizer.items():
        named |= {f"{_OPTIMIZER}{index}.{name}": tensor for name, tensor in tensors.items()}
    tensors = apart(named)
    about = {
        "format": FORMAT,
        "recipe": state.recipe.to_json(),
        **{
            name: getattr(state, name)
            for name in ("epoch", "history", "stopped", "kept", "progress")
        },
    }
    return safetensors.torch.save(
        tensors, {KEY: dumps(about | {"digest": _digest(about, tensors)})}
    )


def parse(content: bytes) -> SavedState:
    """Return the state in the content of a file; raise GentoolError with what does not fit."""
    is_pickled = content[:2] in (b"PK", b"\x80\x02")
    about, model, optimizer, groups = (_from_pickle if is_pickled else _from_safetensors)(content)
    if fault := _SCHEMA.fault(about, ""):
        raise GentoolError(fault)
    recipe = Recipe.from_file(about["recipe"])
    epoch, history = about["epoch"], about["history"]
    if fault := fault_of_history(history, epoch, "history"):
        raise GentoolError(fault)
    if epoch > recipe.epochs:
        raise GentoolError(f"epoch is {epoch}, of {recipe.epochs} in the recipe")
    if about["stopped"] and not epoch:
        raise GentoolError("stopped is true before the first epoch")
    for name, fits in (("loss", ranges.NOT_NEGATIVE), ("error", ranges.FRACTION)):
        if fault := list_of(fits).fault(history[name], f"history.{name}"):
            raise GentoolError(fault)
    kept = about.get("kept", [])  # states of earlier versions have none
    prefix = _BEST.removeprefix(_MODEL)
    best = {n.removeprefix(prefix): t for n, t in model.items() if n.startswith(prefix)}
    model = {name: tensor for name, tensor in model.items() if not name.startswith(prefix)}
    history = {name: list(history[name]) for name in ("epoch", "loss", "error")}
    return SavedState(
        recipe,
        epoch,
        history,
        about["stopped"],
        list(kept),
        model,
        optimizer,
        best,
        groups,
        about.get("progress"),
    )


Parts = tuple[Json, dict[str, Tensor], dict[int, dict[str, Tensor]], list[Group] | None]


def _from_safetensors(content: bytes) -> Parts:
    try:
        tensors = safetensors.torch.load(content)  # first: it knows that metadata are texts
        length = int.from_bytes(content[:8], "little")
        header = loads(content[8 : 8 + length])
        about = loads(header["__metadata__"][KEY])
    except (KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise GentoolError("it is damaged, or another file") from error
    check_format(about, FORMAT, "it")
    digest = about.pop("digest", None)
    if digest != _digest(about, tensors):
        raise GentoolError("its content does not agree with its digest")
    model, optimizer = {}, {}
    for name, tensor in tensors.items():
        if name.startswith(_MODEL):
            model[name.removeprefix(_MODEL)] = tensor
            continue
        index, dot, key = name.removeprefix(_OPTIMIZER).partition(".")
        if not (name.startswith(_OPTIMIZER) and dot and index.isdecimal() and index.isascii()):
            raise GentoolError(f"it has a tensor {name!r}, which is of no model and no optimizer")
        optimizer.setdefault(int(index), {})[key] = tensor
    return about, model, optimizer, None


def _digest(about: Json, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over a JSON object and over names, types, shapes and bytes of tensors."""
    digest = hashlib.sha256(dumps(about).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _from_pickle(content: bytes) -> Parts:
    """Return the parts of a file of format 1; no code in it is run."""
    try:
        if content[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if archive.testzip() is not None:
                    raise GentoolError("it is damaged: a checksum does not agree")
        with open_pickled(io.BytesIO(content)) as file:
            return _parts(file)
    except GentoolError:
        raise
    except (DamagedPickle, zipfile.BadZipFile, OSError) as error:
        raise GentoolError("it is damaged, or another file") from error
    except Exception as error:  # the bytes of a damaged zip or pickle may raise anything
        raise GentoolError(f"it is damaged ({type(error).__name__})") from error


def _parts(file: PickledFile) -> Parts:
    saved = entries_of(file.root)
    for name in ("model", "optimizer"):
        if not entries_of(saved.get(name)):
            raise GentoolError(f"{name} is missing")
    model = {
        _text(name): _tensor(file, value, f"model.{name}")
        for name, value in entries_of(saved["model"]).items()
        if name != "_metadata"
    }
    optimizer = entries_of(saved["optimizer"])
    of_parameters = {
        _index(index): {
            _text(name): _tensor(file, value, f"optimizer.{index}.{name}")
            for name, value in entries_of(values).items()
            if value is not None
        }
        for index, values in entries_of(optimizer.get("state")).items()
    }
    groups = optimizer.get("param_groups")
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise GentoolError(f"optimizer.param_groups is {ranges.shown(groups)}; it has to be a list")
    others = {name: value for name, value in saved.items() if name not in ("model", "optimizer")}
    about = loads(dumps(others))  # a pickle may hold what JSON has not, as numbers for names
    return about, model, of_parameters, groups


def _tensor(file: PickledFile, value: object, name: str) -> Tensor:
    """Return a tensor; raise GentoolError if it stores other numbers than those of its shape."""
    stored = file.stored(value)
    if stored is None or stored.trouble:
        raise GentoolError(f"{name} is no tensor of plain numbers")
    tensor = file.read(stored)
    if tensor.untyped_storage().nbytes() != tensor.numel() * tensor.itemsize:
        raise GentoolError(f"{name} of shape {tuple(tensor.shape)} stores other numbers than these")
    return tensor.contiguous()


def _text(name: object) -> str:
    if not isinstance(name, str):
        raise GentoolError(f"a tensor has the name {ranges.shown(name)}")
    return name


def _index(index: object) -> int:
    if type(index) is not int or index < 0:
        raise GentoolError(f"optimizer.state has the key {ranges.shown(index)}; they are numbers")
    return index
