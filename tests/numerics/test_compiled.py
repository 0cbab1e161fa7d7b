"""torch.compile where it is asked for: the same numbers to rounding, and failures in one line.

Both ways compute in float64, where rounding is far below any other difference.
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
    """torch.compile needs a C++ compiler and Python's headers, which not every machine has."""
    try:
        compiled(torch.nn.functional.silu)(torch.ones(3))
    except GentoolError as error:
        pytest.skip(str(error))


def on(device, part):
    names = ("images", "labels", "mean", "std")
    return replace(part, **{name: getattr(part, name).to(device) for name in names})


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.usefixtures("compiler", "_float64")
def test_a_compiled_step_is_the_step(device):
    """Three epochs of an MLP with batch norm, a last batch of another size among them."""
    device = torch.device(device)
    data = sets()
    data = replace(data, **{name: on(device, part) for name, part in vars(data).items()})
    asked = replace(recipe(hidden=16, batch_norm=True), batch_size=16, lr=0.01)
    plain = Run(asked, data, device, CheckpointPolicy())
    fast = Run(asked, data, device, CheckpointPolicy(), is_compiled=True)
    with torch.random.fork_rng():
        for _ in range(3):
            found = [train_epoch(run) for run in (plain, fast)]
            assert found[1] == pytest.approx(found[0], rel=ROUNDING)
    # not relative: biases before batch norm have a gradient of 0, and move by rounding alone
    one, other = (dict(run.state.model.state_dict()) for run in (plain, fast))
    torch.testing.assert_close(one, other, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.usefixtures("compiler")
def test_a_compiled_search_sees_the_same_losses_and_gradients(device):
    """One candidate and several, on more than one number of images."""
    model, data = mlp_case()
    device = torch.device(device)
    network = functional_network(model, (1, 1, 6)).to(device)
    loop = Objective(network, on(device, data), batching="loop")
    points = network.weights + 0.1 * torch.randn(
        4, len(network.weights), generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).to(device)
    for k, images in ((1, 80), (4, 80), (4, 30)):
        part = loop.part(torch.arange(images, device=device))
        together = replace(part, batching="compiled")
        assert torch.allclose(together.losses(points[:k]), part.losses(points[:k]), rtol=1e-12)
        for found, wanted in zip(
            together.gradients(points[:k]), part.gradients(points[:k]), strict=True
        ):
            assert torch.allclose(found, wanted, rtol=1e-10, atol=1e-13)


def test_what_cannot_be_compiled_is_said_in_one_line(monkeypatch, tmp_path):
    """Without a C++ compiler, as on many a machine."""
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "/no/compiler"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    network = compiled(nn.Sequential(nn.Linear(3, 4), nn.ReLU()).to(CPU))
    with pytest.raises(GentoolError, match=r"torch\.compile failed: .*go on without it") as told:
        network(torch.ones(2, 3))
    assert "\n" not in str(told.value)
