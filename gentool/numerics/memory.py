"""Decide how much memory a computation may use."""

import torch

CPU_MEMORY = 2**28  # bytes for points and activations


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
