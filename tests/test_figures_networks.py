"""Looks at networks: their training, margins, data and the loss around them, on trained ones."""

import json
import subprocess
import sys

import pytest
from safetensors import safe_open

from gentool import records
from gentool.cli import run
from gentool.figures import FIGURES, inputs
from gentool.figures.registry import Asked

TRAIN = "train --model mlp --hidden 16 --data digits --subset 100 --lr 0.1 --labels"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two networks of 16 units on 100 digits with true and with random labels, measured."""
    folder = tmp_path_factory.mktemp("networks")
    for labels in ("true", "random"):
        path = str(folder / f"{labels}.safetensors")
        confusion = "20" if labels == "true" else "0"
        asked = [*TRAIN.split(), labels, "--confusion", confusion]
        assert run([*asked, "--quiet", "-o", path]) == 0
        assert run(["measure", path, "--quiet"]) == 0
    return folder


@pytest.fixture
def checkpoints(folder):
    return [folder / "true.safetensors", folder / "random.safetensors"]


@pytest.fixture
def measured(folder):
    return [folder / "true.measures.json", folder / "random.measures.json"]


def prepared(figure, files, **asked):
    entry = FIGURES[figure]
    return entry.prepare(inputs.given(entry, files), Asked(quiet=True, **asked))


def outcome(path):
    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["gentool"])["outcome"]


def test_training_curves_are_the_history_of_the_checkpoint(checkpoints):
    loss, error = prepared("training", checkpoints).panels
    for i, path in enumerate(checkpoints):
        history = outcome(path)["history"]
        assert [10**y for y in loss.curves[i].y] == pytest.approx(history["loss"])
        assert list(error.curves[i].y) == history["error"]
        assert list(error.curves[i].x) == history["epoch"]
        assert error.curves[i].marked == (len(history["epoch"]) - 1,)


def test_training_is_the_same_from_measure_files(checkpoints, measured):
    """And a network of which both are given is drawn once."""
    from_checkpoints = prepared("training", checkpoints)
    assert prepared("training", measured) == from_checkpoints
    assert prepared("training", [*checkpoints, *measured]) == from_checkpoints


def test_true_labels_are_blue_and_random_ones_vermilion(checkpoints):
    curves = prepared("training", checkpoints[::-1]).panels[0].curves
    assert [curve.colour for curve in curves] == ["#0072b2", "#d55e00"]
    assert [curve.label for curve in curves] == ["true labels, 20 confusion", "random labels"]


@pytest.mark.parametrize("figure", ["training"])
def test_figures_from_files_do_not_import_torch(tmp_path, checkpoints, measured, figure):
    code = (
        "import sys; from gentool.cli import run; code = run(sys.argv[1:]); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    files = measured if figure == "margins" else checkpoints
    arguments = ["plot", *files, "--figure", figure, "-o", tmp_path / "a.png"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_history_that_no_file_holds_is_an_error(measured, tmp_path, capsys):
    record = records.read(measured[0]) | {"outcome": None}
    records.write(tmp_path / "a.json", record)
    assert run(["plot", str(tmp_path / "a.json"), "--figure", "training"]) == 1
    assert "none of these files holds the history" in capsys.readouterr().err
