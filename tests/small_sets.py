"""Small recipes and sets of random images, for the tests of training."""

import torch

from gentool.models import with_defaults
from gentool.recipe import Recipe
from gentool.training_set import Examples, TrainingSet

CPU = torch.device("cpu")


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
