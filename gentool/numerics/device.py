"""Where to compute: the device that an option names, and what a record says of it."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager

import numpy
import torch

from gentool.common.errors import GentoolError, UsageError


def resolve(name: str) -> torch.device:
    """The device of `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; auto takes CUDA where there is one.

    From then on float32 means float32 on CUDA, where PyTorch's convolutions take TF32 unless told
    otherwise: that is for what asks for it, see `fast_products`.

    Raises UsageError for another name, GentoolError for a device that this machine does not have.
    """
    torch.backends.cudnn.allow_tf32 = False
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdigit())):
        raise UsageError(f"unknown device {name!r}; known: auto, cpu, cuda, cuda:N, mps")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise GentoolError(
            f"there is no device {name!r}: torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices; use --device cpu"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise GentoolError("there is no device 'mps' on this machine; use --device cpu")
    return torch.device(name)


def use(name: str, threads: int | None) -> torch.device:
    """The device of a name, with so many threads on the CPU; None: as torch chooses."""
    if threads is not None:
        torch.set_num_threads(threads)
    return resolve(name)


def in_double_precision(device: torch.device) -> torch.device:
    """Where to compute in float64 when asked for a device: MPS has none, the CPU takes over."""
    return torch.device("cpu") if device.type == "mps" else device


@contextmanager
def fast_products(tf32: bool = True) -> Iterator[None]:
    """TF32 for products of float32 on CUDA, for steps and searches, never for what is reported.

    Of cuDNN's kernels those that give the same bits every time.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic
    matmul.allow_tf32 = cudnn.allow_tf32 = tf32
    cudnn.deterministic = True
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic = before


def describe(device: torch.device) -> str:
    """A device in words, as `cpu` or `cuda (NVIDIA H100)`."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def versions() -> dict[str, str]:
    """The versions of what computes."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }
