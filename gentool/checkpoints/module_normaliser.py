"""Take the normalising layer off the input of the user's own module: it is a mean and a deviation.

Robustness code has it in front of the network, with buffers or as torchvision's `Normalize`. What
such a module computes is found by calling it, and proved on random images.
"""

import torch
from torch import Tensor, nn

from gentool.checkpoints.foreign.set_aside import Normalisation
from gentool.common.errors import UsageError
from gentool.networks.same_function import check_same_function, copied
from gentool.networks.tracing import is_known

Numbers = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation of each channel."""
TOLERANCE = 1e-6  # of a value in float64: float32 buffers are applied as they are


def without_normaliser(
    model: nn.Module, input_shape: tuple[int, int, int] | None
) -> Normalisation | None:
    """Replace the module that normalises the input by the identity, and return its numbers.

    Return None, and leave the module as it is, if it has none. Raise UsageError if the input shape
    has to be named, GentoolError if other code of the module changes the images, too.
    """
    candidates = [
        name
        for name, module in model.named_modules()
        if name and not is_known(module) and not any(True for _ in module.parameters())
        if not any(True for _ in module.children())
    ]
    if not candidates:
        return None
    shape = input_shape or _vector_shape(model)
    for name in candidates:
        numbers = _numbers(model.get_submodule(name), shape)
        if numbers is not None and _takes_the_images(model, name, shape):
            _replace(model, name, numbers, shape)
            return Normalisation(name, *numbers, where="module")
    return None


def _replace(model: nn.Module, name: str, numbers: Numbers, shape: tuple[int, int, int]) -> None:
    """Replace a module by the identity; raise GentoolError if that leaves another function."""
    reference = copied(model).double().eval()
    model.set_submodule(name, nn.Identity())
    rest = copied(model).double().eval()
    mean, std = (torch.tensor(part).double().reshape(-1, 1, 1) for part in numbers)
    check_same_function(reference, lambda images: rest((images - mean) / std), shape)


def _takes_the_images(model: nn.Module, name: str, shape: tuple[int, int, int]) -> bool:
    """Return whether a part of a module is called with the images themselves."""
    images, inputs = torch.ones(1, *shape, dtype=torch.float64), []
    copy = copied(model).double().eval()
    copy.get_submodule(name).register_forward_pre_hook(lambda _, given: inputs.extend(given))
    with torch.inference_mode():
        try:
            copy(images)
        except Exception:  # the user's code; what is wrong is told when it is traced
            return False
    return len(inputs) == 1 and inputs[0] is images


def _numbers(module: nn.Module, shape: tuple[int, int, int]) -> Numbers | None:
    """Return mean and deviation of each channel if a module computes (x - mean) / std, or None.

    A module that has no effect and no buffers either, as noise in evaluation mode, says nothing
    about the images; one with a mean of 0 and a deviation of 1 says that they are not normalised.
    """
    module = copied(module).double().eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    try:
        with torch.inference_mode():
            shift, ones, out = map(module, (images * 0, images * 0 + 1, images))
    except Exception:  # the user's code, called with what may not be its input
        return None
    if not all(isinstance(part, Tensor) and part.shape == images.shape for part in (shift, out)):
        return None
    scale = ones - shift
    by_channel = [part[:1].amax((0, 2, 3)) for part in (shift, scale)]
    expected = images * by_channel[1].reshape(-1, 1, 1) + by_channel[0].reshape(-1, 1, 1)
    if not bool((by_channel[1] > 0).all()) or not torch.allclose(out, expected, rtol=TOLERANCE):
        return None
    std = 1 / by_channel[1]
    mean = -by_channel[0] * std
    if torch.equal(out, images) and not (module.state_dict() or hasattr(module, "mean")):
        return None
    return tuple(mean.tolist()), tuple(std.tolist())


def _vector_shape(model: nn.Module) -> tuple[int, int, int]:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            return (1, 1, module.in_features)
        if isinstance(module, nn.Conv2d):
            break
    raise UsageError("the size of the images is unknown; name it with --input-shape, as 3x32x32")
