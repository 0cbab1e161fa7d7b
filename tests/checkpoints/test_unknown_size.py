"""Networks that take images of any size: their weights are measured without --input-shape."""

import json
from importlib import resources
from pathlib import Path

import pytest
import torch
from helpers.foreign_networks import TimmVGG, TorchvisionVGG, with_random_statistics
from helpers.small_sets import ROUNDING
from jsonschema import Draft202012Validator
from torch import nn

import gentool
from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.measures import MEASURES
from gentool.networks.canonical import canonical
from gentool.records.measure_file import read

NEEDS_SIZE = ("path", "operator")  # in the names of measures that depend on the size of the maps
MODELS = {
    "vgg16": lambda: TorchvisionVGG("vgg16"),
    "vgg11_bn": lambda: TorchvisionVGG("vgg11", batch_norm=True),
    "timm": TimmVGG,
}


@pytest.fixture(params=MODELS)
def saved_vgg(request, tmp_path, monkeypatch):
    """A VGG for ten classes, saved as FILE.pth."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = with_random_statistics(MODELS[request.param]())
    torch.save(model.state_dict(), "net.pth")
    return model


def measured(*options):
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    assert run(["measure", "net.pth", *options, "-o", "m.json", "--force"]) == 0
    record = read(Path("m.json"))
    Draft202012Validator(schema).validate(record)
    return record


def test_measures_of_weights_are_those_at_any_size(saved_vgg, capsys):
    """And those of the maps are null, with the reason and the remedy."""
    names = [name for name in MEASURES.names if name.endswith("_unnormalized")]
    names += ["parameters", "sum_of_squares", "frobenius_over_spectral"]
    names = [name for name in names if "distance" not in name]
    few = [name for name in names if not any(part in name for part in NEEDS_SIZE)]
    record = measured("--only", ",".join(names))
    error = capsys.readouterr().err
    at_64 = measured("--input-shape", "3x64x64", "--only", ",".join(few))
    for name in names:
        if name not in few:
            assert record["log10"][name] is record["measures"][name] is None
        else:
            assert record["log10"][name] == pytest.approx(at_64["log10"][name], rel=ROUNDING)
    assert "name it with --input-shape, as --input-shape 3x32x32" in error
    assert record["recipe"]["input_shape"] is None
    units = [layer["units"] for layer in record["layers"] if len(layer["shape"]) == 4]
    assert set(units) == {None}
    assert record["layers"][-1]["units"] == 10


def test_inspect_shows_layers_and_parameters(saved_vgg, capsys):
    assert run(["inspect", "net.pth", "-o", "-"]) == 0
    captured = capsys.readouterr()
    content = json.loads(captured.out)
    assert content["parameters"] == sum(p.numel() for p in saved_vgg.parameters())
    assert content["layers"][0]["output_shape"] is content["layers"][0]["units"] is None
    assert content["layers"][-1]["output_shape"] == [10]
    assert "unknown" in captured.err


def test_the_data_tell_the_size(saved_vgg, tmp_path, capsys):
    """Images of 40x36, which timm's network has to be told of, as its layers depend on them."""
    import numpy as np

    random = np.random.default_rng(0)
    images = random.integers(0, 255, (12, 40, 36, 3), dtype=np.uint8)
    np.savez("d.npz", x_train=images, y_train=np.arange(12) % 10)
    options = ["--data", "npz:d.npz", "--only", "l2_path"]
    if isinstance(saved_vgg, TimmVGG):
        assert run(["measure", "net.pth", *options]) == 1
        assert "name their shape with --input-shape 3x40x36" in capsys.readouterr().err
        options += ["--input-shape", "3x40x36"]
    record = measured(*options)
    assert record["recipe"]["input_shape"] == [3, 40, 36]
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
    mean, std = (
        torch.tensor(record["evaluation"][name]).reshape(1, 3, 1, 1) for name in ("mean", "std")
    )
    with torch.no_grad():
        logits = saved_vgg.double()((scaled - mean) / std)
    loss = nn.functional.cross_entropy(logits, torch.arange(12) % 10).item()
    assert record["evaluation"]["train_loss"] == pytest.approx(loss, rel=1e-6)


def test_a_converted_network_of_unknown_size_is_read_and_measured(saved_vgg, capsys):
    assert run(["convert", "net.pth", "-o", "own.safetensors", "-q"]) == 0
    assert run(["inspect", "net.pth", "--layers", "-o", "layers.json", "-q"]) == 0
    assert json.loads(Path("layers.json").read_text())["input_shape"] is None
    own = ["own.safetensors"]
    listed = ["net.pth", "--layers", "layers.json"]
    for options in (own, listed):
        capsys.readouterr()
        assert run(["measure", *options, "--only", "l2_unnormalized", "-q", "-o", "-"]) == 0
        value = json.loads(capsys.readouterr().out)["log10"]["l2_unnormalized"]
        assert value == pytest.approx(measured()["log10"]["l2_unnormalized"], rel=ROUNDING)


def test_1000_classes_are_those_of_imagenet(tmp_path, capsys):
    """torchvision's own file: 224x224, as before, and inspected by its name alone."""
    torch.save(TorchvisionVGG("vgg11", classes=1000).state_dict(), tmp_path / "vgg11.pth")
    assert run(["inspect", str(tmp_path / "vgg11.pth"), "-o", "-", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"][0]["output_shape"] == [4, 224, 224]


def test_a_class_of_the_user_and_a_whole_module_need_no_size_either(tmp_path):
    """A global pooling at the end: nothing tells the size; measures of weights are exact."""
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    )
    torch.save(model, tmp_path / "net.pt")
    read_network = checkpoint.read(tmp_path / "net.pt")
    assert read_network.recipe.input_shape is None
    network = canonical(read_network.model(), None)
    assert network.input_shape is None
    assert [layer.units for layer in network.weight_layers] == [None, 2]
    both = [
        gentool.measure(model, shape, only="l2_unnormalized,l1_path_unnormalized")["measures"]
        for shape in (None, (3, 9, 9))
    ]
    assert both[0]["l2_unnormalized"] == both[1]["l2_unnormalized"]
    assert both[0]["l1_path_unnormalized"] is None
