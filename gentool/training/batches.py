"""Divide examples into batches, in the form that training steps gather them from."""

import math

from torch import Tensor, nn

from gentool.common.errors import GentoolError
from gentool.data.examples import Examples
from gentool.networks.layer_shapes import output_shapes
from gentool.networks.models import build
from gentool.records.recipe import Recipe


def in_batches(order: Tensor, size: int) -> tuple[Tensor, ...]:
    """Split indices into batches of nearly equal size, along the last dimension.

    A last batch of a single image would have no variance for batch norm.
    """
    return order.tensor_split(math.ceil(order.shape[-1] / size), dim=-1)


def check_batches(recipe: Recipe, images: int) -> None:
    """Raise GentoolError if batch norm would have to take the variance of a single number."""
    if not recipe.batch_norm or images // math.ceil(images / recipe.batch_size) > 1:
        return
    model = build(recipe)
    shapes = output_shapes(model.eval(), recipe.input_shape)
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    if any(
        isinstance(model.get_submodule(name), norms) and math.prod(shape[1:]) == 1
        for name, shape in shapes.items()
    ):
        remedy = "--batch-size 2 or more" if recipe.batch_size < 2 else "more images"
        raise GentoolError(
            f"batch norm needs two images in each batch, but {images} in batches of "
            f"{recipe.batch_size} leave one alone; take {remedy}, or --batch-norm none"
        )


def as_gathered(examples: Examples, is_convolutional: bool) -> Examples:
    """Return examples in the form that training steps gather batches from.

    They are normalised at once, except for convolutions on a GPU: there uint8 images take a quarter
    of the memory, and each step normalises its batch.
    """
    if not is_convolutional:
        return examples.normalised()
    on_gpu = examples.labels.device.type == "cuda"
    return (examples if on_gpu else examples.normalised()).channels_last()
