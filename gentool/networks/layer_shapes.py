"""Find the shapes of the inputs and outputs of a network's layers by one pass of zeros."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gentool.common.errors import GentoolError

LARGEST_SQUARE = 256
Shape = tuple[int, ...]


class LayerShapes(NamedTuple):
    """Hold the shapes of one example, without the batch dimension, before and after a layer."""

    name: str
    in_shape: Shape
    out_shape: Shape


def layer_shapes(
    model: nn.Module, input_shape: Shape, names: Sequence[str] | None = None
) -> list[LayerShapes]:
    """Return the shapes around each layer (a module without submodules) in the order of the calls.

    A layer that is called twice is there twice. `names` are those of the calls, in their order;
    without them each layer has the name of its module. On the meta device only shapes are computed.

    Raise GentoolError, naming the layer and its options, if one does not accept its input.
    """
    weight = next(model.parameters(), torch.zeros(0))
    example = torch.zeros(1, *input_shape, dtype=weight.dtype, device=weight.device)
    return shapes_and_outputs(model, example, names)[0]


def shapes_and_outputs(
    model: nn.Module, images: Tensor, names: Sequence[str] | None = None
) -> tuple[list[LayerShapes], Tensor]:
    """Return the shapes around each layer as `layer_shapes` does, and the outputs for the images.

    Raise GentoolError like `layer_shapes`.
    """
    leaves = {leaf: name for name, leaf in model.named_modules() if not any(leaf.children())}
    shapes: list[LayerShapes] = []
    latest = "the first", model, tuple(images.shape[1:])

    def enter(leaf: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal latest
        name = leaves[leaf] if names is None else names[len(shapes)]
        latest = name, leaf, tuple(inputs[0].shape[1:])

    def leave(_leaf: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shapes.append(LayerShapes(latest[0], latest[2], tuple(output.shape[1:])))

    hooks = [leaf.register_forward_pre_hook(enter) for leaf in leaves]
    hooks += [leaf.register_forward_hook(leave) for leaf in leaves]
    try:
        with torch.inference_mode():
            outputs = model(images)
    except (RuntimeError, ValueError, IndexError) as error:
        name, module, shape = latest
        words = "x".join(map(str, shape))
        raise GentoolError(
            f"layer {name!r} ({module}) does not accept an input of shape {words}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return shapes, outputs


def some_shape(model: nn.Module) -> Shape:
    """Return the shape of some images that a network accepts: vectors, or squares up to 256x256.

    It serves to compute what does not depend on the size of the images. Raise GentoolError if the
    network accepts none.
    """
    weights = (layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
    first = next(weights, None)
    if first is None:
        raise GentoolError("the network has no convolution and no linear layer")
    if isinstance(first, nn.Linear):
        return (1, 1, first.in_features)
    for side in (32, 64, 128, 224, *range(1, LARGEST_SQUARE + 1)):
        shape = (first.in_channels, side, side)
        try:
            layer_shapes(model, shape)
        except GentoolError:
            continue
        return shape
    raise GentoolError(
        f"the network accepts no square images up to {LARGEST_SQUARE}x{LARGEST_SQUARE}; name the "
        f"size of its images with --input-shape, as --input-shape {first.in_channels}x32x48"
    )


def output_shapes(model: nn.Module, input_shape: Shape) -> dict[str, Shape]:
    """Return the shape of the output of each layer by its name; see `layer_shapes`.

    `model` may be on the meta device. It is left in evaluation mode.
    """
    return {name: shape for name, _, shape in layer_shapes(model.eval(), input_shape)}
