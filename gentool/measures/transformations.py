"""Write a network in other ways that leave its function, or all that matters of it, as it is.

Each transformation returns the measured network written anew: the same logits for every image, up
to rounding, or the same images and classes under other numbers. Seeded draws choose among the many
of a kind.
"""

import copy
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from gentool.data.examples import Examples, TrainingSet
from gentool.measures.measured import Measured, Undefined
from gentool.networks.canonical import Layer, Network, canonical
from gentool.networks.tracing import is_homogeneous

FACTORS = {"rescaling_up": 10.0, "rescaling_down": 0.1}
Transformation = Callable[[Measured, torch.Generator], Measured]


def rescaled(net: Measured, factor: float) -> Measured:
    """Multiply the first weight layer by a factor, and divide the last one by it.

    The biases between are multiplied, too. Raise Undefined unless every activation is positively
    homogeneous, and for a single layer.
    """
    if len(net.layers) < 2:
        raise Undefined("a network of one weight layer has none to rescale against")
    if not all(map(is_homogeneous, net.network.activations)):
        raise Undefined("an activation is not positively homogeneous")

    def change(modules: list[nn.Module]) -> None:
        modules[0].weight.mul_(factor)
        modules[-1].weight.div_(factor)
        for module in modules[:-1]:
            if module.bias is not None:
                module.bias.mul_(factor)

    return replace(_fresh(net), network=_changed(net.network, change))


def permuted(net: Measured, generator: torch.Generator) -> Measured:
    """Put the units of each hidden layer in another order, channels as a whole."""
    if len(net.layers) < 2:
        raise Undefined("a network of one weight layer has no hidden units")
    if any(getattr(layer.module, "groups", 1) != 1 for layer in net.layers):
        raise Undefined("a convolution in groups ties its channels together")
    orders = [torch.randperm(layer.channels, generator=generator) for layer in net.layers[:-1]]

    def change(modules: list[nn.Module]) -> None:
        for before, after, order in zip(modules, modules[1:], orders, strict=False):
            order = order.to(before.weight.device)
            for parameter in before.parameters():
                parameter.copy_(parameter[order].clone())
            of_channels = after.weight.unflatten(1, (len(order), -1))
            after.weight.copy_(of_channels[:, order].reshape(after.weight.shape).clone())

    return _with_both(net, change)


def apart(net: Measured, generator: torch.Generator) -> Measured:
    """Write a batch norm after each weight layer, with statistics that undo the change of it.

    Raise Undefined for a layer without biases, which a batch norm would add.
    """
    if any(layer.module.bias is None for layer in net.layers):
        raise Undefined("a layer has no biases, and a batch norm would add them")
    net.check_size()
    steps: list[tuple[str, nn.Module]] = []
    for i, layer in enumerate(net.network.layers):
        module = copy.deepcopy(layer.module)
        steps.append((f"layer{i}", module))
        if layer.has_weight:
            norm = nn.BatchNorm2d if isinstance(module, nn.Conv2d) else nn.BatchNorm1d
            steps.append((f"norm{i}", _taken_off(module, norm, generator)))
    module = nn.Sequential(OrderedDict(steps)).eval()
    network = canonical(module, net.network.input_shape).to(net.network.device)
    named = [
        replace(layer, name=old.name)
        for layer, old in zip(network.layers, net.network.layers, strict=True)
    ]
    return replace(_fresh(net), network=replace(network, layers=tuple(named)))


def reordered(net: Measured, generator: torch.Generator) -> Measured:
    """Put the training images in another order."""
    if net.margins is None:
        raise Undefined("there is no data")
    order = torch.randperm(len(net.margins), generator=generator).to(net.margins.device)
    sets = None
    if net.sets is not None:
        others = torch.randperm(len(net.sets.confusion), generator=generator).to(order.device)
        sets = _with_labels_and_order(net.sets, order, others)
    return replace(_fresh(net), margins=net.margins[order], sets=sets)


def in_small_batches(net: Measured, generator: torch.Generator) -> Measured:
    """Compute with 7 images at a time at most."""
    if net.margins is None:
        raise Undefined("there is no data")
    return replace(_fresh(net), most_images=7)


