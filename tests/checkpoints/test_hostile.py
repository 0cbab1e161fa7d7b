"""Hostile or damaged files: an error of one line, exit 1, nothing run, nothing written."""

import json
import os
import pickle
import struct
import zipfile

import pytest
import torch
from helpers.foreign_networks import CifarVGG
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from gentool.cli.main import run
from gentool.records.measure_file import read


class Payload:
    """An object whose unpickling creates the file `executed` in the current folder."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def mlp(**changes):
    """Return the state dict of an MLP with some tensors replaced; `fc1__weight` is fc1.weight."""
    state = {
        "fc1.weight": torch.ones(8, 64),
        "fc1.bias": torch.ones(8),
        "fc2.weight": torch.ones(10, 8),
    }
    return state | {name.replace("__", "."): tensor for name, tensor in changes.items()}


def normed(**changes):
    running = {"bn1__running_mean": torch.zeros(8), "bn1__running_var": torch.ones(8)}
    return mlp(**running | changes)


STATES = {
    "int8 weights": (mlp(fc1__weight=torch.ones(8, 64, dtype=torch.int8)), "type int8"),
    "int64 weights": (mlp(fc1__bias=torch.ones(8, dtype=torch.int64)), "type int64"),
    "8-bit floats": (mlp(fc1__bias=torch.ones(8).to(torch.float8_e4m3fn)), "type float8"),
    "no tensors": ({}, "holds no tensors"),
    "an empty tensor": (mlp(fc1__weight=torch.ones(0, 64)), "'fc1.weight' is empty"),
    "sizes that do not chain": (mlp(fc2__weight=torch.ones(10, 9)), "do not fit one after"),
    "a bias too long": (mlp(fc1__bias=torch.ones(9)), "bias of layer 'fc1' has shape"),
    "a layer norm": (mlp(ln__weight=torch.ones(8)), "'ln' has shape (8,)"),
    "weight norm": (mlp(fc1__weight_g=torch.ones(8)), "'fc1.weight_g' is of no"),
    "an attention layer": (mlp(a__in_proj_weight=torch.ones(8, 8)), "is of no convolution"),
    "a 3-d convolution": (mlp(c__weight=torch.ones(2, 2, 3, 3, 3)), "'c' has shape"),
    "no layer's name": ({"weight": torch.ones(3, 4)}, "no layer's name"),
    "only biases": ({"fc.bias": torch.ones(3)}, "no weight"),
    "a name that rings": ({"a\a.weight": torch.ones(3, 4)}, "cannot be printed"),
    "a name that a module has": ({"half.weight": torch.ones(3, 4)}, "called 'half'"),
    "negative variances": (normed(bn1__running_var=-torch.ones(8)), "negative running variance"),
    "no variances": (mlp(bn1__running_mean=torch.zeros(8)), "has no running_var"),
    "scalar statistics": (
        mlp(bn1__running_mean=torch.zeros(()), bn1__running_var=torch.ones(())),
        "not one size",
    ),
    "half an affine map": (normed(bn1__weight=torch.ones(8)), "and not both"),
    "a stray batch norm": (
        mlp(odd__running_mean=torch.zeros(7), odd__running_var=torch.ones(7)),
        "batch norm 'odd'",
    ),
    "channels that do not chain": (
        CifarVGG().state_dict() | {"features.4.weight": torch.ones(8, 5, 3, 3)},
        "takes 5 channels, 'features.0' before it has 4 outputs",
    ),
    "convolutions alone": ({"features.0.weight": torch.ones(4, 3, 3, 3)}, "one of them is missing"),
    "a classifier that does not fit": (
        CifarVGG().state_dict() | {"classifier.weight": torch.ones(10, 33)},
        "no multiple of the 32 channels",
    ),
    "a 5x5 convolution": (
        CifarVGG().state_dict() | {"features.0.weight": torch.ones(4, 3, 5, 5)},
        "a 5x5 convolution",
    ),
}
CONTENTS = {
    "code": ({"a": Payload()}, "nothing in it was run"),
    "one layer as a whole module": (nn.Linear(2, 2), "no layer's name"),
    "complex weights": (mlp(fc1__bias=torch.ones(8, dtype=torch.complex64)), "complex64"),
    "sparse weights": (mlp(fc1__weight=torch.eye(3).to_sparse()), "is sparse"),
    "weights without values": (mlp(fc1__weight=torch.ones(8, 64, device="meta")), "without values"),
    "a terabyte of one number": (
        {"a.weight": torch.zeros(1).expand(10**6, 10**6)},
        "stores only part of its numbers",
    ),
    "a list": ([1, 2], "but a list"),
    "a tensor": (torch.ones(3), "one tensor without a name"),
    "no state dict": ({"epoch": 3}, "but a dict (epoch)"),
    "names that are numbers": ({1: torch.ones(3, 4)}, "it has 1 for a name"),
}


def assert_refused(path, words, capsys):
    """Assert that every command refuses a file in one line, runs nothing and writes nothing."""
    before = sorted(path.parent.iterdir())
    for command in (
        ["inspect"],
        ["measure"],
        ["convert", "-o", str(path.parent / "o.safetensors")],
    ):
        assert run([*command, str(path)]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert words in captured.err
        assert path.name in captured.err
    assert sorted(path.parent.iterdir()) == before


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("case", STATES)
def test_a_state_dict_that_is_no_network_is_refused(tmp_path, capsys, case, suffix):
    state, words = STATES[case]
    path = tmp_path / f"net{suffix}"
    torch.save(state, path) if suffix == ".pt" else save_file(state, path)
    assert_refused(path, words, capsys)


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("case", CONTENTS)
def test_a_pytorch_file_with_other_content_than_a_state_dict_is_refused(
    tmp_path, capsys, case, is_zip
):
    """In both formats of torch.save; code in the file is not run."""
    content, words = CONTENTS[case]
    torch.save(content, tmp_path / "net.pt", _use_new_zipfile_serialization=is_zip)
    assert_refused(tmp_path / "net.pt", words, capsys)
    assert not (tmp_path / "executed").exists()


def test_the_payload_runs_if_a_file_is_unpickled_without_protection(tmp_path):
    """So the tests above would notice it."""
    torch.save({"a": Payload()}, tmp_path / "net.pt")
    torch.load(tmp_path / "net.pt", weights_only=False)
    assert (tmp_path / "executed").exists()


def _raw_pickle(path):
    path.write_bytes(pickle.dumps(Payload()))


def _truncated(path):
    torch.save(mlp(), path)
    path.write_bytes(path.read_bytes()[:1500])


def _compressed(path):
    torch.save(mlp(), path)
    with zipfile.ZipFile(path) as file:
        entries = {entry.filename: file.read(entry) for entry in file.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(name, content)
        file.writestr("net/data/99", bytes(10**7))


def _header_of_10_gb(path):
    path.write_bytes(struct.pack("<Q", 10 * 2**30) + b"{}")


def _huge_shape(path):
    tensor = {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4]}
    header = json.dumps({"a.weight": tensor}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("net.pth", _raw_pickle, "nothing in it was run"),
        ("net.pt", _truncated, "no whole PyTorch file"),
        ("net.pt", lambda path: path.write_bytes(b""), "is empty"),
        ("net.pt", lambda path: path.write_text("weights"), "is a text"),
        ("net.pt", _compressed, "a compressed archive of 1"),
        ("net.safetensors", _header_of_10_gb, "no whole safetensors file"),
        ("net.pt", _header_of_10_gb, "net.pt"),
        ("net.safetensors", _huge_shape, "no whole safetensors file"),
    ],
)
def test_a_damaged_or_hostile_file_is_refused(tmp_path, capsys, name, make, words):
    make(tmp_path / name)
    assert_refused(tmp_path / name, words, capsys)
    assert not (tmp_path / "executed").exists()


LAYERS = [{"name": "f", "type": "flatten"}, {"name": "a", "type": "linear"}]
SIZES = {"in_features": 4, "out_features": 3, "bias": False}


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([LAYERS[0], LAYERS[1] | SIZES | {"in_features": 10**30}], "in_features = 1000"),
        ([LAYERS[0], LAYERS[1] | SIZES | {"in_features": 10**9}], "has shape (3, 4)"),
        ([LAYERS[0], LAYERS[1] | SIZES | {"device": "cuda"}], "has device = 'cuda'"),
        ([LAYERS[0], LAYERS[1] | SIZES | {"bias": "no"}], "has bias = 'no'"),
        ([LAYERS[0], LAYERS[1]], "cannot be a linear"),
        ([LAYERS[0], LAYERS[1] | {"type": "lstm"}], "unknown type 'lstm'"),
        ([LAYERS[0], "a"], "has no name"),
        ([LAYERS[0], LAYERS[0] | {"name": "a..b"}], "has no name"),
        ([LAYERS[1] | SIZES, LAYERS[1] | SIZES], "the name is there twice"),
        ([{"name": "p", "type": "max_pool2d", "kernel_size": 9}, LAYERS[1] | SIZES], "'p'"),
        ([], "empty"),
        (None, "empty"),
        ({"a": 1}, "layers is"),
    ],
)
def test_an_invalid_list_of_layers_in_a_recipe_is_refused(tmp_path, capsys, layers, words):
    path, good = tmp_path / "net.safetensors", tmp_path / "good.safetensors"
    torch.save({"a.weight": torch.ones(3, 4)}, tmp_path / "net.pt")
    assert run(["convert", str(tmp_path / "net.pt"), "-o", str(good), "--quiet"]) == 0
    with safe_open(good, "pt") as file:
        about = json.loads(file.metadata()["gentool"])
    about["recipe"]["layers"] = layers
    save_file({"a.weight": torch.ones(3, 4)}, path, {"gentool": json.dumps(about)})
    capsys.readouterr()
    for command in ("inspect", "measure"):
        assert run([command, str(path)]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert words in error
    assert not (tmp_path / "net.measures.json").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_measures_are_null_if_weights_are_nan_or_infinite(tmp_path, capsys, value):
    """With data as well, since the margins are not finite; inspect names the tensor."""
    path = tmp_path / "net.pt"
    torch.save(mlp(fc1__weight=torch.full((8, 64), value)), path)
    assert run(["measure", str(path), "--data", "digits"]) == 0
    record = read(tmp_path / "net.measures.json")
    assert record["measures"]["l2_unnormalized"] is None
    assert record["measures"]["spectral"] is None
    assert record["layers"][0]["frobenius"] is None
    assert record["margin"] is None
    assert any("'fc1' has NaN or infinite weights" in note for note in record["notes"])
    capsys.readouterr()
    assert run(["inspect", str(path), "-o", "-"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["not_finite"] == ["fc1.weight"]
    assert "fc1.weight has values that are NaN or infinite" in captured.err
