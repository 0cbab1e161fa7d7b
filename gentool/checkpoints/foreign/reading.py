"""Read the tensors of a file that another program saved, without running anything in it.

The traps avoided: a pickle may hold code, a zip may unpack to more than the disk holds, and a
tensor may claim a large shape that repeats the few numbers stored.
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
    """Read tensors and metadata of a safetensors file. Raise GentoolError if it is damaged."""
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
    """Read the state dict of a PyTorch file, in the order of the file, also from nested mappings.

    Raise GentoolError, without running anything in the file, if it holds code or objects of
    classes, is damaged, or has no state dict.
    """
    _check_size_of_zip(path)
    try:
        with warnings.catch_warnings(
            action="ignore"
        ):  # about the program that wrote the file, not about gentool
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
    """Return the tensors without the prefixes of wrappers; float16 and bfloat16 as float32.

    Raise GentoolError, naming the tensor, if one is empty, of a type that weights do not have, or
    of a shape with more numbers than the file stores.
    """
    if not tensors:
        raise GentoolError("it holds no tensors")
    return {
        name: _checked_weight(name, tensor) for name, tensor in _without_wrappers(tensors).items()
    }


def _check_size_of_zip(path: Path) -> None:
    """Raise GentoolError if a zip unpacks to more than its size: torch.save does not compress."""
    try:
        with zipfile.ZipFile(path) as file:
            unpacked = sum(entry.file_size for entry in file.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # an older format, or damaged: torch.load accepts it or says so
    if unpacked > path.stat().st_size:
        raise GentoolError(
            f"{path} is a compressed archive of {unpacked} bytes, not a file of torch.save"
        )


def _state_dict(content: object, depth: int = 0) -> dict[str, Tensor]:
    """Return the mapping of names to tensors in the content of a file, which may nest it."""
    if not isinstance(content, Mapping):
        raise GentoolError(f"it holds a {type(content).__name__}, not a state dict")
    nested = [key for key in NESTED_UNDER if isinstance(content.get(key), Mapping)]
    if len(nested) > 1:
        raise GentoolError(f"it holds several state dicts ({', '.join(nested)}); save one alone")
    if nested and depth < 3:
        return _state_dict(content[nested[0]], depth + 1)
    for name, value in content.items():
        if not isinstance(name, str):
            raise GentoolError(
                f"it has {str(name)[:80]} for a name; the names in a state dict are strings"
            )
        if not isinstance(value, Tensor):
            known = ", ".join(NESTED_UNDER)
            raise GentoolError(
                f"{name[:80]!r} is a {type(value).__name__}, not a tensor; a state dict may "
                f"also be under one of: {known}"
            )
    return dict(content)


def _without_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes that DataParallel, torch.compile and training frameworks add to names.

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
            f"tensor {name!r} has shape {tuple(tensor.shape)}, but the file stores only part of "
            "its numbers"
        )
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
