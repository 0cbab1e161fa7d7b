"""Measure margins and losses on mixed and on augmented training images, as the winners of PGDL.

PGDL is the competition Predicting Generalization in Deep Learning, NeurIPS 2020. The definitions
are those of the winners' paper and code; where the code takes a sample of the images, all are taken
here, and the random draws are repeated until the mean is exact enough.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

from gentool.measures.derivatives import Derivatives
from gentool.measures.margin_distribution import distances_at, first_features, five_numbers
from gentool.measures.measured import Estimate, Measured, Undefined
from gentool.measures.registry import MEASURES
from gentool.measures.sampling import mean_of_draws

CONTRAST = (0.7, 1.0)
ZOOM = (0.85, 0.99)  # side of the central part that is enlarged to the whole image
CUT = 0.05  # of the variances at either end, left out of their mean


@MEASURES.register(cost="gradient", needs=("data", "gradients", "sampling"), larger="more room")
def mixup_margin(net: Measured) -> Estimate:
    """Normalised margins on the means of two images of one class, with _stderr.

        mean of fences and quartiles of (f_y − f_j) / ‖∇(f_y − f_j)‖₂ / √v,  x = (x₁ + x₂) / 2

    x₁ and x₂ are training images of the same label y, drawn anew until the error of the mean is
    below --rel-error; j is the largest other class. Gradients are by the output of the first weight
    layer with its activation; v is the mean over its units of their variances, without the smallest
    and the largest 5 %. Images classified wrongly count with their negative margins.
    Natekar and Sharma, Representation Based Complexity Measures, PGDL at NeurIPS 2020.
    """
    generator = net.generator()
    return _margin_of_draws(net, lambda at: _mixed(at, generator))


@MEASURES.register(cost="gradient", needs=("data", "gradients", "sampling"), larger="more room")
def augmentation_margin(net: Measured) -> Estimate:
    """Normalised margins on augmented training images, with _stderr.

        mean of fences and quartiles of (f_y − f_j) / ‖∇(f_y − f_j)‖₂ / √v,  x = augmented

    As mixup_margin, of each training image flipped from left to right or not, with its contrast
    multiplied by 0.7 to 1, and in half of the cases its central 85 to 99 % enlarged to its size.
    Natekar and Sharma, Representation Based Complexity Measures, PGDL at NeurIPS 2020.
    """
    generator = net.generator()

    def batches(at: Derivatives) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in at.batches(2):
            yield augmented(images, generator), labels

    return _margin_of_draws(net, batches)


@MEASURES.register(cost="data", needs=("data", "sampling"), larger="classes that are less convex")
def mixup_loss(net: Measured) -> Estimate:
    """Mean cross-entropy on the means of two training images of one class, with _stderr.

        E ℓ((x₁ + x₂) / 2, y)

    x₁ and x₂ are training images of the same label y: each image with a partner, drawn anew until
    the error of the mean is below --rel-error.
    Natekar and Sharma, Representation Based Complexity Measures, PGDL at NeurIPS 2020.
    """
    at, generator = _derivatives(net), net.generator()

    def loss() -> float:
        total, w = 0.0, at.weights
        with torch.inference_mode():
            for images, labels in _mixed(at, generator):
                total += float(cross_entropy(at.logits(w, images), labels, reduction="sum"))
        return total / len(at.examples)

    return mean_of_draws(net, loss)


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images (n, C, H, W) flipped, with less contrast, and enlarged, each at random."""
    n = len(images)
    draws = torch.rand(4, n, generator=generator, dtype=images.dtype).to(images.device)
    flip = torch.where(draws[0] < 0.5, -1.0, 1.0)
    contrast = CONTRAST[0] + (CONTRAST[1] - CONTRAST[0]) * draws[1]
    zoom = torch.where(draws[2] < 0.5, 1.0, ZOOM[0] + (ZOOM[1] - ZOOM[0]) * draws[3])
    theta = torch.zeros(n, 2, 3, dtype=images.dtype, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1] = flip * zoom, zoom
    grid = affine_grid(theta, list(images.shape), align_corners=True)
    mean = images.mean(dim=(2, 3), keepdim=True)
    images = mean + (images - mean) * contrast[:, None, None, None]
    return grid_sample(images, grid, padding_mode="border", align_corners=True)


def _derivatives(net: Measured) -> Derivatives:
    net.check_size()
    return Derivatives(net.network, net.subset, net.most_images)


def _mixed(at: Derivatives, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the mean of each image and a partner of its class, with their label."""
    labels = at.examples.labels
    partner = torch.arange(len(labels), device=labels.device)
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=generator).to(labels.device)
        partner[members] = members[order]
    for chosen in torch.arange(len(labels), device=labels.device).split(at.chunk(2)):
        first, of_class = at.examples.batch(chosen, torch.float64)
        second, _ = at.examples.batch(partner[chosen], torch.float64)
        yield (first + second) / 2, of_class


def _margin_of_draws(
    net: Measured, batches: Callable[[Derivatives], Iterator[tuple[Tensor, Tensor]]]
) -> Estimate:
    """Return the mean over draws of the mean of the five numbers of normalised margins."""
    at = _derivatives(net)
    layers = net.network.layers
    place = first_features(
        [layer.module for layer in layers], [layer.has_weight for layer in layers]
    )
    if place >= len(layers):
        raise Undefined("there is no layer after the first weight layer")

    def summary() -> float:
        _, [distances], [variances] = distances_at(at, batches(at), [place])
        spread = _trimmed_mean(variances) ** 0.5
        if spread == 0 or not bool(distances.isfinite().all()):
            raise Undefined("the first layer's activations, or a margin's gradient, do not vary")
        numbers = five_numbers(distances / spread)
        return sum(numbers.values()) / len(numbers)

    return mean_of_draws(net, summary)


def _trimmed_mean(values: Tensor) -> float:
    """Return the mean without the smallest and the largest 5 % of the values."""
    cut = int(CUT * len(values))
    return float(values.sort().values[cut : len(values) - cut].mean())
