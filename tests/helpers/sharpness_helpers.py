"""Make small networks with examples for the tests of sharpness."""

import torch
from torch import nn

from gentool.data.examples import Examples
from gentool.sharpness.functional import functional_network
from gentool.sharpness.worst_case import SearchOptions, WorstCaseSearch


def examples(images, labels):
    """Return examples whose images are used as they are."""
    channels = images.shape[1]
    return Examples(images, labels, torch.zeros(channels, 1, 1), torch.ones(channels, 1, 1))


def linear_case(seed):
    """Return a random linear softmax model of 6 to 15 parameters, with its examples."""
    generator = torch.Generator().manual_seed(seed)
    classes = 2 + seed % 4
    inputs = 2 + seed // 4 % (15 // classes - 2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes))
    scale = (0.1, 1.0, 3.0)[seed % 3]
    for parameter in model.parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    images = torch.randn(10 + 7 * (seed % 5), 1, 1, inputs, generator=generator)
    labels = torch.randint(classes, (len(images),), generator=generator)
    if seed % 2:  # half of them at zero training error
        labels = model(images).argmax(dim=1)
    return functional_network(model, (1, 1, inputs)), examples(images, labels)


def mlp_case(hidden=12, classes=3, inputs=6, images=80, seed=0, scale=1.0):
    """Return a random MLP with biases, and examples that it classifies correctly."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes)
    )
    for parameter in model.parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=generator) / 2
    batch = torch.randn(images, 1, 1, inputs, generator=generator)
    return model, examples(batch, model(batch).argmax(dim=1))


def find(case, alpha, **options):
    """Return the result of a search for a model with its examples."""
    model, data = case
    perturbed = model
    if isinstance(model, nn.Module):
        perturbed = functional_network(model, tuple(data.images.shape[1:]))
    return WorstCaseSearch(perturbed, data, SearchOptions(batching="vmap", **options)).find(alpha)
