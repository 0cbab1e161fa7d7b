"""`gentool claims` ranks networks of anybody by the gap that `gentool measure` computed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from sklearn.datasets import load_digits
from torch import nn

from gentool.cli.main import run

SIZES = [(60, 16), (120, 16), (250, 16), (500, 16), (120, 64), (500, 64)]  # images, hidden units


def trained(images, labels, hidden, seed):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network


@pytest.fixture
def gaps(tmp_path, monkeypatch):
    """Six MLPs trained in plain PyTorch on some of the digits, and measured; their gaps."""
    monkeypatch.chdir(tmp_path)
    pixels, labels = (load_digits().images * 15).astype(np.uint8), load_digits().target
    images, classes = torch.tensor(pixels).flatten(1) / 255, torch.tensor(labels)
    gaps = {}
    for seed, (n, hidden) in enumerate(SIZES):
        network = trained(images[:n], classes[:n], hidden, seed)
        name = f"n{n}-h{hidden}"
        torch.save(network.state_dict(), f"{name}.pth")
        arrays = {"x_train": pixels[:n], "y_train": labels[:n]}
        np.savez(f"{n}.npz", **arrays, x_test=pixels[1000:], y_test=labels[1000:])
        wrong = network(images).argmax(dim=1) != classes
        gaps[f"{name}.pth"] = float(wrong[1000:].double().mean() - wrong[:n].double().mean())
        data = ["--data", f"npz:{n}.npz", "--mean", "0", "--std", "1", "--only", "l2,parameters"]
        assert run(["measure", f"{name}.pth", *data, "-q"]) == 0
    return gaps


def test_networks_of_other_programs_are_ranked_by_test_error_less_training_error(gaps, capsys):
    """τ is that of SciPy with errors computed here; no network has an outcome."""
    records = [json.loads(path.read_text()) for path in Path().glob("*.measures.json")]
    assert all(record["outcome"] is None for record in records)
    for record in records:
        evaluation, gap = record["evaluation"], gaps[record["checkpoint"]["file"]]
        assert evaluation["test_error"] - evaluation["train_error"] == pytest.approx(gap)
    capsys.readouterr()
    assert run(["claims", ".", "-o", "-", "-q"]) == 0
    ranked = {row["measure"]: row for row in json.loads(capsys.readouterr().out)["kendall"]}
    y = [gaps[record["checkpoint"]["file"]] for record in records]
    for name in ("l2", "parameters"):
        x = [record["measures"][name] for record in records]
        assert ranked[name]["networks"] == len(SIZES)
        assert ranked[name]["tau"] == pytest.approx(kendalltau(x, y).statistic)
    assert len(set(y)) > 3