def relabelled(net: Measured, generator: torch.Generator) -> Measured:
    """Give the classes other numbers: outputs and labels in another order."""
    last = net.network.layers[-1]
    if not isinstance(last.module, nn.Linear) or net.network.classes < 2:
        raise Undefined("the last layer is no linear layer of two classes or more")
    order = torch.randperm(net.network.classes, generator=generator).to(net.network.device)

    def change(modules: list[nn.Module]) -> None:
        for parameter in modules[-1].parameters():
            parameter.copy_(parameter[order].clone())

    changed = _with_both(net, change)
    if net.sets is None:
        return changed
    places = order.argsort()  # class c is output places[c] now
    return replace(changed, sets=_with_labels_and_order(net.sets, labels=places))


TRANSFORMATIONS: dict[str, tuple[str, Transformation]] = {
    "rescaling_up": (
        "first weight layer times 10, last one divided by 10",
        lambda net, generator: rescaled(net, FACTORS["rescaling_up"]),
    ),
    "rescaling_down": (
        "first weight layer divided by 10, last one times 10",
        lambda net, generator: rescaled(net, FACTORS["rescaling_down"]),
    ),
    "permutation": ("units of each hidden layer in another order", permuted),
    "batch_norm": ("batch norm written after each weight layer, to be folded in", apart),
    "data_order": ("training images in another order", reordered),
    "batch_size": ("seven images at a time", in_small_batches),
    "classes": ("classes under other numbers", relabelled),
}
"""By name: what is done, in words, and the function that does it."""


def logits_agree(before: Network, after: Network, tolerance: float = 1e-6) -> bool:
    """Return whether two networks have the same logits, sorted, on random images."""
    shape = before.input_shape or before.layers[0].in_shape
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, *shape, generator=generator, dtype=torch.float64).to(before.device)
    one, other = (network(images).sort(dim=1).values for network in (before, after))
    return bool((one - other).abs().max() <= tolerance * max(1.0, float(one.abs().max())))


def _fresh(net: Measured) -> Measured:
    """Return a measured network for which nothing has been computed yet."""
    return replace(net, of_layers={}, shared={})


def _with_both(net: Measured, change: Callable[[list[nn.Module]], None]) -> Measured:
    """Return a measured network with a change of its weights, and of the initial ones alike."""

    def initial() -> Network | None:
        before = net.initial()
        return None if before is None else _changed(before, change)

    return replace(_fresh(net), network=_changed(net.network, change), initial=initial)


@torch.no_grad()
def _changed(network: Network, change: Callable[[list[nn.Module]], None]) -> Network:
    """Return a network with its weight layers changed in place, as copies."""
    layers = [
        Layer(layer.name, copy.deepcopy(layer.module), layer.in_shape, layer.out_shape)
        for layer in network.layers
    ]
    change([layer.module for layer in layers if layer.has_weight])
    return replace(network, layers=tuple(layers))


@torch.no_grad()
def _taken_off(
    module: nn.Module, norm_type: type[nn.Module], generator: torch.Generator
) -> nn.Module:
    """Return a batch norm after a layer, which is changed so that both are as it was."""
    units = len(module.weight)
    norm = norm_type(units).to(module.weight).eval()
    draws = torch.rand(4, units, generator=generator, dtype=torch.float64).to(module.weight)
    norm.weight.copy_(0.5 + draws[0])
    norm.bias.copy_(draws[1] - 0.5)
    norm.running_mean.copy_(draws[2] - 0.5)
    norm.running_var.copy_(0.5 + draws[3])
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    module.weight.div_(scale.reshape(-1, *[1] * (module.weight.dim() - 1)))
    module.bias.copy_((module.bias - norm.bias) / scale + norm.running_mean)
    return norm


def _with_labels_and_order(
    sets: TrainingSet,
    order: Tensor | None = None,
    confusion: Tensor | None = None,
    labels: Tensor | None = None,
) -> TrainingSet:
    """Return a training set in another order, with other numbers of its classes."""

    def changed(examples: Examples, indices: Tensor | None) -> Examples:
        chosen = examples.labels if indices is None else examples.labels[indices]
        images = examples.images if indices is None else examples.images[indices]
        return replace(examples, images=images, labels=chosen if labels is None else labels[chosen])

    return replace(
        sets, subset=changed(sets.subset, order), confusion=changed(sets.confusion, confusion)
    )


def factor(before: float | None, after: float | None, logs: Sequence[float | None]) -> float | None:
    """Return after / before, from their log10 where they are positive; None if there is none."""
    if None not in logs:
        exponent = logs[1] - logs[0]
        return 10**exponent if abs(exponent) < 300 else None
    if before is None or after is None:
        return None
    if before == after:
        return 1.0
    return after / before if before != 0 and math.isfinite(after / before) else None
