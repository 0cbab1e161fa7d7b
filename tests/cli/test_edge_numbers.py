"""Numbers at the edge: the right result, null with a note, or one line; never a wrong number."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gentool.cli.main import run

DIGITS = ["train", "--data", "digits", "--model", "mlp", "--hidden", "8"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def network(change):
    """Train a small network and write it with its weights changed."""
    assert run([*DIGITS, "--subset", "20", "--epochs", "2", "-q", "-o", "g.safetensors"]) == 0
    with safe_open("g.safetensors", "pt") as file:
        texts = file.metadata()
    weights = load_file("g.safetensors")
    change(weights)
    save_file(weights, "a.safetensors", texts)


def times(factor):
    def change(weights):
        for tensor in weights.values():
            tensor *= factor

    return change


def infinite(weights):
    weights["hidden1.weight"][0, 0] = float("inf")


@pytest.mark.parametrize("kind", [[], ["--expected"], ["--flatness"]])
def test_nothing_is_near_an_infinite_weight(kind, capsys):
    """A network whose loss is finite all the same: each measure is null, with the reason."""
    network(infinite)
    assert run(["sharpness", "a.safetensors", *kind, "-q"]) == 0
    [path] = Path().glob("a.*.json")
    record = json.loads(path.read_text())
    assert set(record["measures"].values()) == {None}
    for name in record["measures"]:
        assert any(note.startswith(f"{name}: ") for note in record["notes"])


def test_second_derivatives_that_overflow_are_null_with_a_note():
    network(times(1e30))
    assert run(["sharpness", "a.safetensors", "--flatness", "--restarts", "1", "-q"]) == 0
    record = json.loads(Path("a.sharpness.json").read_text())
    names = ("hessian_top_eigenvalue", "hessian_trace", "hessian_trace_stderr")
    assert [record["measures"][name] for name in names] == [None] * 3
    for name in names:
        assert f"{name}: second derivatives of the loss are beyond" in " ".join(record["notes"])


def test_expected_sharpness_of_large_weights_has_no_number_that_is_none():
    network(times(1e30))
    assert run(["sharpness", "a.safetensors", "--expected", "-q"]) == 0
    [path] = Path().glob("a.*.json")
    record = json.loads(path.read_text())
    for name, value in record["measures"].items():
        is_told = any(note.startswith(name.removesuffix("_stderr")) for note in record["notes"])
        assert value is not None or is_told, name


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--subset", "1"], "take more images"),
        (["--subset", "4", "--batch-size", "1"], "take --batch-size 2 or more"),
    ],
)
def test_batch_norm_of_a_single_image_is_an_error_of_one_line(options, remedy, capsys):
    """Its variance is 0; convolutions of several pixels have one, and are trained."""
    assert run([*DIGITS, "--batch-norm", "on", *options, "-o", "a.safetensors"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert remedy in error
    assert list(Path().glob("*.safetensors*")) == []


def test_a_folder_without_one_of_its_images_is_other_data(capsys):
    """Also where fewer images are left than were drawn."""
    for half in ("train", "test"):
        for i in range(4):
            path = Path(f"d/{half}/{'ab'[i % 2]}/{i}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(i).integers(0, 255, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    train = ["train", "--data", "folder:d", "--model", "mlp", "--hidden", "4", "--epochs", "1"]
    assert run([*train, "-q", "-o", "a.safetensors"]) == 0
    Path("d/train/a/0.png").unlink()
    capsys.readouterr()
    for command in ("measure", "sharpness"):
        assert run([command, "a.safetensors"]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "the data differs from what the network was trained on" in error
