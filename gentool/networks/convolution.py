"""A convolution as the linear map it is, on the size that its input really has, zeros around it.

The trap: the kernel as a matrix has another norm, and so has the circular convolution that a
Fourier transform diagonalises.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad


@dataclass(frozen=True)
class Operator:
    """The linear map of a convolution without its bias, for inputs of shape (in, height, width)."""

    weight: Tensor  # (out, in / groups, kh, kw)
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]  # above and on the left; below and right as far as the kernel reaches
    dilation: tuple[int, int]
    groups: int

    @classmethod
    def of(
        cls, module: nn.Conv2d, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
    ) -> "Operator":
        """The map of a convolution layer."""
        reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        by_name = {"valid": (0, 0), "same": tuple(r // 2 for r in reach)}
        padding = by_name[module.padding] if isinstance(module.padding, str) else module.padding
        weight = module.weight.detach()
        return cls(
            weight, in_shape, out_shape, module.stride, padding, module.dilation, module.groups
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs, shape (n, out, h, w), of inputs, shape (n, in, height, width)."""
        padded = pad(x, self._margins)
        return conv2d(padded, self.weight, None, self.stride, 0, self.dilation, self.groups)

    def transpose(self, y: Tensor) -> Tensor:
        """The transposed map: shape (n, in, height, width) from (n, out, h, w)."""
        padded = conv_transpose2d(
            y, self.weight, None, self.stride, 0, 0, self.groups, self.dilation
        )
        return pad(padded, [-margin for margin in self._margins])

    def frobenius(self) -> float:
        """Frobenius norm of the map: each kernel entry counted as often as it meets an input."""
        rows, columns = (self._uses(axis) for axis in (0, 1))
        uses = (rows[:, None] * columns).to(self.weight)
        largest = float(self.weight.abs().amax()) or 1.0
        return largest * float(((self.weight / largest).square() * uses).sum().sqrt())

    def reach(self, axis: int) -> int:
        """One more than the last place, counted from the first input, that the kernel touches."""
        steps = (self.out_shape[1 + axis] - 1) * self.stride[axis]
        taps = self.dilation[axis] * (self.weight.shape[2 + axis] - 1)
        return steps + taps + 1 - self.padding[axis]

    @property
    def _margins(self) -> list[int]:
        """What to pad with zeros, or cut off where negative: left, right, top, bottom."""
        right, bottom = (self.reach(axis) - self.in_shape[1 + axis] for axis in (1, 0))
        return [self.padding[1], right, self.padding[0], bottom]

    def _uses(self, axis: int) -> Tensor:
        """For each tap along an axis, at how many output places it meets an input, not padding."""
        taps = torch.arange(self.weight.shape[2 + axis]) * self.dilation[axis]
        places = torch.arange(self.out_shape[1 + axis]) * self.stride[axis] - self.padding[axis]
        met = places[:, None] + taps
        return ((met >= 0) & (met < self.in_shape[1 + axis])).sum(0).double()
