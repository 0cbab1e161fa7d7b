"""Files of format 1, which gentool 0.1.0 wrote, are read by this version with the same numbers."""

import json
import shutil
from pathlib import Path

import pytest

from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.records import frame, measure_file
from gentool.training import state_file

FILES = Path(__file__).parent / "format1"
NAME = "mlp-hidden16-digits-{}-{}-seed0"
NETWORKS = [(labels, subset) for labels in ("true", "random") for subset in (60, 90)]
RANDOM = NAME.format("random", 60)
L2 = {
    ("true", 60): 264.437,
    ("true", 90): 277.384,
    ("random", 60): 511.232,
    ("random", 90): 882.819,
}
GAMMA = {
    ("true", 60): 2.95596,
    ("true", 90): 3.13477,
    ("random", 60): 3.80549,
    ("random", 90): 4.05688,
}
SHARPNESS, EXPECTED = 0.000268698, 0.000259677
LOSS_AT_300 = 1.4853014  # of the run that was stopped
STOPPED = (
    "train --data digits --model mlp --hidden 8 --labels random --subset 90 --epochs 300 "
    "--stop-loss 1e-12 --optimizer adam --lr 0.001 --threads 1 --quiet --resume -o half.safetensors"
)


@pytest.fixture
def format1(tmp_path, monkeypatch):
    """Copy the files into a folder of their own, and work there."""
    folder = Path(shutil.copytree(FILES, tmp_path / "format1"))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("network", NETWORKS)
def test_a_checkpoint_is_measured_as_it_was(format1, network):
    """All measures, margins and losses; Kendall and the like are other tests."""
    name = NAME.format(*network)
    assert run(["measure", f"{name}.safetensors", "-o", "again.json", "--quiet"]) == 0
    before, now = (measure_file.read(Path(f)) for f in (f"{name}.measures.json", "again.json"))
    assert now["measures"]["l2"] == pytest.approx(L2[network], rel=1e-5)
    assert now["margin"]["gamma"] == pytest.approx(GAMMA[network], rel=1e-5)
    for measure, value in before["measures"].items():
        assert now["measures"][measure] == pytest.approx(value, rel=1e-5), measure
    assert before["recipe"].items() <= now["recipe"].items()
    assert before["outcome"] == now["outcome"]


def test_recipe_and_outcome_of_a_checkpoint_are_read():
    read = checkpoint.read(FILES / f"{RANDOM}.safetensors")
    assert (read.recipe.hidden, read.recipe.labels, read.recipe.subset) == (16, "random", 60)
    assert read.outcome.train_error == 0
    assert read.outcome.train_loss == pytest.approx(0.00988, rel=1e-3)


def test_a_witness_holds(format1, capsys):
    assert run(["verify", f"{RANDOM}.safetensors", "worst.witness", "--quiet"]) == 0
    assert float(capsys.readouterr().out) == pytest.approx(SHARPNESS, rel=1e-5)


def test_the_worst_point_is_a_checkpoint(format1, capsys):
    assert run(["inspect", "worst.safetensors", "-o", "-", "--quiet"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["outcome"]["train_loss"] == pytest.approx(0.0101490, rel=1e-4)


def test_all_records_of_a_folder_are_joined(format1):
    table = frame(str(format1)).set_index(["recipe.labels", "recipe.subset"])
    assert len(table) == 4
    for network, l2 in L2.items():
        assert table.loc[network, "l2"] == pytest.approx(l2, rel=1e-5)
    assert table.loc[("random", 60), "sharpness"] == pytest.approx(SHARPNESS, rel=1e-5)
    assert table.loc[("random", 60), "expected_sharpness"] == pytest.approx(EXPECTED, rel=1e-5)


def test_claims_judge_them(format1, capsys):
    assert run(["claims", ".", "-o", "-", "--quiet"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["networks"] == 4
    verdicts = [row["verdict"] for row in judged["claims"] if row["claim"] == "1a"]
    assert verdicts == ["holds"] * 4


def test_plot_draws_them(format1):
    keys = ["--x", "recipe.subset", "--y", "l2", "--by", "recipe.labels"]
    assert run(["plot", ".", *keys, "-o", "figure.png", "--quiet"]) == 0
    assert Path("figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["half.safetensors.state", "older-half.safetensors.state"])
def test_a_run_goes_on_from_a_state(format1, name):
    """Its first epochs are those of the state, the rest is trained."""
    state = Path("half.safetensors.state")
    content = Path(name).read_bytes()
    state.write_bytes(content)
    before = state_file.parse(content)
    assert 0 < before.epoch < 300
    assert run(STOPPED.split()) == 0
    outcome = checkpoint.read(Path("half.safetensors")).outcome
    assert outcome.epochs == 300
    for key, values in before.history.items():
        assert list(outcome.history[key])[: len(values)] == list(values)
    assert outcome.train_loss == pytest.approx(LOSS_AT_300, rel=1e-3)
    assert not state.exists()
