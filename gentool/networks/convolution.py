"""Represent a convolution as a linear map on inputs of their real size, padded with zeros.

The trap: the kernel as a matrix has another norm, and so has the circular convolution that a
Fourier transform diagonalises.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad


@dataclass(frozen=True)
class Operator:
    """Hold the linear map of a convolution, without bias, for inputs of (in, height, width)."""

    weight: Tensor  # (out, in / groups, kh, kw)
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]  # above and left; below and right it follows from the shapes
    dilation: tuple[int, int]
    groups: int

    @classmethod
    def of(
        cls, module: nn.Conv2d, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
    ) -> "Operator":
        """Return the linear map of a convolution layer."""
        reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        by_name = {"valid": (0, 0), "same": tuple(r // 2 for r in reach)}
        padding = by_name[module.padding] if isinstance(module.padding, str) else module.padding
        weight = module.weight.detach()
        return cls(
            weight, in_shape, out_shape, module.stride, padding, module.dilation, module.groups
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Map inputs of shape (n, in, height, width) to outputs of shape (n, out, h, w)."""
        if self._is_symmetric:  # without a copy of the images
            padding = self.padding
        else:
            x, padding = pad(x, self._margins), (0, 0)
        return conv2d(x, self.weight, None, self.stride, padding, self.dilation, self.groups)

    def transpose(self, y: Tensor) -> Tensor:
        """Apply the transposed map, from shape (n, out, h, w) to shape (n, in, height, width)."""
        padding = self.padding if self._is_symmetric else (0, 0)
        x = conv_transpose2d(
            y, self.weight, None, self.stride, padding, 0, self.groups, self.dilation
        )
        return x if self._is_symmetric else pad(x, [-margin for margin in self._margins])

    def frobenius(self) -> float:
        """Compute the Frobenius norm of the map: a kernel entry counts as often as it is used."""
        rows, columns = (self._uses(axis) for axis in (0, 1))
        uses = (rows[:, None] * columns).to(self.weight)
        largest = float(self.weight.abs().amax()) or 1.0
        return largest * float(((self.weight / largest).square() * uses).sum().sqrt())

    def dense_groups(self) -> Iterator[Tensor]:
        """Yield the dense matrix of each group, (outputs, inputs): the map has no other entries."""
        out, inputs = self.weight.shape[0] // self.groups, self.weight.shape[1]
        rows, columns = (self._covered(axis) for axis in (0, 1))
        for weight in self.weight.chunk(self.groups):
            A = weight.new_zeros(out, *self.out_shape[1:], inputs, *self.in_shape[1:])
            for i, (y, row) in enumerate(rows):
                for j, (x, column) in enumerate(columns):
                    places = (y[:, None], x[None, :], slice(None), row[:, None], column[None, :])
                    A[:, *places] += weight[:, :, i, j]
            yield A.flatten(3).flatten(0, 2)

    def reach(self, axis: int) -> int:
        """Return one more than the last position that the kernel covers, from the first input."""
        steps = (self.out_shape[1 + axis] - 1) * self.stride[axis]
        taps = self.dilation[axis] * (self.weight.shape[2 + axis] - 1)
        return steps + taps + 1 - self.padding[axis]

    @property
    def _is_symmetric(self) -> bool:
        """Return whether the padding below and right is that above and left."""
        left, right, top, bottom = self._margins
        return left == right and top == bottom

    @property
    def _margins(self) -> list[int]:
        """Widths of the zero padding (negative: to cut off): left, right, top, bottom."""
        right, bottom = (self.reach(axis) - self.in_shape[1 + axis] for axis in (1, 0))
        return [self.padding[1], right, self.padding[0], bottom]

    def _uses(self, axis: int) -> Tensor:
        """Count, for each tap along an axis, the outputs where it covers an input, not padding."""
        return torch.tensor([len(outputs) for outputs, _ in self._covered(axis)]).double()

    def _covered(self, axis: int) -> list[tuple[Tensor, Tensor]]:
        """Return the outputs and inputs that each tap along an axis joins, padding left out."""
        outputs = torch.arange(self.out_shape[1 + axis], device=self.weight.device)
        pairs = []
        for tap in range(self.weight.shape[2 + axis]):
            first = tap * self.dilation[axis] - self.padding[axis]
            inputs = outputs * self.stride[axis] + first
            inside = (inputs >= 0) & (inputs < self.in_shape[1 + axis])
            pairs.append((outputs[inside], inputs[inside]))
        return pairs
