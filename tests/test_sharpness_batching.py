"""Networks evaluated together: the same numbers as one by one, for whatever an MLP may contain."""

from dataclasses import replace

import pytest
import torch
from sharpness_helpers import examples, mlp_case
from torch import nn

from gentool.errors import GentoolError
from gentool.sharpness.batching import choose
from gentool.sharpness.finding import Finder, SearchOptions
from gentool.sharpness.noise import Noise
from gentool.sharpness.objective import Objective, room, towards_class, training_loss
from gentool.sharpness.subject import subject

LAYERS = {
    "linear": [nn.Linear(6, 3)],
    "no biases": [nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False)],
    "three layers, dropout": [
        *[nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5)],
        *[nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3)],
    ],
    "no ReLU between, one at the end": [nn.Linear(6, 4), nn.Linear(4, 3), nn.ReLU()],
}


def objective_of(layers, dtype, fold=False):
    """The loss over 40 images of shape (1, 2, 3)."""
    images = torch.randn(40, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Flatten(), *layers)
    network = subject(model, (1, 2, 3), fold_batch_norm=fold).to(torch.device("cpu"), dtype)
    return Objective(network, examples(images, torch.arange(40) % 3))


def candidates(objective):
    w, generator = objective.subject.weights, torch.Generator().manual_seed(1)
    return w + torch.randn(5, len(w), generator=generator, dtype=w.dtype)


def assert_same(found, expected, tolerance):
    """Relative to each candidate's largest number, for each candidate a row."""
    rows, expected = (tensor.reshape(5, -1) for tensor in (found, expected))
    assert bool(((rows - expected).abs().amax(1) <= tolerance * expected.abs().amax(1)).all())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("goal", [training_loss, towards_class])
def test_products_written_out_are_the_loop(layers, dtype, tolerance, goal):
    """Losses and gradients at five points, of any goal, in one chunk of images and in several."""
    whole = objective_of(layers, dtype)
    points, told = candidates(whole), None
    if goal is towards_class:
        told = torch.eye(3, dtype=dtype)[torch.arange(5) % 3]
    losses, gradients = replace(whole, batching="loop").gradients(points, goal, told)
    for memory in (2**28, 40_000):
        stacked = replace(whole, batching="stacked", memory=memory)
        found = stacked.gradients(points, goal, told)
        assert_same(found[0], losses, tolerance)
        assert_same(found[1], gradients, tolerance)
    expected = replace(whole, batching="loop").losses(points)
    assert_same(replace(whole, batching="stacked").losses(points), expected, tolerance)


def test_noise_is_judged_alike_in_every_way():
    """Each candidate on a mini-batch of its own."""
    whole = objective_of(LAYERS["three layers, dropout"], torch.float64)
    found = []
    for way in ("loop", "vmap", "stacked"):
        noise = Noise(replace(whole, batching=way), seed=0)
        losses, errors = noise.rises(noise.draw(), torch.tensor(0.3))
        found.append((losses, errors))
    for losses, errors in found[1:]:
        assert torch.allclose(losses, found[0][0], rtol=1e-12)
        assert torch.equal(errors, found[0][1])


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)],
        [nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)],
    ],
    ids=["batch norm", "tanh"],
)
def test_what_is_no_mlp_is_not_stacked(layers):
    """It is timed in the other ways only, and asking for it is an error."""
    objective = objective_of(layers, torch.float32)
    measured = choose(objective)
    assert measured.stacked_seconds is None
    assert measured.chosen in ("loop", "vmap")
    finder = Finder(objective.subject, objective.examples, SearchOptions(batching="stacked"))
    with pytest.raises(GentoolError, match="is for MLPs"):
        finder.objective(torch.float32)


def test_layers_that_share_weights_are_not_stacked():
    """Their gradient is a sum over two layers."""
    shared = nn.Linear(6, 6)
    assert (
        objective_of([shared, nn.ReLU(), shared, nn.Linear(6, 3)], torch.float32).subject.mlp
        is None
    )


def test_folded_batch_norm_leaves_an_mlp():
    layers = [nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)]
    objective = objective_of([*layers], torch.float32, fold=True)
    assert [has_relu for _, has_relu in objective.subject.mlp] == [True, False]


def test_the_fastest_way_is_taken():
    """Where none is a tenth faster than a loop, the loop."""
    model, data = mlp_case()
    network = subject(model, (1, 1, 6)).to(torch.device("cpu"), torch.float32)
    found = choose(Objective(network, data))
    seconds = {way: getattr(found, f"{way}_seconds") for way in ("loop", "vmap", "stacked")}
    fastest = min(seconds, key=seconds.get)
    assert found.chosen == (fastest if 1.1 * seconds[fastest] < seconds["loop"] else "loop")


def test_a_little_more_or_less_free_memory_on_a_gpu_changes_nothing(monkeypatch):
    """A power of two at most a third of what is free or PyTorch's own to use again."""
    for free, reserved, allocated in ((80e9, 0, 0), (60e9, 20e9, 1e9), (78e9, 9e9, 8e9)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, f=free: (int(f), int(85e9)))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device, r=reserved: int(r))
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device, a=allocated: int(a))
        assert room(torch.device("cuda")) == 2**34
