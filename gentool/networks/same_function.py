"""Copy a module, and check that its layers compute the same function as the module.

The trap avoided: of a network of 138 million weights each further copy, and each pass over large
images, takes longer than most measures do.
"""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gentool.common.errors import GentoolError

TOLERANCE = 1e-8  # of the largest output, in float64
LARGE_IMAGE = 2**8  # pixels from which one random image is compared, below it two


def copied(model: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
    """Return a deep copy, also of a module whose weights a hook computes from parameters.

    Such a weight is an attribute with a graph, which cannot be copied; the hook computes it anew.
    With a `dtype` the copy is on the CPU in that precision, each parameter copied once. Raise
    GentoolError if the module cannot be copied.
    """
    if dtype is None:
        return _copied(model, lambda numbers: numbers.clone())

    def converted(numbers: Tensor) -> Tensor:
        kind = dtype if numbers.is_floating_point() else numbers.dtype
        return numbers.to("cpu", kind, copy=True)

    return _copied(model, converted).to("cpu", dtype)


def without_numbers(model: nn.Module) -> nn.Module:
    """Return a deep copy with its parameters on the meta device, to list its layers."""
    return _copied(model, lambda numbers: numbers.to("meta"))


def _copied(model: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    """Return a deep copy with the numbers of each plain parameter converted."""
    memo: dict[int, object] = {}
    try:
        for parameter in model.parameters():
            if type(parameter) is nn.Parameter:
                numbers = convert(parameter.detach())
                memo[id(parameter)] = nn.Parameter(numbers, parameter.requires_grad)
        for module in model.modules():
            for value in vars(module).values():
                if isinstance(value, Tensor) and value.grad_fn is not None:
                    memo[id(value)] = value.detach().clone()
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
    images = random_images(input_shape)
    with torch.inference_mode():
        outputs = layers(images)
    check_same_outputs(copied(model, torch.float64).eval(), images, outputs)


def random_images(input_shape: tuple[int, ...]) -> Tensor:
    """Return the random images, float64, on which a module and its layers are compared."""
    generator = torch.Generator().manual_seed(0)
    count = 1 if math.prod(input_shape[1:]) > LARGE_IMAGE else 2
    return torch.randn(count, *input_shape, generator=generator, dtype=torch.float64)


def check_same_outputs(reference: nn.Module, images: Tensor, outputs: Tensor) -> None:
    """Raise GentoolError unless a module in float64, in evaluation mode, has these outputs."""
    with torch.inference_mode():
        expected = _on_one_device(reference)(images)
    if not bool(expected.isfinite().all()):
        return  # NaN or infinite weights cannot be compared; the measures report them
    scale = expected.abs().amax().clamp_min(torch.finfo(torch.float64).tiny)
    is_same = outputs.shape == expected.shape
    if not is_same or bool((outputs - expected).abs().amax() > TOLERANCE * scale):
        raise GentoolError(
            f"{type(reference).__name__} computes something that its layers do not account for; "
            "make every step of its forward pass a module of torch.nn"
        )
