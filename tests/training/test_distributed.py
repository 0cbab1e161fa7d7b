"""torchrun: two processes train the network that one does, to rounding, and one of them writes."""

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
    """A VGG with batch norm, shares of 8 and 7 images, in double precision: 12 steps, to 1e-10."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    script = ["-m", "helpers.doubles"]
    subprocess.run([sys.executable, *script, tmp_path / "one.pt"], check=True)
    done = torchrun([*script, str(tmp_path / "two.pt")], tmp_path)
    assert done.returncode == 0, done.stderr
    one, two = torch.load(tmp_path / "one.pt"), torch.load(tmp_path / "two.pt")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("_float64")
def test_the_command_gives_the_same_network_and_only_the_first_process_talks(tmp_path, monkeypatch):
    """An MLP with a confusion set: one process trains it in its own step, two with DDP; in float64.

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
    """Recipe and epochs are equal; losses, and weights by the largest of a tensor, to rounding."""
    first, second = checkpoint.read(one), checkpoint.read(other)
    assert first.recipe == second.recipe
    assert first.outcome.stop_rule_met
    assert first.outcome.epochs == second.outcome.epochs
    losses = second.outcome.history["loss"]
    assert first.outcome.history["loss"] == pytest.approx(losses, rel=ROUNDING)
    assert {tensor.dtype for tensor in first.tensors.values()} == {torch.float64}
    assert difference(first.tensors, second.tensors) < ROUNDING


def test_dropout_is_refused_where_its_draws_would_depend_on_the_processes():
    with pytest.raises(GentoolError, match="dropout would differ with the number of processes"):
        Run(recipe(dropout=0.5), sets(), CPU, CheckpointPolicy(), ProcessGroup(0, 2))


def test_a_batch_too_small_to_share_is_refused():
    with pytest.raises(GentoolError, match="a batch of 3 images is too small for 4 processes"):
        ProcessGroup(0, 4).shard(torch.arange(3))


def test_a_grid_is_not_shared_by_torchruns_processes(monkeypatch, capsys):
    """It has its own --jobs; the first process says so, the others exit alike and silently."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    lines = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        assert run(["train", "--seed", "0,1"]) == 2
        lines.append(capsys.readouterr().err)
    assert "torchrun trains one network at a time" in lines[0]
    assert lines[1] == ""


@pytest.mark.parametrize(
    ("device", "code", "said"),
    [
        ("cuda", 1, "2 processes need a GPU each, and torch"),
        ("auto", 1, "2 processes need a GPU each, and torch"),
        ("cuda:1", 2, "--device cuda:1 is not for several processes; take cuda"),
    ],
)
def test_processes_that_cannot_have_a_gpu_each_are_told(device, code, said, monkeypatch, capsys):
    """Two on a machine with one, before they connect; the first says so, the other is silent."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    lines = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert run(["train", "--data", "digits", "--device", device]) == code
        lines.append(capsys.readouterr().err)
    assert said in lines[0]
    assert lines[0].count("\n") == 1
    assert lines[1] == ""
