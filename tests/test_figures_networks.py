"""Looks at networks: their training, margins, data and the loss around them, on trained ones."""

import json
import subprocess
import sys

import pytest
from safetensors import safe_open

from gentool import records
from gentool.cli import run
from gentool.figures import FIGURES, draw, inputs
from gentool.figures.registry import Asked
from gentool.figures.sheet import Sheet

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


def test_margins_are_the_histograms_of_the_files(measured):
    """Height times width times the number of images is the count of a step."""
    distribution, _ = prepared("margins", measured).panels
    for curve, path in zip(distribution.curves, measured, strict=True):
        margin = records.read(path)["margin"]
        lows, highs, heights = curve.x[1:-1:2], curve.x[2:-1:2], curve.y[1:-1:2]
        areas = [y * (b - a) for a, b, y in zip(lows, highs, heights, strict=True)]
        counts = margin["histogram"]["counts"]
        assert [area * margin["points"] for area in areas] == pytest.approx(counts)
        assert [*lows, highs[-1]] == margin["histogram"]["edges"]


def test_gamma_is_marked_in_the_colour_of_its_network(measured):
    """It is also the quantile at ε."""
    distribution, quantiles = prepared("margins", measured).panels
    for panel in (distribution, quantiles):
        for curve, line, path in zip(panel.curves, panel.uprights, measured, strict=True):
            gamma = records.read(path)["margin"]["gamma"]
            assert (line.x, line.colour) == (gamma, curve.colour)
    assert quantiles.curves[0].y[quantiles.curves[0].x.index(quantiles.uprights[0].x)] == 0.05


def test_negative_margins_are_seen(measured, tmp_path):
    """A line at 0 parts them from the others, and the axis reaches below it."""
    record = records.read(measured[0])
    histogram = record["margin"]["histogram"]
    histogram["edges"] = [edge - 5 for edge in histogram["edges"]]
    records.write(tmp_path / "a.json", record)
    panel = prepared("margins", [tmp_path / "a.json"]).panels[0]
    assert 0.0 in [line.x for line in panel.uprights]
    assert draw(Sheet([panel], "")).axes[0].get_xlim()[0] < histogram["edges"][0] < 0


@pytest.mark.parametrize("figure", ["training", "margins"])
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
