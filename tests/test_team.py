"""torchrun: two processes train the network that one does, to rounding, and one of them writes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gentool import checkpoint
from gentool.cli import run

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this PyTorch has no distributed engine"
)


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def torchrun(arguments, cwd, processes=2):
    launcher = ["-m", "torch.distributed.run", f"--master-port={free_port()}"]
    command = [*launcher, f"--nproc-per-node={processes}", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True
    )


@pytest.fixture
def images(tmp_path, monkeypatch):
    """60 random images of 3x32x32, as an archive in an empty folder."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    y = rng.integers(0, 3, 60)
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_same_to_rounding(one, other):
    """Recipe, epochs and outcome alike; each tensor within 1e-3 of its largest entry."""
    first, second = checkpoint.read(one), checkpoint.read(other)
    assert first.recipe == second.recipe
    assert first.outcome.epochs == second.outcome.epochs
    assert first.outcome.history["loss"] == pytest.approx(second.outcome.history["loss"], rel=1e-4)
    for name, tensor in first.tensors.items():
        difference = (tensor.double() - second.tensors[name].double()).abs().max()
        assert difference <= 1e-3 * tensor.abs().max(), name


VGG = ["train", "--data", "npz:data.npz", "--width", "0.05", "--batch-size", "15", "--epochs", "1"]


def test_two_processes_train_the_network_that_one_trains(tmp_path):
    """A VGG with batch norm, shares of 8 and 7 images, in double precision: 12 steps, to 1e-10."""
    script = str(Path(__file__).with_name("doubles.py"))
    subprocess.run([sys.executable, script, tmp_path / "one.pt"], check=True)
    done = torchrun([script, str(tmp_path / "two.pt")], tmp_path)
    assert done.returncode == 0, done.stderr
    one, two = torch.load(tmp_path / "one.pt"), torch.load(tmp_path / "two.pt")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-10)


def test_only_the_first_process_writes_and_prints(images):
    """One checkpoint, its path once on stdout, one line about it on stderr."""
    done = torchrun(["-m", "gentool", *VGG, "-o", "two.safetensors"], images)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "two.safetensors\n"
    assert done.stderr.count("gentool: ") == 1
    assert {p.name for p in images.iterdir()} == {"data.npz", "two.safetensors"}


def test_the_stop_rule_is_met_in_the_same_epoch(images):
    """An MLP with a confusion set: one process trains it in its own step, two with DDP."""
    options = ["--model", "mlp", "--hidden", "16", "--labels", "random", "--subset", "40"]
    command = ["train", "--data", "npz:data.npz", *options, "--confusion", "20", "-q", "-o"]
    assert run([*command, "one.safetensors"]) == 0
    done = torchrun(["-m", "gentool", *command, "two.safetensors"], images)
    assert done.returncode == 0, done.stderr
    assert checkpoint.read(images / "two.safetensors").outcome.stop_rule_met
    assert_same_to_rounding(images / "one.safetensors", images / "two.safetensors")


def test_what_a_team_cannot_do_is_said_once(images):
    """Dropout draws would differ with the number of processes; a grid has its own --jobs."""
    done = torchrun(["-m", "gentool", *VGG, "--dropout", "0.5"], images)
    assert done.returncode != 0
    assert done.stderr.count("gentool: dropout would differ with the number of processes") == 1
    done = torchrun(["-m", "gentool", *VGG, "--seed", "0,1"], images)
    assert done.returncode != 0
    assert done.stderr.count("gentool: torchrun trains one network at a time") == 1
