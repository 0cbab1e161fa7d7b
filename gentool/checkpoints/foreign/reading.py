"""The tensors of a file that another program saved, read without running anything in it.

The traps avoided: a pickle may hold code, a zip may unpack to more than the disk holds, and a
tensor may claim a shape that its few stored numbers are repeated to fill.
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from torch import Tensor

from gentool.common.errors import GentoolError

NESTED_UNDER = ("state_dict", "model_state_dict", "model", "net")
WRAPPERS = ("module.", "model.", "_orig_mod.")
READABLE = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COUNTER = "num_batches_tracked"


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; GentoolError where it is damaged."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            return tensors, file.metadata() or {}
    except FileNotFoundError:
        raise GentoolError(f"{path} does not exist") from None
    except (OSError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise GentoolError(
            f"{path} is no whole safetensors file ({reason}); copy it again"
        ) from error


def read_pytorch(path: Path) -> dict[str, Tensor]:
    """The state dict of a PyTorch file, wherever in it that is, in the order of the file.

    Raises GentoolError, without running any of it, for a file that holds objects of classes or
    code, is damaged, or has no state dict.
    """
    _check_size_of_zip(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # on how the file was made, not on ours
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise GentoolError(
            f"{path} holds objects or code besides tensors, or is damaged; nothing in it was run; "
            "save the model's state_dict() alone"
        ) from error
    except Exception as error:  # a damaged file makes the loader raise nearly anything
        words = re.split(r"\n|\. ", str(error))[0]
        reason = words if " " in words else "torch.save writes no such file"
        raise GentoolError(f"{path} is no whole PyTorch file ({reason}); copy it again") from error
    try:
        return _state_dict(content)
    except GentoolError as error:
        raise GentoolError(f"{path}: {error}") from error


def checked_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the names of wrappers; half and bfloat16 as float32.

    Raises GentoolError, naming the tensor, for one that is empty, of a type that is no weight's, or
    larger than what is stored of it.
    """
    if not tensors:
        raise GentoolError("it holds no tensors")
    return {
        name: _checked_weight(name, tensor) for name, tensor in _without_wrappers(tensors).items()
    }


def _check_size_of_zip(path: Path) -> None:
    """Refuse a zip whose entries unpack to more than the file: torch.save does not compress."""
    try:
        with zipfile.ZipFile(path) as file:
            unpacked = sum(entry.file_size for entry in file.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # an older file that is no zip, or a damaged one: torch's loader says so
    if unpacked > path.stat().st_size:
        raise GentoolError(f"{path} is a compressed archive of {unpacked} bytes, not PyTorch's")


def _state_dict(content: object, depth: int = 0) -> dict[str, Tensor]:
    """The mapping of names to tensors in what a file holds."""
    if not isinstance(content, Mapping):
        raise GentoolError(f"it holds a {type(content).__name__}, not a state dict")
    nested = [key for key in NESTED_UNDER if isinstance(content.get(key), Mapping)]
    if len(nested) > 1:
        raise GentoolError(f"it holds several state dicts ({', '.join(nested)}); save one alone")
    if nested and depth < 3:
        return _state_dict(content[nested[0]], depth + 1)
    for name, value in content.items():
        if not isinstance(name, str):
            raise GentoolError(f"it has {str(name)[:80]} for a name, which is none of a layer")
        if not isinstance(value, Tensor):
            known = ", ".join(NESTED_UNDER)
            raise GentoolError(
                f"{name[:80]!r} is a {type(value).__name__}, not a tensor; a state dict may "
                f"also be under one of: {known}"
            )
    return dict(content)


def _without_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without what DataParallel, torch.compile and training frameworks put before them.

    `model.0.weight` keeps its `model.`: that is the name of an nn.Sequential, not of a wrapper.
    """
    while True:
        for prefix in WRAPPERS:
            rest = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
            is_wrapped = all(name.startswith(prefix) for name in tensors)
            if is_wrapped and (prefix != "model." or not any(name[:1].isdigit() for name in rest)):
                tensors = rest
                break
        else:
            return tensors


def _checked_weight(name: str, tensor: Tensor) -> Tensor:
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise GentoolError(f"tensor {name!r} is sparse, quantized or without values")
    if tensor.numel() == 0:
        raise GentoolError(f"tensor {name!r} is empty: its shape is {tuple(tensor.shape)}")
    if name.rpartition(".")[2] == COUNTER:
        return torch.zeros((), dtype=torch.int64) if tensor.numel() > 1 else tensor.long()
    if tensor.dtype not in READABLE:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise GentoolError(
            f"tensor {name!r} is of type {kind}; weights are float16, bfloat16, float32 or float64"
        )
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise GentoolError(
            f"tensor {name!r} has shape {tuple(tensor.shape)}, of which the file holds but a part"
        )
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
