"""Test `gentool convert`, and measures of foreign checkpoints: their data is named, not guessed."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.foreign_networks import CifarVGG, ListMLP, TorchvisionVGG, with_random_statistics
from jsonschema import Draft202012Validator
from safetensors.torch import load_file
from torch import nn

from gentool.checkpoints import checkpoint
from gentool.checkpoints.hints import Hints
from gentool.cli.main import run
from gentool.records.measure_file import read

POOL = ("--pool", "max")  # a map of 1x1 does not show which pooling made it


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def vgg(tmp_path):
    """A CIFAR VGG in a file of its own."""
    path = tmp_path / "vgg.pth"
    torch.save({"net": with_random_statistics(CifarVGG()).state_dict()}, path)
    return path


@pytest.fixture
def images(tmp_path):
    """40 images of 3x32x32 with three of ten labels, as npz."""
    draw = np.random.default_rng(0)
    path = tmp_path / "images.npz"
    x = draw.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    y = draw.integers(0, 3, 40)
    np.savez(path, x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])
    return path


def measured(*arguments):
    """The record that `gentool measure` prints, checked against the schema."""
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    assert run(["measure", *map(str, arguments), "-o", "record.json", "--force"]) == 0
    record = read(Path("record.json"))
    Draft202012Validator(schema).validate(record)
    return record


def test_a_converted_network_is_measured_as_the_original(vgg, capsys):
    """The same numbers from the converted file, which needs no inference; outcome unknown."""
    assert run(["convert", str(vgg), *POOL, "-o", "out.safetensors"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "out.safetensors\n"
    assert captured.err.startswith("gentool: vgg.pth: inferred vgg11 of 8 convolutions")
    assert captured.err.count("\n") == 1
    original, converted = measured(vgg, *POOL, "--quiet"), measured("out.safetensors", "--quiet")
    for part in ("measures", "log10", "layers", "recipe"):
        assert original[part] == converted[part]
    assert converted["measures"]["l2_unnormalized"] > 0
    assert converted["measures"]["l2"] is None
    assert converted["outcome"] is None
    assert converted["recipe"]["data"] is None
    assert capsys.readouterr().err == ""


def test_a_converted_file_loads_into_the_original_module(vgg):
    assert run(["convert", str(vgg), *POOL, "-o", "out.safetensors", "--quiet"]) == 0
    assert CifarVGG().load_state_dict(load_file("out.safetensors"), strict=True)
    read_again = checkpoint.read(Path("out.safetensors"))
    assert read_again.kind == "gentool"
    assert isinstance(read_again.model().get_submodule("features.3"), nn.MaxPool2d)


def test_inspect_prints_what_was_inferred_in_a_conversion(vgg, capsys):
    assert run(["convert", str(vgg), *POOL, "-o", "out.safetensors", "--quiet"]) == 0
    assert run(["inspect", "out.safetensors"]) == 0
    error = capsys.readouterr().err
    assert "note: converted from vgg.pth; inferred from this file: vgg11 of 8" in error


def test_two_conversions_have_the_same_bytes(vgg, tmp_path):
    for name in ("a", "b"):
        assert run(["convert", str(vgg), *POOL, "-o", f"{name}.safetensors", "--quiet"]) == 0
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_measure_prints_what_was_inferred_and_which_option_is_missing(vgg, capsys):
    assert run(["measure", str(vgg), *POOL]) == 0
    error = capsys.readouterr().err
    assert "gentool: vgg.pth: inferred vgg11" in error
    assert "margins need the training data; name it with --data" in error


def test_margins_are_measured_if_the_data_is_named(vgg, images):
    """With the subset, the seed and the normalisation of the options, all recorded."""
    options = ["--data", f"npz:{images}", "--subset", "20", "--seed", "3"]
    record = measured(vgg, *POOL, *options, "--mean", "0.4,0.5,0.6", "--std", "0.2,0.2,0.25")
    recipe = record["recipe"]
    assert record["margin"]["points"] == 20
    assert (recipe["subset"], recipe["seed"], recipe["labels"]) == (20, 3, "true")
    assert recipe["mean"] == [0.4, 0.5, 0.6]
    assert len(recipe["digest"]) == 64
    assert record["command"]["subset"] == 20
    model = checkpoint.read(vgg, Hints(pool="max")).model().double()
    with np.load(images) as file:
        order = np.random.RandomState([3, 0]).permutation(30)[:20]
        x, y = torch.tensor(file["x_train"][order]), torch.tensor(file["y_train"][order])
    mean, std = (torch.tensor(recipe[name], dtype=torch.float64) for name in ("mean", "std"))
    with torch.inference_mode():
        logits = model(((x / 255.0 - mean) / std).permute(0, 3, 1, 2))
    label = logits.gather(1, y[:, None]).squeeze(1)
    others = logits.scatter(1, y[:, None], -torch.inf).amax(1)
    assert record["margin"]["gamma"] == pytest.approx((label - others).min().item(), rel=1e-5)


def test_the_default_normalisation_is_that_of_the_data_set(vgg, images):
    recipe = measured(vgg, *POOL, "--data", f"npz:{images}")["recipe"]
    with np.load(images) as file:
        expected = file["x_train"].mean(axis=(0, 1, 2)) / 255
    assert recipe["mean"] == pytest.approx(expected.tolist())


def test_a_network_converted_with_its_data_is_measured_without_options(vgg, images):
    data = ["--data", f"npz:{images}", "--labels", "random", "--subset", "10"]
    assert run(["convert", str(vgg), *POOL, *data, "-o", "out.safetensors"]) == 0
    first, second = measured(vgg, *POOL, *data), measured("out.safetensors")
    assert first["margin"] == second["margin"]
    assert second["recipe"]["labels"] == "random"
    other = images.with_name("other.npz")
    with np.load(images) as file:
        np.savez(other, **dict(file) | {"y_train": 2 - file["y_train"]})
    images.unlink()
    other.rename(images)
    assert run(["measure", "out.safetensors", "-o", "-"]) == 1


def test_an_mlp_with_64_inputs_is_measured_on_images_of_8x8(tmp_path):
    torch.save(nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)).state_dict(), "m.pt")
    record = measured("m.pt", "--data", "digits", "--subset", "100")
    assert record["recipe"]["input_shape"] == [1, 8, 8]
    assert record["margin"]["points"] == 100


def test_a_vgg_for_any_size_is_measured_at_the_size_of_its_data(images):
    """torchvision's VGG pools to 7x7 before its classifier; without data, ImageNet's size."""
    torch.save(TorchvisionVGG(classes=1000).state_dict(), "vgg.pt")
    assert checkpoint.read(Path("vgg.pt")).recipe.input_shape == (3, 224, 224)
    record = measured("vgg.pt", "--data", f"npz:{images}", "--only", "margin")
    assert record["recipe"]["input_shape"] == [3, 32, 32]


REFUSED = [
    (["convert", "vgg.pth", "-o", "out.pt"], 2, "written as .safetensors"),
    (["convert", "vgg.pth", "-o", "o.safetensors", "--subset", "3"], 2, "need --data"),
    (["convert", "vgg.pth", "-o", "there.safetensors"], 1, "exists"),
    (["convert", "own.safetensors", "-o", "o.safetensors"], 1, "describes itself already"),
    (["convert", "none.pt", "-o", "o.safetensors"], 1, "none.pt does not exist"),
    (["convert", "list.pt", "-o", "o.safetensors"], 2, "--activation relu"),
    (["measure", "vgg.pth", *POOL, "--subset", "3"], 2, "--subset needs the training data"),
    (["measure", "vgg.pth", *POOL, "--data", "digits"], 1, "images of digits are 1x8x8"),
    (["measure", "own.safetensors", "--model", "mlp"], 2, "it describes itself"),
    (
        ["measure", "vgg.pth", *POOL, "--data", "digits", "--mean", "1", "--std", "1"],
        2,
        "each of 1",
    ),
    (
        ["measure", "vgg.pth", *POOL, "--data", "npz:images.npz", "--subset", "99"],
        1,
        "has 30 images",
    ),
    (["measure", "vgg.pth", *POOL, "--mean", "1"], 2, "--mean and --std go together"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), REFUSED)
def test_an_error_is_one_line(vgg, images, tmp_path, capsys, arguments, code, words):
    """It names the option that is needed, and no file is written."""
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    torch.save(ListMLP().state_dict(), tmp_path / "list.pt")
    torch.save({"a.weight": torch.randn(3, 4)}, tmp_path / "a.pt")
    assert run(["convert", "a.pt", "-o", "own.safetensors", "--quiet"]) == 0
    before = sorted(tmp_path.iterdir())
    capsys.readouterr()
    if words == "each of 1":
        arguments, words = [*arguments[:-1], "1,1"], "std has to be one number for each of 1"
        arguments[arguments.index("--mean") + 1] = "0"
    assert run([*arguments, "--quiet"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert sorted(tmp_path.iterdir()) == before


def test_training_data_of_an_own_checkpoint_cannot_be_overridden(saved, capsys):
    """An option that contradicts the recorded recipe is an error."""
    assert run(["measure", str(saved), "--subset", "10", "--quiet"]) == 2
    assert "describes its training data" in capsys.readouterr().err


def test_skip_existing_keeps_an_existing_output(vgg, tmp_path, capsys):
    (tmp_path / "o.safetensors").write_bytes(b"mine")
    assert run(["convert", str(vgg), *POOL, "-o", "o.safetensors", "--skip-existing"]) == 0
    assert capsys.readouterr().out == "o.safetensors\n"
    assert (tmp_path / "o.safetensors").read_bytes() == b"mine"
