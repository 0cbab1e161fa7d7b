"""Check that a module and the layers that were found in it compute the same function."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gentool.common.errors import GentoolError

TOLERANCE = 1e-8  # of the largest output, in float64


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy, also of a module whose weights a hook computes from parameters.

    Such a weight is an attribute with a graph, which cannot be copied; the hook computes it anew.
    Raise GentoolError if the module cannot be copied.
    """
    memo: dict[int, object] = {}
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                memo[id(value)] = value.detach().clone()
    try:
        return copy.deepcopy(model, memo)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise GentoolError(f"{type(model).__name__} cannot be copied: {reason}") from error


def _on_one_device(model: nn.Module) -> nn.Module:
    """Return a module without the wrappers of parallel training in it, which want GPUs."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.DataParallel | nn.parallel.DistributedDataParallel):
                setattr(module, name, child.module)
    return model


def check_same_function(
    model: nn.Module, layers: Callable[[Tensor], Tensor], input_shape: tuple[int, int, int]
) -> None:
    """Raise GentoolError if a module and its layers have different outputs on random images.

    Steps that the list of layers lacks show here. Both take images in float64, and the module runs
    in evaluation mode.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, *input_shape, generator=generator, dtype=torch.float64)
    reference = _on_one_device(copied(model)).to("cpu", torch.float64).eval()
    with torch.inference_mode():
        expected, outputs = reference(images), layers(images)
    if not bool(expected.isfinite().all()):
        return  # NaN or infinite weights cannot be compared; the measures report them
    scale = expected.abs().amax().clamp_min(torch.finfo(torch.float64).tiny)
    is_same = outputs.shape == expected.shape
    if not is_same or bool((outputs - expected).abs().amax() > TOLERANCE * scale):
        raise GentoolError(
            f"{type(model).__name__} computes something that its layers do not account for; "
            "make every step of its forward pass a module of torch.nn"
        )
