"""torch.compile gives the same numbers up to rounding, and reports a failure in one line.

Both sides compute in float64, where rounding is far below any other difference.
"""

from dataclasses import replace

import pytest
import torch
from helpers.sharpness_helpers import mlp_case
from helpers.small_sets import CPU, ROUNDING, recipe, sets
from torch import nn

from gentool.common.errors import GentoolError
from gentool.numerics.compiled import compiled
from gentool.sharpness.functional import functional_network
from gentool.sharpness.objective import Objective
from gentool.training.epoch import train_epoch
from gentool.training.run import CheckpointPolicy, Run

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    ),
]


@pytest.fixture(scope="module")
def compiler():
    """Skip a test on a machine without the C++ compiler and Python headers of torch.compile."""
    try:
        compiled(torch.nn.functional.silu)(torch.ones(3))
    except GentoolError as error:
        pytest.skip(str(error))


def on(device, part):
    names = ("images", "labels", "mean", "std")
    return replace(part, **{name: getattr(part, name).to(device) for name in names})


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.usefixtures("compiler", "_float64")
def test_a_compiled_training_step_trains_the_same_network(device):
    """Three epochs of an MLP with batch norm; the last batch has another size."""
    device = torch.device(device)
    data = sets()
    parts = {name: on(device, getattr(data, name)) for name in ("subset", "confusion", "test")}
    data = replace(data, **parts)
    network_recipe = replace(recipe(hidden=16, batch_norm=True), batch_size=16, lr=0.01)
    plain = Run(network_recipe, data, device, CheckpointPolicy())
    fast = Run(network_recipe, data, device, CheckpointPolicy(), is_compiled=True)
    with torch.random.fork_rng():
        for _ in range(3):
            expected, losses = (train_epoch(run) for run in (plain, fast))
            assert losses == pytest.approx(expected, rel=ROUNDING)
    # not relative: biases before batch norm have a gradient of 0, and move by rounding alone
    first, second = (dict(run.state.model.state_dict()) for run in (plain, fast))
    torch.testing.assert_close(first, second, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.usefixtures("compiler")
def test_compiled_losses_and_gradients_of_a_search_are_the_same(device):
    """For one candidate and several, on two numbers of images."""
    model, data = mlp_case()
    device = torch.device(device)
    network = functional_network(model, (1, 1, 6)).to(device)
    loop = Objective(network, on(device, data), batching="loop")
    points = network.weights + 0.1 * torch.randn(
        4, len(network.weights), generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).to(device)
    for k, images in ((1, 80), (4, 80), (4, 30)):
        part = loop.part(torch.arange(images, device=device))
        fast = replace(part, batching="compiled")
        assert torch.allclose(fast.losses(points[:k]), part.losses(points[:k]), rtol=1e-12)
        for values, expected in zip(
            fast.gradients(points[:k]), part.gradients(points[:k]), strict=True
        ):
            assert torch.allclose(values, expected, rtol=1e-10, atol=1e-13)


def test_a_failed_compilation_is_an_error_of_one_line(monkeypatch, tmp_path):
    """On a machine without a C++ compiler."""
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "/no/compiler"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    network = compiled(nn.Sequential(nn.Linear(3, 4), nn.ReLU()).to(CPU))
    with pytest.raises(GentoolError, match=r"torch\.compile failed: .*go on without it") as error:
        network(torch.ones(2, 3))
    assert "\n" not in str(error.value)
