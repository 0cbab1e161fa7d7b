"""Compute the weights that a file holds as a formula: weight norm, spectral norm, pruning masks.

Each is computed as torch computes it in evaluation mode, where spectral norm keeps its vectors.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gentool.common.errors import GentoolError

Formula = Callable[..., Tensor]


def _weight_norm(g: Tensor, v: Tensor) -> Tensor:
    """Return w = g v/‖v‖; the norm is over the dimensions in which g has size 1."""
    if g.dim() == 0:
        return v * (g / v.norm())
    kept = [index for index, size in enumerate(g.shape) if size > 1]
    if g.dim() != v.dim() or len(kept) > 1 or any(g.shape[i] != v.shape[i] for i in kept):
        raise GentoolError(f"g has shape {tuple(g.shape)}, v has shape {tuple(v.shape)}")
    return (
        torch._weight_norm(v, g, kept[0] if kept else 0)
        if kept or v.shape[0] == 1
        else (v * (g / v.norm()))
    )


def _spectral_norm(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return W/σ with σ = uᵀ W v; the rows of W are the outputs."""
    matrix = weight.flatten(1) if weight.dim() > 1 else weight[:, None]
    if u.shape != matrix.shape[:1] or v.shape != matrix.shape[1:]:
        raise GentoolError(
            f"the weight has shape {tuple(weight.shape)}, its vectors {tuple(u.shape)} and "
            f"{tuple(v.shape)}"
        )
    return weight / torch.dot(u, torch.mv(matrix, v))


def _pruned(weight: Tensor, mask: Tensor) -> Tensor:
    """Return the weight where the mask is 1."""
    if weight.shape != mask.shape:
        raise GentoolError(
            f"the weight has shape {tuple(weight.shape)}, its mask {tuple(mask.shape)}"
        )
    return mask.to(weight.dtype) * weight


_FORMULAS: list[tuple[str, tuple[str, ...], Formula]] = [
    ("weight norm", ("{}_g", "{}_v"), _weight_norm),
    (
        "weight norm",
        ("parametrizations.{}.original0", "parametrizations.{}.original1"),
        _weight_norm,
    ),
    ("spectral norm", ("{}_orig", "{}_u", "{}_v"), _spectral_norm),
    (
        "spectral norm",
        (
            "parametrizations.{}.original",
            "parametrizations.{}.0._u",
            "parametrizations.{}.0._v",
        ),
        _spectral_norm,
    ),
    ("pruning", ("{}_orig", "{}_mask"), _pruned),
]
"""The name of each formula, and the tensors that it takes, {} for weight or bias."""


def with_formulas(
    tensors: dict[str, Tensor], checked: Callable[[str, Tensor], Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors with each formula replaced by the weight, and what was computed in words.

    The weight takes the place of the first of its parts. `checked` returns a tensor that may be
    used, or raises. Raise GentoolError, naming the tensor, if shapes do not fit, or if a weight is
    given by another formula.
    """
    parts: dict[str, str] = {}
    weights: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    for layer in dict.fromkeys(_layer_of(name) for name in tensors):
        for leaf in ("weight", "bias"):
            for formula, patterns, compute in _FORMULAS:
                names = [f"{layer}{pattern.format(leaf)}" for pattern in patterns]
                target = f"{layer}{leaf}"
                if not all(name in tensors for name in names) or target in tensors:
                    continue
                if any(name in parts for name in names):
                    raise GentoolError(f"the weight {target!r} is given by two formulas")
                try:
                    weights[target] = compute(*(checked(name, tensors[name]) for name in names))
                except (GentoolError, RuntimeError) as error:
                    words = str(error).splitlines()[0]
                    raise GentoolError(
                        f"the {formula} of {target!r} is damaged: {words}"
                    ) from error
                parts |= dict.fromkeys(names, target)
                counts[formula] = counts.get(formula, 0) + 1
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        target = parts.get(name, name)
        if name not in parts and "parametrizations." in name:
            raise GentoolError(
                f"tensor {name!r} is of a parametrization, a formula for a weight, other than "
                "weight norm and spectral norm; remove_parametrizations() before saving"
            )
        result.setdefault(target, weights[target] if name in parts else tensor)
    words = [
        f"{formula} of {count} weight{'s' * (count > 1)} computed as in evaluation mode"
        for formula, count in counts.items()
    ]
    return result, words


def _layer_of(name: str) -> str:
    """Return the name of the layer that a tensor belongs to, with its dot; empty for none."""
    head, _, _ = name.partition("parametrizations.")
    if head != name:
        return head
    return name[: name.rfind(".") + 1]
