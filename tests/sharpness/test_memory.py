"""Test how a search keeps large networks in memory: in few copies, with the same bits."""

import pytest
import torch
from torch import nn

from gentool.data.examples import Examples
from gentool.numerics import memory
from gentool.sharpness import box
from gentool.sharpness.functional import functional_network
from gentool.sharpness.search import starts
from gentool.sharpness.search.bits import pack, unpack
from gentool.sharpness.worst_case import SearchOptions, WorstCaseSearch


def convolutional(generator):
    """Return a small network with batch norm, and its images."""
    layers = [
        *(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)),
    ]
    model = nn.Sequential(*layers).eval()
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 2
    images = torch.randn(20, 2, 8, 8, generator=generator)
    labels = torch.randint(3, (20,), generator=generator)
    one = torch.ones(2, 1, 1)
    return model, Examples(images, labels, 0 * one, one)


@pytest.mark.parametrize("cheap", [0, 2**24])
@pytest.mark.parametrize("options", [{}, {"method": "vertex", "units": 30.0}])
def test_a_large_network_has_the_bits_of_a_small_one(options, cheap, monkeypatch):
    """Signs as bits, faces block by block and gradients in place change no number."""
    monkeypatch.setattr(starts, "CHEAP", cheap)
    model, examples = convolutional(torch.Generator().manual_seed(0))
    results = []
    for large in (2**24, 10):
        monkeypatch.setattr(memory, "LARGE", large)
        monkeypatch.setitem(box.BLOCK, "cpu", 37)
        network = functional_network(model, (2, 8, 8))
        search = WorstCaseSearch(network, examples, SearchOptions(batching="loop", **options))
        results.append(search._find(1e-2, torch.float32))
    small, large = results
    assert torch.equal(small.point, large.point)
    assert (small.rise, small.starts) == (large.rise, large.starts)
    assert small.units <= large.units  # which refines its best corner twice
    assert small.rise > 0


@pytest.mark.parametrize("size", [1, 8, 13, 1000])
def test_signs_are_bits_and_back(size, monkeypatch):
    """Of a large network alone; rows are chosen as before."""
    signs = torch.rand(3, size, generator=torch.Generator().manual_seed(size)) < 0.5
    assert pack(signs) is signs
    monkeypatch.setattr(memory, "LARGE", 0)
    kept = pack(signs)
    assert kept.shape == (3, -(-size // 8))
    assert torch.equal(unpack(kept, size), signs)
    assert torch.equal(unpack(kept[2], size), signs[2])


def test_the_parameters_are_views_of_the_vector():
    """So that the network is in memory once."""
    model, _ = convolutional(torch.Generator().manual_seed(0))
    network = functional_network(model, (2, 8, 8))
    single = network.to(torch.device("cpu"), torch.float32)
    for held in (network, single):
        storages = {p.untyped_storage().data_ptr() for p in held.module.parameters()}
        assert storages == {held.weights.untyped_storage().data_ptr()}
