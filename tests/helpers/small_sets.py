"""Small recipes and sets of random images, for the tests of training, and training in float64."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from gentool.data.examples import Examples, TrainingSet
from gentool.networks.models import with_defaults
from gentool.records.recipe import Recipe

CPU = torch.device("cpu")


# What rounding alone may make of a network that is computed or trained in two ways in float64,
# relative to the largest number of each tensor. A sum of n terms is off by n u of their sizes,
# u = 1.1e-16, and n is below 2000 in the tests. What is left, 5e3, is for layers and training
# steps, which make a difference grow. Any other difference is one of the first digits.
ROUNDING = 1e-9


@contextmanager
def in_float64() -> Iterator[None]:
    """Train in float64: networks and images.

    Two orders of summation differ by rounding. In float32 training makes that grow to 1e-5 and
    more, and a unit whose input is near 0 may be on in one way and off in the other: how far it
    goes depends on the processor. In float64 it stays below ROUNDING on each.
    """
    single = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for method in (Examples.batch, Examples.batches):
                patch.setattr(method, "__defaults__", (torch.float64,))
            yield
    finally:
        torch.set_default_dtype(single)


def difference(one, other):
    """The largest difference of two state dicts, relative to the largest number of each tensor."""
    assert one.keys() == other.keys()
    pairs = [(value.double(), other[name].double()) for name, value in one.items()]
    parts = [(a - b).abs().max() / a.abs().max() for a, b in pairs]
    return float(torch.stack(parts).max())  # NaN where one of them is, which is below nothing


def recipe(model="mlp", input_shape=(1, 4, 4), **options):
    shape = {
        k: options.pop(k) for k in ("hidden", "width", "dropout", "batch_norm") if k in options
    }
    return Recipe(
        model=model,
        input_shape=input_shape,
        classes=3,
        lr=0.1,
        **with_defaults(model, shape),
        **options,
    )


def examples(n, input_shape=(1, 4, 4), seed=0):
    """Random images with random labels of three classes, mean 0 and standard deviation 1."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, *input_shape, generator=generator)
    labels = torch.randint(3, (n,), generator=generator)
    return Examples(images, labels, torch.zeros(1, 1, 1), torch.ones(1, 1, 1))


def sets(n=60, confusion=0, **options):
    return TrainingSet(
        examples(n, **options),
        examples(confusion, seed=1, **options),
        examples(20, seed=2, **options),
    )


def same(one, other):
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)
