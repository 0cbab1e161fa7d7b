"""Decide how much memory a computation may use."""

import torch

CPU_MEMORY = 2**28  # bytes for points and activations
LARGE = 2**24  # parameters beyond which a network is in memory as few times as possible
SHARED_PART = 0.9  # of a GPU's memory; the rest is for the contexts of the processes that share it


def memory_budget(device: torch.device) -> int:
    """Return the bytes for points and activations, a round number so that runs repeat to the bit.

    On CUDA it is a sixth to a third of the free memory, rounded down to a power of two: memory that
    other networks left cached, or a little that another process holds, does not change it.
    """
    if device.type != "cuda":
        return CPU_MEMORY
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    third = (torch.cuda.mem_get_info(device)[0] + unused) // 3
    return max(CPU_MEMORY, 1 << (third.bit_length() - 1))


def is_large(parameters: int) -> bool:
    """Return whether a network has so many parameters that no copy of them is made for speed."""
    return parameters > LARGE


def share_memory(device: torch.device, processes: int) -> None:
    """Limit what this process allocates on a GPU to its share, one of `processes` equal ones.

    PyTorch frees what it only keeps for later before it exceeds the share, so that no process runs
    out of memory that another has cached.
    """
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(SHARED_PART / processes, device.index)
