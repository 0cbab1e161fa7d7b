"""Represent the box |νᵢ| ≤ α(|wᵢ| + 1) by the points w + ν that floating point has in it.

The trap avoided here: w + α(|w| + 1), rounded to float32, can lie outside of the box. The faces are
rounded inward once, so that every point made from them is inside by construction; `contains` checks
it in float64 all the same.

The faces of a small box are kept. Those of a large one, each as large as the network, are computed
where they are needed, a block of parameters at a time: a tenth of the time of a gradient, or less.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gentool.numerics.memory import is_large

BLOCK = {"cpu": 2**18}  # parameters, which stay in the cache of a CPU
USUAL_BLOCK = 2**24


@dataclass(frozen=True)
class Box:
    """Hold the box of points w + ν with |νᵢ| ≤ α(relative |wᵢ| + offset).

    `center` is w, shape (P,), in float64; `dtype` is the precision of the search. The offset is 1,
    or 0 to let each parameter move in proportion to its magnitude alone; `relative` is 1, or 0 to
    let all move by α.
    """

    center: Tensor
    alpha: float
    dtype: torch.dtype
    offset: float = 1.0
    relative: float = 1.0

    @property
    def radius(self) -> Tensor:
        """r, shape (P,), float64."""
        return self._radius(self.center)

    @property
    def is_large(self) -> bool:
        return is_large(len(self.center))

    @property
    def low(self) -> Tensor:
        """Return the outermost points in the box below w, shape (P,); computed, if it is large."""
        return self._filled(lambda block, low, high: low) if self.is_large else self._kept[0]

    @property
    def high(self) -> Tensor:
        """Return the outermost points in the box above w, shape (P,); computed, if it is large."""
        return self._filled(lambda block, low, high: high) if self.is_large else self._kept[1]

    @property
    def middle(self) -> Tensor:
        """Return w in the precision of the search, shape (P,)."""
        return self._filled(lambda block, low, high: low / 2 + high / 2)

    def blocks(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield blocks of parameters, as slices, with their faces; one block, if it is small."""
        if not self.is_large:
            yield slice(None), *self._kept
            return
        size = self._block_size
        for start in range(0, len(self.center), size):
            block = slice(start, start + size)
            yield block, *self._faces(block)

    def corner(self, signs: Tensor) -> Tensor:
        """Return the corners that `signs` name, bool of shape (..., P), True where νᵢ = +rᵢ."""
        return self._filled(
            lambda block, low, high: torch.where(signs[..., block], high, low), signs.shape
        )

    def project(self, points: Tensor) -> Tensor:
        """Return the nearest points of the box, for points of shape (..., P)."""
        return self._filled(
            lambda block, low, high: points[..., block].clamp(low, high), points.shape
        )

    def contains(self, point: Tensor) -> bool:
        """Return whether a point, shape (P,), is in the box, computed in float64."""
        parts = zip(point.split(self._block_size), self.center.split(self._block_size), strict=True)
        return all(bool(((part.double() - w).abs() <= self._radius(w)).all()) for part, w in parts)

    @property
    def _block_size(self) -> int:
        return BLOCK.get(self.center.device.type, USUAL_BLOCK)

    def _radius(self, weights: Tensor) -> Tensor:
        return radius(weights, self.alpha, self.offset, self.relative)

    @cached_property
    def _kept(self) -> tuple[Tensor, Tensor]:
        return self._faces(slice(None))

    def _faces(self, block: slice) -> tuple[Tensor, Tensor]:
        """Return the lower and the upper face of a block of parameters.

        Raise ValueError if the precision has no points in the box.
        """
        w = self.center[block]
        reach = self._radius(w)
        low = _rounded_inward((w - reach).to(self.dtype), w, reach)
        return low, _rounded_inward((w + reach).to(self.dtype), w, reach)

    def _filled(
        self, of_block: Callable[[slice, Tensor, Tensor], Tensor], shape: torch.Size | None = None
    ) -> Tensor:
        """Return a tensor of shape (..., P), filled block by block; of a small box the block."""
        if not self.is_large:
            return of_block(slice(None), *self._kept)
        filled = self.center.new_empty(
            self.center.shape if shape is None else shape, dtype=self.dtype
        )
        for block, low, high in self.blocks():
            filled[..., block] = of_block(block, low, high)
        return filled


def radius(weights: Tensor, alpha: float, offset: float = 1.0, relative: float = 1.0) -> Tensor:
    """Return rᵢ = α(relative |wᵢ| + offset)."""
    return alpha * (relative * weights.abs() + offset)


def box(
    weights: Tensor,
    alpha: float,
    dtype: torch.dtype = torch.float32,
    offset: float = 1.0,
    relative: float = 1.0,
) -> Box:
    """Return the box around `weights`, shape (P,) in float64, with its faces in `dtype`.

    Raise ValueError if alpha is negative, or so small that `dtype` has no points in the box.
    """
    if not alpha >= 0:
        raise ValueError(f"alpha is {alpha}; it has to be 0 or more")
    within = Box(weights, alpha, dtype, offset, relative)
    for _ in within.blocks():  # each has points in the precision
        pass
    return within


def _rounded_inward(face: Tensor, weights: Tensor, reach: Tensor) -> Tensor:
    """Move a face towards w, one unit in the last place at a time, until it is in the box."""
    target = weights.to(face.dtype)
    while bool((outside := (face.double() - weights).abs() > reach).any()):
        moved = torch.where(outside, torch.nextafter(face, target), face)
        if bool((moved == face)[outside].any()):
            raise ValueError(f"{face.dtype} has no point in the box; take float64")
        face = moved
    return face
