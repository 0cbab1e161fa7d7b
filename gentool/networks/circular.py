"""Compute the spectral norm of a circular convolution at a given size, as public code does.

The Fourier transform of the kernel on the grid is one matrix for each frequency, whose largest
singular value is the norm (Sedghi et al., The Singular Values of Convolutional Layers, ICLR 2019).
Real layers are padded with zeros and shrink from pooling to pooling: `operator_norm` has the norm
of these.
"""

import torch
from torch import Tensor

ENTRIES_AT_ONCE = 2**22  # complex numbers in a chunk of matrices


def circular_norm(weight: Tensor, size: tuple[int, int], groups: int = 1) -> float:
    """Return the norm of the circular convolution by a kernel (out, in / groups, kh, kw).

    `size` is that of the maps. A kernel that is larger than the maps is cut off, as by
    `numpy.fft.fft2`.
    """
    norms = []
    for kernel in weight.double().chunk(groups):
        symbols = torch.fft.rfft2(kernel, s=size).flatten(2).permute(2, 0, 1)  # the rest: conjugate
        chunk = max(1, ENTRIES_AT_ONCE // symbols[0].numel())
        norms += [torch.linalg.matrix_norm(part, ord=2).amax() for part in symbols.split(chunk)]
    return float(torch.stack(norms).amax())
