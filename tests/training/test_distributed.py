"""Under torchrun two processes train the network of one process, and rank 0 alone writes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.small_sets import CPU, ROUNDING, difference, recipe, sets

from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.common.errors import GentoolError
from gentool.training.distributed import ProcessGroup
from gentool.training.run import CheckpointPolicy, Run

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


def test_two_processes_train_the_network_that_one_trains(tmp_path, monkeypatch):
    """A VGG with batch norm, shards of 8 and 7 images, in float64: 12 steps, to 1e-10."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    script = ["-m", "helpers.doubles"]
    subprocess.run([sys.executable, *script, tmp_path / "one.pt"], check=True)
    done = torchrun([*script, str(tmp_path / "two.pt")], tmp_path)
    assert done.returncode == 0, done.stderr
    one, two = torch.load(tmp_path / "one.pt"), torch.load(tmp_path / "two.pt")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("_float64")
def test_the_command_gives_the_same_network_and_only_rank_0_prints(tmp_path, monkeypatch):
    """An MLP with a confusion set in float64: a stack in one process, DDP in two.

    The stop rule is met in the same epoch; one path on stdout, one line on stderr, one file.
    """
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    options = ["--model", "mlp", "--hidden", "16", "--labels", "random", "--subset", "40"]
    options += ["--confusion", "20", "--lr", "0.1"]
    command = ["train", "--data", "digits", *options, "-o"]
    assert run([*command, str(tmp_path / "one.safetensors"), "-q"]) == 0
    done = torchrun(["-m", "helpers.cli_in_float64", *command, "two.safetensors"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "two.safetensors\n"
    assert done.stderr.count("gentool: ") == 1
    assert {p.name for p in tmp_path.iterdir()} == {"one.safetensors", "two.safetensors"}
    assert_same_to_rounding(tmp_path / "one.safetensors", tmp_path / "two.safetensors")


def assert_same_to_rounding(one, other):
    """Compare recipe and epochs exactly, losses and weights to rounding."""
    first, second = checkpoint.read(one), checkpoint.read(other)
    assert first.recipe == second.recipe
    assert first.outcome.stop_rule_met
    assert first.outcome.epochs == second.outcome.epochs
    losses = second.outcome.history["loss"]
    assert first.outcome.history["loss"] == pytest.approx(losses, rel=ROUNDING)
    assert {tensor.dtype for tensor in first.tensors.values()} == {torch.float64}
    assert difference(first.tensors, second.tensors) < ROUNDING


def test_dropout_is_refused_in_several_processes():
    """Its draws would depend on the number of processes."""
    with pytest.raises(GentoolError, match="dropout would differ with the number of processes"):
        Run(recipe(dropout=0.5), sets(), CPU, CheckpointPolicy(), ProcessGroup(0, 2))


def test_a_batch_with_fewer_images_than_processes_is_refused():
    with pytest.raises(GentoolError, match="a batch of 3 images is too small for 4 processes"):
        ProcessGroup(0, 4).shard(torch.arange(3))


def test_a_grid_is_refused_under_torchrun(monkeypatch, capsys):
    """Rank 0 prints the error; the others exit with the same code and print nothing."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    lines = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        assert run(["train", "--seed", "0,1"]) == 2
        lines.append(capsys.readouterr().err)
    assert "torchrun trains one network at a time" in lines[0]
    assert lines[1] == ""


@pytest.mark.parametrize(
    ("device", "code", "message"),
    [
        ("cuda", 1, "2 processes need a GPU each, and torch"),
        ("auto", 1, "2 processes need a GPU each, and torch"),
        ("cuda:1", 2, "--device cuda:1 is not for several processes; take cuda"),
    ],
)
def test_processes_need_a_gpu_each(device, code, message, monkeypatch, capsys):
    """Two processes, one GPU: an error before they connect, printed by rank 0 alone."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    lines = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert run(["train", "--data", "digits", "--device", device]) == code
        lines.append(capsys.readouterr().err)
    assert message in lines[0]
    assert lines[0].count("\n") == 1
    assert lines[1] == ""
