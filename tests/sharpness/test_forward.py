"""Every way to batch networks gives the numbers of the loop, for every kind of MLP."""

from dataclasses import replace

import pytest
import torch
from helpers.sharpness_helpers import examples, mlp_case
from torch import nn

from gentool.common.errors import GentoolError
from gentool.numerics.memory import memory_budget
from gentool.sharpness.autotune import choose_batching
from gentool.sharpness.functional import functional_network
from gentool.sharpness.noise import Noise
from gentool.sharpness.objective import Objective, towards_class, training_loss
from gentool.sharpness.prepared import PreparedNetwork

LAYERS = {
    "linear": [nn.Linear(6, 3)],
    "no biases": [nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False)],
    "three layers, dropout": [
        *[nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5)],
        *[nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3)],
    ],
    "no ReLU between, one at the end": [nn.Linear(6, 4), nn.Linear(4, 3), nn.ReLU()],
}


def whole_numbers(*shape, seed):
    """Return random integers from -2 to 2, as floats."""
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed)).float()


def objective_of(layers, dtype, fold=False):
    """Return the loss over 40 images of shape (1, 2, 3)."""
    images = whole_numbers(40, 1, 2, 3, seed=0)
    model = nn.Sequential(nn.Flatten(), *layers)
    network = functional_network(model, (1, 2, 3), fold_batch_norm=fold).to(
        torch.device("cpu"), dtype
    )
    return Objective(network, examples(images, torch.arange(40) % 3))


def candidates(objective):
    """Return five points whose layers put out exact numbers, so that no ReLU depends on rounding.

    Weights are multiples of 1/4; with up to 8 inputs to each of three layers the outputs are
    multiples of 2⁻⁶ below 2⁹.
    """
    w = objective.network.weights
    return (whole_numbers(5, len(w), seed=1) / 4).to(w.dtype)


ROUNDINGS = 64  # one after the other: of sums over 40 images, 8 units, 3 classes, and of a softmax


def rounding(objective, points):
    """Return by how much rounding may change losses, shape (5,), and gradients, (5, P).

    A sum is off by its roundings times the sum of the sizes of its terms. Where weights and images
    are taken without signs every ReLU lets through, and the gradient of the sum of the logits is a
    sum of sizes. No criterion's derivative by a logit is above 1, and a loss is at most twice the
    size of a logit and log 3.
    """
    images = replace(objective.examples, images=objective.examples.images.abs())
    sizes = replace(objective, examples=images, batching="loop")
    losses, gradients = sizes.gradients(points.abs(), towards_class, points.new_ones(5, 3))
    off = 2 * ROUNDINGS * torch.finfo(points.dtype).eps / 2
    return off * (2 * losses + 2), off * gradients


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("criterion", [training_loss, towards_class])
def test_stacked_products_give_the_numbers_of_the_loop(layers, dtype, criterion):
    """Losses and gradients of each criterion at five points, in one chunk of images or several."""
    whole = objective_of(layers, dtype)
    points, parameters = candidates(whole), None
    allowed = rounding(whole, points)
    if criterion is towards_class:
        parameters = torch.eye(3, dtype=dtype)[torch.arange(5) % 3]
    losses, gradients = replace(whole, batching="loop").gradients(points, criterion, parameters)
    for memory in (2**28, 40_000):
        stacked = replace(whole, batching="stacked", memory=memory)
        stacked_losses, stacked_gradients = stacked.gradients(points, criterion, parameters)
        assert bool(((stacked_losses - losses).abs() <= allowed[0]).all())
        assert bool(((stacked_gradients - gradients).abs() <= allowed[1]).all())
    expected = replace(whole, batching="loop").losses(points)
    losses = replace(whole, batching="stacked").losses(points)
    assert bool(((losses - expected).abs() <= allowed[0]).all())


def test_every_batching_gives_the_same_rises_under_noise():
    """Each draw has a mini-batch of its own."""
    whole = objective_of(LAYERS["three layers, dropout"], torch.float64)
    rises = []
    for way in ("loop", "vmap", "stacked"):
        noise = Noise(replace(whole, batching=way), seed=0)
        losses, errors = noise.rises(noise.draw(), torch.tensor(0.3))
        rises.append((losses, errors))
    for losses, errors in rises[1:]:
        assert torch.allclose(losses, rises[0][0], rtol=1e-12)
        assert torch.equal(errors, rises[0][1])


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)],
        [nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)],
    ],
    ids=["batch norm", "tanh"],
)
def test_a_network_that_is_no_mlp_is_not_stacked(layers):
    """Only the other ways are timed, and --batching stacked is an error."""
    objective = objective_of(layers, torch.float32)
    choice = choose_batching(objective)
    assert choice.stacked_seconds is None
    assert choice.chosen in ("loop", "vmap")
    prepared = PreparedNetwork(objective.network, objective.examples, "stacked")
    with pytest.raises(GentoolError, match="is for MLPs"):
        prepared.objective(torch.float32)


def test_layers_that_share_weights_are_not_stacked():
    """The gradient of shared weights is a sum over both layers."""
    shared = nn.Linear(6, 6)
    assert (
        objective_of([shared, nn.ReLU(), shared, nn.Linear(6, 3)], torch.float32).network.mlp_layers
        is None
    )


def test_folded_batch_norm_leaves_an_mlp():
    layers = [nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)]
    objective = objective_of([*layers], torch.float32, fold=True)
    assert [has_relu for _, has_relu in objective.network.mlp_layers] == [True, False]


def test_the_fastest_batching_is_chosen():
    """The loop is chosen unless another way is a tenth faster."""
    model, data = mlp_case()
    network = functional_network(model, (1, 1, 6)).to(torch.device("cpu"), torch.float32)
    choice = choose_batching(Objective(network, data))
    seconds = {way: getattr(choice, f"{way}_seconds") for way in ("loop", "vmap", "stacked")}
    fastest = min(seconds, key=seconds.get)
    assert choice.chosen == (fastest if 1.1 * seconds[fastest] < seconds["loop"] else "loop")


def test_the_memory_budget_is_the_same_for_a_little_more_or_less_free_memory(monkeypatch):
    """It is a power of two, at most a third of the memory that is free or reusable by PyTorch."""
    for free, reserved, allocated in ((80e9, 0, 0), (60e9, 20e9, 1e9), (78e9, 9e9, 8e9)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, f=free: (int(f), int(85e9)))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device, r=reserved: int(r))
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device, a=allocated: int(a))
        assert memory_budget(torch.device("cuda")) == 2**34
