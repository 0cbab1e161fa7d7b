"""The network that sharpness perturbs computes the same as the canonical network, bit for bit."""

import pytest
import torch
from torch import nn

from gentool.networks.canonical import canonical
from gentool.sharpness.functional import functional_network

CHAINS = {
    "ReLU before pooling": [nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)],
    "overlapping windows, padded": [
        *[nn.Conv2d(1, 3, 3, padding=1), nn.ReLU()],
        nn.MaxPool2d(3, stride=2, padding=1, dilation=2, ceil_mode=True),
    ],
    "two poolings after one ReLU": [
        *[nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, stride=1), nn.MaxPool2d(2)]
    ],
    "ReLU on the images": [nn.ReLU(inplace=True), nn.Conv2d(1, 3, 3, padding=1)],
    "ReLU on a view of the images": [nn.Flatten(), nn.ReLU()],
    "average pooling": [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.ReLU()],
    "pooling of the images": [nn.ReLU(), nn.MaxPool2d(2)],
}


@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS.keys())
def test_a_perturbed_network_is_the_canonical_one(layers):
    """Logits and gradients are equal, also for windows of equal numbers; images do not change."""
    torch.manual_seed(0)
    model = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(4)).double()
    images = torch.randint(-2, 3, (30, 1, 9, 9)).double()
    model(images.clone())
    kept = images.clone()
    perturbed = functional_network(model, (1, 9, 9)).module.requires_grad_()
    expected = nn.Sequential(*[layer.module for layer in canonical(model, (1, 9, 9)).layers])
    both = [perturbed(images), expected(images.clone())]
    assert torch.equal(*both)
    for logits in both:
        (logits**2).sum().backward()
    pairs = zip(perturbed.parameters(), expected.parameters(), strict=True)
    assert all(torch.equal(p.grad, q.grad) for p, q in pairs)
    assert torch.equal(images, kept)


def test_a_relu_comes_after_the_max_poolings_that_follow_it():
    """After a pooling a ReLU has fewer numbers to work on."""
    model = nn.Sequential(
        *CHAINS["two poolings after one ReLU"], nn.Flatten(), nn.Linear(3 * 16, 4)
    )
    names = [type(module).__name__ for module in functional_network(model, (1, 9, 9)).module]
    assert names == ["Conv2d", "MaxPool2d", "MaxPool2d", "ReLU", "Flatten", "Linear"]


def test_a_raw_mlp_with_dropout_is_stacked_but_has_no_bounds():
    """Its linear layers are known; bounds and enumeration take networks without dropout only."""
    layers = [nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Linear(3, 2)]
    raw = functional_network(nn.Sequential(*layers), (1, 2, 2), fold_batch_norm=False)
    assert [has_relu for _, has_relu in raw.mlp_layers] == [True, False]
    assert not raw.is_mlp
    assert functional_network(nn.Sequential(*layers), (1, 2, 2)).is_mlp
