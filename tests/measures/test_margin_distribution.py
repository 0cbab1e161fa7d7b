"""Margins at layers, and those of mixed and augmented images, against plain loops of autograd."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from gentool.data.examples import Examples, without_other_sets
from gentool.measures import MEASURES, Measured, evaluate_measures
from gentool.measures.margin_distribution import STATISTICS, five_numbers
from gentool.measures.pgdl import augmented
from gentool.networks.canonical import canonical


def network(images=30, seed=0):
    """A small CNN in float64, with labels of which most are its predictions."""
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 5), nn.Tanh(), nn.Linear(5, 3)
    ).double()
    x = torch.randn(images, 2, 4, 4, dtype=torch.float64)
    y = module(x).argmax(1)
    y[::7] = (y[::7] + 1) % 3
    ones = torch.ones(2, 1, 1, dtype=torch.float64)
    sets = without_other_sets(Examples(x, y, 0 * ones, ones))
    return module, x, y, Measured(canonical(module, (2, 4, 4)), sets=sets)


def values(net, *names):
    measured = evaluate_measures(net, MEASURES.select(names))
    assert measured.notes == []
    return measured.measures


def loop(module, x, y, first):
    """Distance of each image at the input of layer `first`, and the activations there."""
    distances, activations = [], []
    for image, label in zip(x, y, strict=True):
        z = module[:first](image[None]).detach().requires_grad_()
        f = module[first:](z)[0]
        scores = f.detach().tolist()
        j = max((j for j in range(len(f)) if j != label), key=lambda j: scores[j])
        margin = f[label] - f[j]
        [gradient] = torch.autograd.grad(margin, z)
        distances.append(float(margin.detach()) / float(gradient.norm()))
        activations.append(z.detach().flatten().numpy())
    return np.array(distances), np.stack(activations)


@pytest.mark.parametrize(("place", "first"), [("input", 0), ("hidden", 5)])
def test_statistics_of_margins_at_a_layer_are_those_of_a_loop_over_the_images(place, first):
    module, x, y, net = network()
    distances, activations = loop(module, x, y, first)
    kept = distances[distances > 0] / math.sqrt(activations.var(axis=0).sum())
    q1, q3 = np.percentile(kept, 25), np.percentile(kept, 75)
    inside = [d for d in kept if q1 - 1.5 * (q3 - q1) <= d <= q3 + 1.5 * (q3 - q1)]
    expected = [min(inside), q1, np.percentile(kept, 50), q3, max(inside)]
    found = values(net, *(f"{place}_margin_{name}" for name in STATISTICS))
    assert list(found.values()) == pytest.approx(expected, rel=1e-10)
    row = 0 if place == "input" else -1
    of_layer = [net.of_layers[f"margin_{name}"][row] for name in STATISTICS]
    assert of_layer == pytest.approx(expected, rel=1e-10)


def test_fences_are_the_last_values_within_reach_of_the_quartiles():
    """Quartiles 2 and 4, a reach of 3: 100 is beyond it."""
    numbers = five_numbers(torch.tensor([1.0, 2.0, 3.0, 4.0, 100.0]))
    assert numbers == dict(lower_fence=1, q1=2, median=3, q3=4, upper_fence=4)  # noqa: C408


def test_mixup_is_that_of_all_pairs_of_a_class_within_its_error():
    """A random partner of the class, itself too: the mean over all pairs is the expectation."""
    module, x, y, net = network()
    losses = []
    for i in range(len(x)):
        same = (y == y[i]).nonzero().flatten()
        mixed = (x[i] + x[same]) / 2
        losses.append(float(cross_entropy(module(mixed), y[i].expand(len(same))).detach()))
    found = values(net, "mixup_loss")
    error = found["mixup_loss_stderr"]
    assert abs(found["mixup_loss"] - math.fsum(losses) / len(losses)) < 4 * error
    assert 0 < error <= 0.05 * found["mixup_loss"]


def test_mixup_margin_of_classes_of_one_image_is_the_margin_of_the_images():
    """Each is mixed with itself alone: no draw differs, and the error is 0."""
    module, x, _, _ = network()
    x, y = x[:3], torch.arange(3)
    ones = torch.ones(2, 1, 1, dtype=torch.float64)
    sets = without_other_sets(Examples(x, y, 0 * ones, ones))
    found = values(Measured(canonical(module, (2, 4, 4)), sets=sets), "mixup_margin")
    distances, activations = loop(module, x, y, 2)
    variances = np.sort(activations.var(axis=0))
    trimmed = variances[1:-1].mean()  # 5 % of 27 units
    numbers = five_numbers(torch.from_numpy(distances / math.sqrt(trimmed)))
    assert found["mixup_margin"] == pytest.approx(sum(numbers.values()) / 5, rel=1e-10)
    assert found["mixup_margin_stderr"] == pytest.approx(0, abs=1e-12)


def test_augmentation_margin_is_finite_and_stops_by_its_error():
    net = network(images=60)[3]
    found = values(net, "augmentation_margin")
    assert found["augmentation_margin_stderr"] <= 0.05 * abs(found["augmentation_margin"])


def test_augmentation_flips_half_lowers_contrast_and_enlarges_half():
    """Of one image many times: the mean of a channel stays where nothing is enlarged."""
    ramp = torch.arange(5.0, dtype=torch.float64).expand(1, 1, 5, 5)
    images = augmented(ramp.expand(4000, 1, 5, 5), torch.Generator().manual_seed(0))
    slope = (images[:, 0, 2, 4] - images[:, 0, 2, 0]) / 4
    flipped = float((slope < 0).double().mean())
    assert flipped == pytest.approx(0.5, abs=0.04)
    size = slope.abs()
    assert 0.7 * 0.85 <= float(size.min()) < 0.65
    assert 0.99 < float(size.max()) <= 1
    assert images.mean(dim=(1, 2, 3)).tolist() == pytest.approx([2.0] * 4000)
    expected = 0.85 * (0.5 + 0.5 * 0.92)
    assert float(size.mean()) == pytest.approx(expected, abs=0.006)
