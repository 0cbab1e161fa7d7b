"""Read the tensors of a file that another program saved, without running anything in it.

The traps avoided: a pickle may hold code, a zip may unpack to more than the disk holds, and a
tensor may claim a large shape that repeats the few numbers stored.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from torch import Tensor

from gentool.checkpoints.foreign.pickled_tensors import open_pickled
from gentool.checkpoints.foreign.set_aside import (
    Normalisation,
    without_normalisation,
    without_others,
)
from gentool.checkpoints.foreign.tensor_sets import ForeignTensors, chosen_tensors
from gentool.checkpoints.foreign.weight_formulas import with_formulas
from gentool.common.errors import GentoolError
from gentool.common.paths import readable
from gentool.records.file_kind import other_format

WRAPPERS = ("module.", "model.", "_orig_mod.")
READABLE = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COUNTER = "num_batches_tracked"


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a safetensors file. Raise GentoolError if it is damaged."""
    if other := other_format(path):
        raise GentoolError(f"{path} is {other}")
    try:
        with readable(path) as whole, safetensors.safe_open(whole, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            return tensors, file.metadata() or {}
    except FileNotFoundError:
        raise GentoolError(f"{path} does not exist") from None
    except (OSError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise GentoolError(
            f"{path} is no whole safetensors file ({reason}); copy it again"
        ) from error


def read_pytorch(path: Path, key: str | None = None) -> ForeignTensors:
    """Read the weights of a PyTorch file in their order, at a key or wherever the only ones are.

    Nothing in the file is run: objects of classes are read as names and options. Raise GentoolError
    if it is damaged or holds no weights, UsageError if it holds several and `key` names none.
    """
    if other := other_format(path):
        raise GentoolError(f"{path} is {other}")
    _check_size_of_zip(path)
    try:
        with open_pickled(path) as file:
            return chosen_tensors(file, key)
    except UnicodeDecodeError:
        raise GentoolError(f"{path} is no whole PyTorch file; copy it again") from None
    except GentoolError as error:
        raise type(error)(f"{path}: {error}") from error
    except Exception as error:  # the bytes of a damaged file may be anything
        words = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise GentoolError(f"{path} is no whole PyTorch file ({words}); copy it again") from error


@dataclass(frozen=True)
class Weights:
    """Hold the tensors of layers; in words, what was computed or left aside to get them."""

    tensors: dict[str, Tensor]
    words: list[str]
    normalisation: Normalisation | None


def weights_of(tensors: dict[str, Tensor]) -> Weights:
    """Return the tensors of layers alone: formulas computed, counters and metrics left aside.

    Raise GentoolError, naming the tensor, for a formula that is not known, or a damaged one.
    """
    if not tensors:
        raise GentoolError("it holds no tensors")
    kept, aside = without_others(tensors)
    kept, normalisation = without_normalisation(_without_wrappers(kept))
    kept, computed = with_formulas(_without_wrappers(kept), _checked_weight)
    words = [*computed, *aside, *([normalisation.words] if normalisation else [])]
    return Weights(kept, words, normalisation)


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


def _without_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes that DataParallel, torch.compile and training frameworks add to names.

    `model.0.weight` keeps its `model.`: that is the name of an nn.Sequential, not of a wrapper.
    """
    while True:
        for prefix in WRAPPERS:
            rest = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
            is_wrapped = tensors and all(name.startswith(prefix) for name in tensors)
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
        is_one_number = tensor.numel() == 1 and not tensor.is_complex()
        return tensor.long().reshape(()) if is_one_number else torch.zeros((), dtype=torch.int64)
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
