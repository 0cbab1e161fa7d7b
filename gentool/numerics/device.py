"""Choose the device and the precision of its products, and describe the device in records."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager

import numpy
import torch

from gentool.common.errors import GentoolError, UsageError


def resolve(name: str) -> torch.device:
    """Return the device of `auto` (CUDA if there is one), `cpu`, `cuda`, `cuda:N` or `mps`.

    Also turn off TF32, which PyTorch's convolutions use for float32 on CUDA by default; code that
    may use it asks for `fast_products`.

    Raise UsageError for another name, GentoolError for a device that this machine does not have.
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
    """Return the device of a name; use `threads` threads on the CPU, None for torch's choice."""
    if threads is not None:
        torch.set_num_threads(threads)
    return resolve(name)


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Use a number of CPU threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_double_precision(device: torch.device) -> torch.device:
    """Return the device for float64: the CPU in place of MPS, which has no float64."""
    return torch.device("cpu") if device.type == "mps" else device


@contextmanager
def fast_products(tf32: bool = True) -> Iterator[None]:
    """Use TF32 for products of float32 on CUDA: in steps and searches, never in reported numbers.

    Also restrict cuDNN to kernels that give the same bits every time.
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
    """Return a device in words, such as `cpu` or `cuda (NVIDIA H100)`."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def versions() -> dict[str, str]:
    """Return the versions of Python, torch and NumPy."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # a class of its own
        "numpy": numpy.__version__,
    }
