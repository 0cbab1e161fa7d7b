"""Represent the box |νᵢ| ≤ α(|wᵢ| + 1) by the points w + ν that floating point has in it.

The trap avoided here: w + α(|w| + 1), rounded to float32, can lie outside of the box. The faces are
rounded inward once, so that every point made from them is inside by construction; `contains` checks
it in float64 all the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Box:
    """Hold the faces of the box of points w + ν with |νᵢ| ≤ α(relative |wᵢ| + offset).

    `center` is w, in float64; `low` and `high` are the outermost points in the box, in the
    precision of the search. All have shape (P,). The offset is 1, or 0 to let each parameter move
    in proportion to its magnitude alone; `relative` is 1, or 0 to let all move by α.
    """

    center: Tensor
    alpha: float
    low: Tensor
    high: Tensor
    offset: float = 1.0
    relative: float = 1.0

    @property
    def radius(self) -> Tensor:
        """r, shape (P,), float64."""
        return radius(self.center, self.alpha, self.offset, self.relative)

    def corner(self, signs: Tensor) -> Tensor:
        """Return the corners that `signs` name, bool of shape (..., P), True where νᵢ = +rᵢ."""
        return torch.where(signs, self.high, self.low)

    def project(self, points: Tensor) -> Tensor:
        """Return the nearest points of the box, for points of shape (..., P)."""
        return points.clamp(self.low, self.high)

    def contains(self, point: Tensor) -> bool:
        """Return whether a point, shape (P,), is in the box, computed in float64."""
        return bool(((point.double() - self.center).abs() <= self.radius).all())


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
    reach = radius(weights, alpha, offset, relative)
    low = _rounded_inward((weights - reach).to(dtype), weights, reach)
    high = _rounded_inward((weights + reach).to(dtype), weights, reach)
    return Box(weights, alpha, low, high, offset, relative)


def _rounded_inward(face: Tensor, weights: Tensor, reach: Tensor) -> Tensor:
    """Move a face towards w, one unit in the last place at a time, until it is in the box."""
    target = weights.to(face.dtype)
    while bool((outside := (face.double() - weights).abs() > reach).any()):
        moved = torch.where(outside, torch.nextafter(face, target), face)
        if bool((moved == face)[outside].any()):
            raise ValueError(f"{face.dtype} has no point in the box; take float64")
        face = moved
    return face
