"""Compute logits at many points: networks of one architecture that differ in their parameters.

They run one by one in a loop, together under `vmap` (compiled or not), or, if they are MLPs,
stacked: in batched products with a hand-written backward pass. There weights are views of the
points, gradients are written into views of one tensor, and none is computed for the images; `vmap`
and autograd would add more time than the products take.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from gentool.networks.class_logits import class_logits
from gentool.numerics.compiled import compiled
from gentool.sharpness.functional import FunctionalNetwork

QUICK_BATCHINGS = ("loop", "vmap", "stacked")
BATCHINGS = (*QUICK_BATCHINGS, "compiled")  # compiling takes a minute: only when asked for


def batchings_of(network: FunctionalNetwork) -> tuple[str, ...]:
    """Return the ways to batch points of a network; stacked is for MLPs only."""
    return tuple(name for name in BATCHINGS if network.mlp_layers or name != "stacked")


def logits_at(network: FunctionalNetwork, points: Tensor, images: Tensor, batching: str) -> Tensor:
    """Return logits (k, n, classes) at points of shape (k, P), differentiable once.

    The images are the same for all points, (n, C, H, W), or different ones, (k, n, C, H, W).
    """
    if batching == "stacked":
        x = images.flatten(-3)
        return class_logits(_Stacked.apply(points, x.expand(len(points), *x.shape[-2:]), network))
    if batching == "compiled":
        return _compiled(network)(points, images)
    named, are_own = network.named(points), images.dim() == 5

    def logits_of(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(network.module, weights, (x,))

    if batching == "vmap" and len(points) > 1:
        return vmap(logits_of, (0, 0 if are_own else None))(named, images)
    logits = [
        logits_of({name: W[k] for name, W in named.items()}, images[k] if are_own else images)
        for k in range(len(points))
    ]
    return torch.stack(logits)


@lru_cache(maxsize=2)  # a network in its two precisions
def _compiled(network: FunctionalNetwork) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a compiled function from points and images to logits."""

    def vmapped(points: Tensor, images: Tensor) -> Tensor:
        return logits_at(network, points, images, "vmap")

    return compiled(vmapped)


class _Stacked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, points: Tensor, x: Tensor, network: FunctionalNetwork) -> Tensor:  # noqa: ANN001 torch's
        named, kept = network.named(points), [x]
        for name, has_relu in network.mlp_layers:
            W, b = named[f"{name}.weight"], named.get(f"{name}.bias")
            x = torch.bmm(x, W.mT) if b is None else torch.baddbmm(b[:, None], x, W.mT)
            kept.append(x.relu_() if has_relu else x)
        ctx.network = network
        ctx.save_for_backward(points, *kept)
        return x

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN001 torch's
        points, *kept = ctx.saved_tensors
        gradients = torch.empty_like(points, memory_format=torch.contiguous_format)
        named, into = ctx.network.named(points), ctx.network.named(gradients)
        layers = list(zip(ctx.network.mlp_layers, kept[:-1], kept[1:], strict=True))
        for i, ((name, has_relu), x, output) in reversed(list(enumerate(layers))):
            if has_relu:
                g = torch.ops.aten.threshold_backward(g, output, 0)  # as autograd does
            torch.bmm(g.mT, x, out=into[f"{name}.weight"])
            if f"{name}.bias" in into:
                torch.sum(g, dim=1, out=into[f"{name}.bias"])
            if i > 0:
                g = torch.bmm(g, named[f"{name}.weight"])
        return gradients, None, None
