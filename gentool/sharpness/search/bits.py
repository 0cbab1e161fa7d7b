"""Keep the signs of corners as bits: those of large networks in an eighth of the memory of bools.

Rows of signs are packed and unpacked one or a few at a time. Those of small networks stay bools,
which take no time to pack. Rows of either kind are chosen, joined and copied alike.
"""

import torch
from torch import Tensor

from gentool.numerics.memory import is_large
from gentool.sharpness.box import Box

_SHIFTS = 0x0102040810204080  # brings the lowest bits of eight bytes into the highest byte
_COPIES = 0x0101010101010101  # copies a byte eight times
_EACH = 0x8040201008040201 - 2**64  # keeps another bit of each copy (int64 has a sign)


def pack(signs: Tensor) -> Tensor:
    """Return signs, bool of shape (..., P), as they are kept: bits of shape (..., ⌈P/8⌉), uint8."""
    size = signs.shape[-1]
    if not is_large(size):
        return signs
    padded = torch.nn.functional.pad(signs.view(torch.uint8), (0, -size % 8))
    words = padded.contiguous().view(torch.int64)
    return ((words * _SHIFTS) >> 56).to(torch.uint8)


def unpack(kept: Tensor, size: int) -> Tensor:
    """Return the signs that `pack` was given, bool of shape (..., size)."""
    if not is_large(size):
        return kept
    words = (kept.to(torch.int64) * _COPIES) & _EACH
    return words.view(torch.uint8)[..., :size] != 0


def corner_at(box: Box, kept: Tensor) -> Tensor:
    """Return the corners of a box at signs that are kept."""
    return box.corner(unpack(kept, len(box.center)))
