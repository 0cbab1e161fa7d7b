"""The options about the data: recorded, applied again by later commands, and asked for."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.data.sources import load_dataset
from gentool.data.subset import draw_subset
from gentool.records.recipe import Recipe

TRAIN = ["train", "--model", "mlp", "--hidden", "4", "--epochs", "1", "--quiet", "--data"]


def record(path, *options):
    """Measure a checkpoint, in full, and return its record."""
    assert run(["measure", str(path), "--only", "l2", "--quiet", "--force", *options]) == 0
    return json.loads(path.with_suffix("").with_suffix(".measures.json").read_text())


def write_npz(path, x, y, **test):
    np.savez(path, x_train=x, y_train=y, **test)
    return f"npz:{path}"


def write_folder(folder, size=(5, 4)):
    """Write four grey images of two classes into each half."""
    value = 0
    for half in ("train", "test"):
        for kind in ("cat", "dog"):
            (folder / half / kind).mkdir(parents=True)
            for i in range(2):
                value += 9
                Image.new("L", size, value).save(folder / half / kind / f"{i}.png")
    return f"folder:{folder}"


def test_channels_and_size_of_a_folder_are_recorded_and_applied_again(tmp_path):
    path = tmp_path / "a.safetensors"
    data = write_folder(tmp_path / "images")
    assert run([*TRAIN, data, "--channels", "1", "--resize", "3", "-o", str(path)]) == 0
    recipe = record(path)["recipe"]
    assert (recipe["channels"], recipe["resize"], recipe["input_shape"]) == (1, 3, [1, 3, 3])


def test_an_ambiguous_archive_is_read_again_as_it_was_said(tmp_path, capsys):
    images = np.arange(6 * 48, dtype=np.uint8).reshape(6, 3, 4, 4)
    labels = np.arange(6) % 2
    data = write_npz(tmp_path / "a.npz", images, labels, x_test=images, y_test=labels)
    path = tmp_path / "a.safetensors"
    assert run([*TRAIN, data, "-o", str(path)]) == 1
    assert "--channels-first or --channels-last" in capsys.readouterr().err
    assert run([*TRAIN, data, "-o", str(path), "--channels-first"]) == 0
    assert record(path)["recipe"]["channel_order"] == "first"


def test_the_first_images_are_taken_and_proved_by_the_digest(tmp_path):
    """In the order of the data; the seed does not matter to them, and the record says so."""
    path = tmp_path / "a.safetensors"
    assert run([*TRAIN, "digits", "--first", "20", "-o", str(path)]) == 0
    recipe = record(path)["recipe"]
    data = load_dataset("digits", tmp_path, show_progress=False)
    options = {"labels": "true", "subset": 20, "confusion": 0}
    drawn = draw_subset(data, **options, seed=7, takes_first=True)
    assert torch.equal(drawn.subset.images, data.train_images[:20])
    assert (recipe["draw"], recipe["subset"], recipe["digest"]) == ("first", 20, drawn.digest)
    assert recipe["digest"] != draw_subset(data, **options, seed=0).digest


def test_first_and_subset_exclude_each_other(capsys):
    assert run([*TRAIN, "digits", "--first", "5", "--subset", "5"]) == 2
    assert "--first and --subset exclude each other" in capsys.readouterr().err


def test_recipes_of_earlier_versions_were_drawn_at_random():
    assert Recipe.from_json({}).draw == "random"
    assert Recipe.from_json({"model": "layers"}).draw is None


def test_without_a_test_set_there_is_no_test_error(tmp_path, capsys):
    """The outcome is null with a note; training and measuring go on."""
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4), dtype=np.uint8)
    data = write_npz(tmp_path / "a.npz", images, np.arange(8) % 2)
    path = tmp_path / "a.safetensors"
    assert run([*[word for word in TRAIN if word != "--quiet"], data, "-o", str(path)]) == 0
    assert "no test set" in capsys.readouterr().err
    measured = record(path)
    assert measured["outcome"]["test_error"] is None
    assert any("no test images" in note for note in measured["notes"])


@pytest.fixture
def one_channel(tmp_path):
    """A foreign convolution network of one channel and two classes, for images of 4x5."""
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(40, 2))
    path = tmp_path / "net.pth"
    torch.save(module.state_dict(), path)
    code = tmp_path / "net.py"
    code.write_text(
        "from torch import nn\n"
        "def net():\n"
        "    return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), "
        "nn.Linear(40, 2))\n"
    )
    return path, f"{code}:net"


def test_grey_folders_stay_one_channel_where_the_network_has_one(tmp_path, one_channel):
    path, module = one_channel
    data = write_folder(tmp_path / "images")
    options = ["--module", module, "--input-shape", "1x4x5", "--data", data]
    assert record(path, *options)["recipe"]["input_shape"] == [1, 4, 5]
    converted = tmp_path / "own.safetensors"
    assert run(["convert", str(path), *options, "-o", str(converted), "--quiet"]) == 0
    assert checkpoint.read(converted).recipe.channels == 1
    assert record(converted)["recipe"]["channels"] == 1


def test_the_first_images_of_a_foreign_network_are_recorded(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)).state_dict(), path)
    recipe = record(path, "--model", "mlp", "--data", "digits", "--first", "9")["recipe"]
    assert (recipe["draw"], recipe["subset"]) == ("first", 9)
