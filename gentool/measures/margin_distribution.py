"""Measure the distribution of the margins' distances at the input and at hidden layers.

The distance of an image to the boundary of its class, to first order, is its margin divided by the
norm of the margin's gradient at a layer; the spread of the layer's activations makes it free of
their scale.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from gentool.measures.derivatives import Derivatives
from gentool.measures.measured import Measured, Undefined, margins
from gentool.measures.registry import MEASURES
from gentool.networks.class_logits import class_logits

STATISTICS = {
    "lower_fence": "Lower fence",
    "q1": "First quartile",
    "median": "Median",
    "q3": "Third quartile",
    "upper_fence": "Upper fence",
}
PLACES = {"input": "at the input", "hidden": "at the input of the last weight layer"}


def distances_at(
    at: Derivatives, batches: Iterable[tuple[Tensor, Tensor]], places: Sequence[int]
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return margins and distances of images, and the variances of the activations, at places.

    A place is the number of the layer whose input it is. Margins have shape (m,), distances
    (places, m), variances, of each unit over the images, (units,) for each place.
    """
    of_images, distances, count = [], [], 0
    sums: list[Tensor] = [torch.zeros(())] * len(places)
    squares = list(sums)
    for images, labels in batches:
        inputs: list[Tensor] = []
        with torch.enable_grad():
            x = images.detach().requires_grad_()
            for i, module in enumerate(at.modules):
                if i in places:
                    inputs.append(x)
                x = module(x)
            margin = margins(class_logits(x), labels)
            gradients = torch.autograd.grad(margin.sum(), inputs)
        norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients])
        of_images.append(margin.detach())
        distances.append(margin.detach() / norms)
        for k, activations in enumerate(a.detach().flatten(1) for a in inputs):
            sums[k] = sums[k] + activations.sum(dim=0)
            squares[k] = squares[k] + activations.square().sum(dim=0)
        count += len(labels)
    variances = [
        (square / count - (total / count).square()).clamp(min=0)
        for total, square in zip(sums, squares, strict=True)
    ]
    return torch.cat(of_images), torch.cat(distances, dim=1), variances


def five_numbers(values: Tensor) -> dict[str, float]:
    """Return quartiles, interpolated, and fences of values, by the names of STATISTICS.

    The fences are the smallest and the largest value within 1.5 interquartile ranges of the
    quartiles, as the whiskers of a box plot.
    """
    data = np.sort(values.cpu().numpy())
    q1, median, q3 = np.quantile(data, [0.25, 0.5, 0.75])
    reach = 1.5 * (q3 - q1)
    inside = data[(data >= q1 - reach) & (data <= q3 + reach)]
    numbers = (inside[0], q1, median, q3, inside[-1])
    return dict(zip(STATISTICS, map(float, numbers), strict=True))


def _of_layers(net: Measured) -> list[dict[str, float]]:
    """Return the five numbers at the input of each weight layer, computed once."""
    if "margin distribution" in net.shared:
        return net.shared["margin distribution"]
    examples = net.subset
    net.check_size()
    at = Derivatives(net.network, examples, net.most_images)
    places = [i for i, layer in enumerate(net.network.layers) if layer.has_weight]
    of_images, distances, variances = distances_at(at, at.batches(2), places)
    is_right = of_images > 0
    if not bool(is_right.any()):
        raise Undefined("the network classifies no training image right")
    numbers = []
    for row, variance in zip(distances, variances, strict=True):
        spread = float(variance.sum().sqrt())
        kept = row[is_right]
        if spread == 0 or not bool(kept.isfinite().all()):
            raise Undefined("a layer's activations, or a margin's gradient there, do not vary")
        numbers.append(five_numbers(kept / spread))
    for name in STATISTICS:
        net.of_layers[f"margin_{name}"] = [of_layer[name] for of_layer in numbers]
    net.shared["margin distribution"] = numbers
    return numbers


def _define(place: str, statistic: str) -> None:
    """Register a statistic of the normalised margins at a place."""

    def measure(net: Measured) -> float:
        return _of_layers(net)[0 if place == "input" else -1][statistic]

    measure.__name__, measure.__module__ = f"{place}_margin_{statistic}", __name__
    measure.__doc__ = f"""{STATISTICS[statistic]} of the normalised margins {PLACES[place]}.

        (f_y − f_j) / ‖∇(f_y − f_j)‖₂ / √ν,  j the largest other class, ν = Σ_u Var x_u

    Of training images that are classified right. The gradient is by the activations x of that
    layer, ν their total variance over the images. Fences are the last values within 1.5
    interquartile ranges of the quartiles. margin_{statistic} of each layer is in the table of
    layers. Needs piecewise differentiable activations.
    Jiang et al., Predicting the Generalization Gap with Margin Distributions, ICLR 2019.
    """
    MEASURES.register(cost="gradient", needs=("data", "gradients"), larger="more room")(measure)


for _place in PLACES:
    for _statistic in STATISTICS:
        _define(_place, _statistic)


def first_features(layers: Sequence[nn.Module], weights: Sequence[bool]) -> int:
    """Return the number of the layer after the first weight layer and its activation."""
    first = list(weights).index(True) + 1
    is_activation = first < len(layers) and not weights[first] and _is_elementwise(layers[first])
    return first + 1 if is_activation else first


def _is_elementwise(module: nn.Module) -> bool:
    pools = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten)
    return not isinstance(module, pools)
