"""The walk from an unknown file to its sharpness: as written on the page, and right."""

import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.pages import room, section
from safetensors.torch import load_file
from torch import nn

from gentool.cli.main import run

WALK = section(room("checkpoints"), "From an unknown file to its sharpness")
[SCRIPT] = re.findall(r"```python\n(.*?)```", WALK, re.DOTALL)
[SESSION] = re.findall(r"```text\n(.*?)```", WALK, re.DOTALL)
NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"
ALPHA = 5e-4


def session():
    """Return each command of the walk, and the lines that the page shows below it."""
    steps = []
    for line in SESSION.splitlines():
        if line.startswith("$ gentool "):
            steps.append((shlex.split(line)[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


def is_the_same(shown, line):
    """Compare the words exactly, and the numbers to 10 %, which training in float32 may move."""
    if re.sub(NUMBER, "#", shown) != re.sub(NUMBER, "#", line):
        return False
    numbers = (list(map(float, re.findall(NUMBER, text))) for text in (shown, line))
    return np.allclose(*numbers, rtol=0.1, atol=2e-3 if "error" in shown else 0)


@pytest.fixture
def walked(tmp_path, monkeypatch, capsys):
    """Walk in an empty folder; return what each command printed."""
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
    printed = []
    for arguments, _ in session():
        assert run(arguments) == 0, (arguments, capsys.readouterr().err)
        captured = capsys.readouterr()
        printed.append(captured.err.splitlines() + captured.out.splitlines())
    return printed


def test_the_walk_prints_what_the_page_shows_and_its_sharpness_is_right(walked):
    """The rise at the witness is recomputed in float64 with PyTorch alone, and is in the box."""
    for (arguments, shown), lines in zip(session(), walked, strict=True):
        for line in shown:
            assert any(is_the_same(line, other) for other in lines), (arguments, line, lines)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).double()
    data = np.load("digits.npz")
    images = (torch.tensor(data["x_train"]).double() / 255 - 0.1307) / 0.3081
    labels, losses = torch.tensor(data["y_train"]), []
    own = torch.load("unknown.pth", weights_only=True)
    worst = load_file("worst.safetensors")
    for state in (own, worst):
        named = dict(zip(("1.weight", "1.bias", "3.weight", "3.bias"), ordered(state), strict=True))
        network.load_state_dict(named)
        losses.append(nn.functional.cross_entropy(network(images), labels).item())
        assert (network(images).argmax(dim=1) == labels).all()
    verified = float(walked[-1][-1])
    assert losses[1] - losses[0] == pytest.approx(verified, rel=1e-9)
    for name, weights in own.items():
        assert ((worst[name] - weights).abs() <= ALPHA * (weights.abs() + 1) * (1 + 1e-9)).all()


def ordered(state):
    """Return the tensors of the two layers, first to last, weights before biases."""
    return [state[name] for name in ("0.weight", "0.bias", "2.weight", "2.bias")]
