"""Files of torch.save with more in them than a state dict: read without running anything.

Each is saved in the test from a module whose weights are known, and read back.
"""

import argparse
import builtins
import collections
import gzip
import os
import pathlib
import pickle
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from gentool.checkpoints import checkpoint
from gentool.checkpoints.foreign.reading import read_pytorch
from gentool.checkpoints.hints import Hints
from gentool.cli.main import run
from gentool.common.errors import GentoolError, UsageError


def mlp(seed=0):
    """Return an MLP of 20 inputs and 5 classes with batch norm."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(20, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5)
    )
    model[2].running_mean.normal_()
    return model.eval()


def images():
    return torch.randn(6, 1, 1, 20, generator=torch.Generator().manual_seed(1))


def assert_same_function(path, model, hints=None, n=20):
    """Compare the logits of the network as read with those of the module that was saved."""
    read = checkpoint.read(path, Hints(**hints or {}))
    examples = images()[..., :n]
    with torch.inference_mode():
        assert torch.allclose(read.model()(examples), model(examples), atol=1e-5)
    return read


class AttributeDict(dict):
    """A dict of a class that only its program has."""


def contents():
    """Return contents of files, all with one state dict of the network somewhere in them."""
    model = mlp()
    state = model.state_dict()
    optimizer = torch.optim.Adam(model.parameters())
    model(images()).sum().backward()
    optimizer.step()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    history = collections.defaultdict(list, loss=[1.0])
    return model, {
        "numpy scalar": {"state_dict": state, "acc": np.float64(0.5), "n": np.int64(3)},
        "namespace": {"model": state, "args": argparse.Namespace(lr=0.1)},
        "path": {"model": state, "path": pathlib.PurePosixPath("a/b")},
        "optimizer": {"net": state, "optimizer": optimizer.state_dict()},
        "whole optimizer": {"net": state, "optimizer": optimizer},
        "scheduler": {"net": state, "s": torch.optim.lr_scheduler.StepLR(optimizer, 3)},
        "defaultdict": {"model": state, "history": history},
        "random states": {
            "model": state,
            "rng": torch.get_rng_state(),
            "np": np.random.get_state(),
        },
        "class of its own": {"model": state, "config": AttributeDict(lr=0.1)},
        "another key": {"policy": state, "epoch": 3},
        "nested key": {"a": {"b": {"c": collections.OrderedDict(state)}}},
        "list": [state],
        "tuple": (state, 12),
        "arrays": {name: tensor.numpy() for name, tensor in state.items()},
        "whole module": model,
        "whole module under a key": {"model": model, "epoch": 4},
        "module and its state": {"model": model, "state_dict": model.state_dict()},
        "data parallel": nn.DataParallel(model),
        "parameters": {name: nn.Parameter(t, False) for name, t in state.items()},
    }


NAMES = list(contents()[1])


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_the_only_weights_in_a_file_are_read_wherever_they_are(tmp_path, name, is_zip):
    model, files = contents()
    torch.save(files[name], tmp_path / "n.pt", _use_new_zipfile_serialization=is_zip)
    assert_same_function(tmp_path / "n.pt", model)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_plain_pickle_of_tensors_or_arrays_is_read(tmp_path, protocol):
    model = mlp()
    state = model.state_dict()
    arrays = {name: np.asfortranarray(tensor.numpy()) for name, tensor in state.items()}
    for content in (state, arrays):
        (tmp_path / "n.pt").write_bytes(pickle.dumps(content, protocol))
        assert_same_function(tmp_path / "n.pt", model)


@pytest.mark.parametrize("is_zip", [True, False])
def test_tensors_are_those_of_torch_load(tmp_path, is_zip):
    """Of all types, transposed, sliced, tied and empty."""
    base = torch.arange(40.0)
    state = {
        "w.weight": base.reshape(5, 8).t(),
        "s": base[3:30:4],
        "h": base.half(),
        "i": base.int(),
    }
    state |= {"b": base.bfloat16(), "o": base > 3, "d": base.double(), "x": base[:1].expand(3, 2)}
    torch.save(state, tmp_path / "n.pt", _use_new_zipfile_serialization=is_zip)
    tensors = read_pytorch(tmp_path / "n.pt").tensors
    for name, expected in torch.load(tmp_path / "n.pt").items():
        assert tensors[name].dtype == expected.dtype
        assert torch.equal(tensors[name], expected)


def test_of_several_sets_the_main_one_is_read_and_key_chooses(tmp_path, capsys):
    model, other = mlp(0), mlp(1)
    path = tmp_path / "n.pth"
    torch.save({"model": model.state_dict(), "model_ema": other.state_dict()}, path)
    origin = assert_same_function(path, model).recipe.origin
    assert (origin["key"], origin["other_keys"]) == ("model", ["model_ema"])
    assert any("other sets of weights: model_ema" in word for word in origin["inferred"])
    origin = assert_same_function(path, other, {"key": "model_ema"}).recipe.origin
    assert (origin["key"], origin["other_keys"]) == ("model_ema", ["model"])
    with pytest.raises(UsageError, match="unknown key 'ema'"):
        checkpoint.read(path, Hints(key="ema"))
    assert run(["inspect", str(path), "--key", "model_ema", "-q"]) == 0
    out = tmp_path / "o.safetensors"
    assert run(["convert", str(path), "--key", "model_ema", "-q", "-o", str(out)]) == 0
    assert_same_function(out, other)


def test_of_several_networks_none_is_read_without_a_key(tmp_path):
    model, other = mlp(0), mlp(1)
    torch.save({"policy": model.state_dict(), "value": other.state_dict()}, tmp_path / "n.pth")
    with pytest.raises(UsageError, match=r"several state dicts .policy, value.; choose .* --key"):
        checkpoint.read(tmp_path / "n.pth")
    assert_same_function(tmp_path / "n.pth", other, {"key": "value"})


def test_a_key_also_chooses_a_part_of_one_state_dict(tmp_path):
    """As of a network and its target."""
    model, other = mlp(0), mlp(1)
    both = nn.ModuleDict({"q": model, "target": other}).state_dict()
    torch.save({"state_dict": both}, tmp_path / "n.pth")
    assert_same_function(tmp_path / "n.pth", other, {"key": "target"})
    assert_same_function(tmp_path / "n.pth", other, {"key": "state_dict.target"})


def with_formula(name):
    model = mlp()
    layer = model[1]
    formulas = {
        "weight norm": lambda: weight_norm(layer),
        "weight norm of all": lambda: weight_norm(layer, dim=None),
        "weight norm of columns": lambda: weight_norm(layer, dim=1),
        "weight norm, parametrized": lambda: parametrizations.weight_norm(layer),
        "spectral norm": lambda: spectral_norm(layer),
        "spectral norm, parametrized": lambda: parametrizations.spectral_norm(layer),
        "pruned": lambda: prune.l1_unstructured(layer, "weight", 0.5),
        "pruned bias": lambda: prune.l1_unstructured(layer, "bias", 0.5),
    }
    formulas[name]()
    if "weight norm" in name:
        with torch.no_grad():
            next(part for key, part in layer.named_parameters() if key.endswith(("_g", "0"))).mul_(
                2
            )
    return model.train(), formulas


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(with_formula("pruned")[1]))
def test_a_weight_given_by_a_formula_is_computed(tmp_path, name):
    model, _ = with_formula(name)
    model(images())  # spectral norm iterates in training
    torch.save(model.eval().state_dict(), tmp_path / "n.pt")
    read = assert_same_function(tmp_path / "n.pt", model)
    kind = name.split(",")[0].replace("pruned", "pruning").partition(" of ")[0]
    assert any(
        word.startswith(kind.removesuffix(" bias")) for word in read.recipe.origin["inferred"]
    )


def test_another_parametrization_is_refused_by_name(tmp_path):
    model = mlp()
    parametrizations.orthogonal(model[1])
    torch.save(model.state_dict(), tmp_path / "n.pt")
    with pytest.raises(GentoolError, match=r"'1.parametrizations.*remove_parametrizations"):
        checkpoint.read(tmp_path / "n.pt")


def test_counters_metrics_and_losses_are_left_aside_by_name(tmp_path):
    model = mlp()
    state = dict(torch.optim.swa_utils.AveragedModel(model).state_dict())
    state |= {"criterion.weight": torch.ones(5), "val_acc.tp": torch.ones(5, dtype=torch.int64)}
    torch.save(state, tmp_path / "n.pt")
    inferred = assert_same_function(tmp_path / "n.pt", model).recipe.origin["inferred"]
    assert "left aside, as parts of no layer: n_averaged, criterion.weight, val_acc.tp" in inferred


def test_a_tensor_of_an_unknown_layer_is_never_left_aside(tmp_path):
    torch.save(mlp().state_dict() | {"scale.alpha": torch.ones(8)}, tmp_path / "n.pt")
    with pytest.raises(GentoolError, match=r"'scale.alpha' is of no convolution"):
        checkpoint.read(tmp_path / "n.pt")


def test_a_normalising_layer_gives_mean_and_deviation_unless_said(tmp_path):
    state = {"norm.mean": torch.full((1, 1, 1, 1), 0.25), "norm.std": torch.full((1, 1, 1, 1), 0.5)}
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    torch.save(state | {f"net.{k}": v for k, v in model.state_dict().items()}, tmp_path / "n.pt")
    for options, mean in (([], 0.25), (["--mean", "0", "--std", "1"], 0.0)):
        out = tmp_path / f"{mean}.safetensors"
        command = ["convert", str(tmp_path / "n.pt"), "--data", "digits", "-q", "-o", str(out)]
        assert run([*command, *options]) == 0
        assert checkpoint.read(out).recipe.mean == (mean,)


def test_a_whole_module_tells_types_and_options(tmp_path):
    """Strides, dropout, average pooling and eps, of which a state dict shows nothing."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
        nn.Sequential(nn.Conv2d(4, 6, 3, dilation=2, bias=False), nn.BatchNorm2d(6, eps=1e-2)),
        nn.Sequential(nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(6 * 16, 5)),
    ).eval()
    torch.save(model, tmp_path / "n.pt")
    read = checkpoint.read(tmp_path / "n.pt", Hints(input_shape=(3, 32, 32)))
    examples = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(read.model()(examples), model(examples), atol=1e-6)


class OwnNetwork(nn.Module):
    """A network whose forward pass no file holds."""

    def __init__(self, activation):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(20, 8), activation(), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x.flatten(1))))


def test_types_in_a_module_that_contradict_what_is_inferred_are_an_error(tmp_path):
    torch.save(model := OwnNetwork(nn.ReLU), tmp_path / "n.pt")
    assert_same_function(tmp_path / "n.pt", model)
    torch.save(OwnNetwork(nn.Tanh), tmp_path / "n.pt")
    with pytest.raises(GentoolError, match=r"'act' is a Tanh.* --module"):
        checkpoint.read(tmp_path / "n.pt")
    torch.save(nn.Sequential(nn.Linear(20, 5), nn.RReLU(), nn.Linear(5, 3)), tmp_path / "n.pt")
    with pytest.raises(GentoolError, match=r"'1' is a torch.nn.modules.activation.RReLU"):
        checkpoint.read(tmp_path / "n.pt")


def test_tied_weights_are_converted(tmp_path):
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(2)), nn.Linear(8, 3))
    chain = nn.Sequential(nn.Flatten(), model[0], nn.ReLU(), model[1], nn.ReLU(), model[2])
    chain[3].weight = chain[1].weight
    torch.save(chain.state_dict(), tmp_path / "n.pt")
    out = tmp_path / "o.safetensors"
    assert run(["convert", str(tmp_path / "n.pt"), "-q", "-o", str(out)]) == 0
    assert_same_function(out, chain, n=8)


def test_one_output_is_measured_by_its_weights_alone(tmp_path, capsys):
    path = tmp_path / "n.pt"
    torch.save({"fc1.weight": torch.ones(4, 64), "fc2.weight": torch.ones(1, 4)}, path)
    assert run(["measure", str(path), "-q"]) == 0
    assert run(["measure", str(path), "--data", "digits", "-q", "--force"]) == 1
    assert "the network has one output" in capsys.readouterr().err


FORMATS = {
    "n.pth": (b"<!DOCTYPE html><html></html>", "an HTML page"),
    "l.pth": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a git-LFS pointer"),
    "g.pth": (gzip.compress(b"x" * 99), "compressed with gzip"),
    "k.h5": (b"\x89HDF\r\n\x1a\n" + bytes(90), "an HDF5 file"),
    "o.onnx": (b"\x08\x08\x12\x07pytorch" + bytes(40), "an ONNX model"),
    "e.safetensors": (b"", "empty"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_an_unreadable_file_is_named_for_what_it_is(tmp_path, name):
    content, words = FORMATS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GentoolError, match=f"{name} is {words}"):
        checkpoint.read(tmp_path / name)


@pytest.mark.filterwarnings("ignore")
def test_other_networks_and_archives_are_named(tmp_path):
    path = tmp_path / "n.pt"
    torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(path)
    with pytest.raises(GentoolError, match="a TorchScript archive"):
        checkpoint.read(path)
    np.savez(path.open("wb"), a=np.ones(3))
    with pytest.raises(GentoolError, match="an npz archive of NumPy arrays"):
        checkpoint.read(path)
    torch.save(nn.Sequential(nn.ConvTranspose2d(4, 6, 3)).state_dict(), path)
    with pytest.raises(GentoolError, match="'0' is a transposed convolution"):
        checkpoint.read(path)
    torch.save({"a.weight": torch.quantize_per_tensor(torch.ones(3, 4), 1.0, 0, torch.qint8)}, path)
    with pytest.raises(GentoolError, match=r"'a.weight' is quantised"):
        checkpoint.read(path)
    torch.save({"layer1.0.conv1.weight": torch.ones(4, 3, 3, 3)}, path)
    with pytest.raises(GentoolError, match="is of a residual network"):
        checkpoint.read(path, Hints(model="vgg11"))


class Trace:
    """A class whose making, reduction or state leaves a trace on the class."""

    traces: list[str] = []  # noqa: RUF012 - shared on purpose

    def __init__(self, *_arguments):
        Trace.traces.append("init")

    def __setstate__(self, state):
        Trace.traces.append("setstate")


class Call:
    """An object that a pickle replaces by the result of a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def payloads():
    stateful = Trace.__new__(Trace)
    stateful.mark = 1
    return {
        "os.system": Call(os.system, "touch executed"),
        "open": Call(open, "executed", "w"),
        "exec": Call(exec, "open('executed', 'w')"),
        "import": Call(builtins.__import__, "antigravity"),
        "init": Call(Trace, 1),
        "setstate": stateful,
        "getattr": Call(getattr, Call(builtins.__import__, "os"), "getcwd"),
        "nested load": Call(pickle.loads, pickle.dumps(Call(os.system, "touch executed"))),
    }


@pytest.mark.parametrize("form", ["zip", "legacy", "plain"])
@pytest.mark.parametrize("name", list(payloads()))
def test_nothing_that_a_pickle_names_is_run(tmp_path, monkeypatch, name, form):
    """Beside weights, which are read all the same."""
    monkeypatch.chdir(tmp_path)
    model = mlp()
    content = {"model": model.state_dict(), "payload": payloads()[name]}
    if form == "plain":
        pathlib.Path("n.pt").write_bytes(pickle.dumps(content))
    else:
        torch.save(content, "n.pt", _use_new_zipfile_serialization=form == "zip")
    Trace.traces.clear()
    before = set(sys.modules)
    assert_same_function(pathlib.Path("n.pt"), model)
    assert not Trace.traces
    assert not pathlib.Path("executed").exists()
    assert "antigravity" not in set(sys.modules) - before


def test_a_module_that_a_pickle_names_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "trap_of_the_test.py").write_text("open('executed', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    pickled = b"\x80\x02ctrap_of_the_test\nThing\n)\x81}X\x01\x00\x00\x00aK\x01sb."
    pathlib.Path("n.pt").write_bytes(pickled)
    with pytest.raises(GentoolError, match=r"object of class trap_of_the_test.Thing; nothing"):
        checkpoint.read(pathlib.Path("n.pt"))
    assert not pathlib.Path("executed").exists()
    assert "trap_of_the_test" not in sys.modules


HOSTILE = {
    "deep nesting": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "deep modules": b"\x80\x02" + b"cm\nC\n)\x81" * 50_000 + b"b" * 49_999 + b".",
    "doubling": b"\x80\x02]" + b"2\x86" * 200 + b".",
    "doubled keys": b"\x80\x02}N" + b"2\x86" * 200 + b"Ns.",
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "a huge number": b"\x80\x02\x8b" + (100_000).to_bytes(4, "little") + b"\x7f" * 100_000 + b".",
    "nothing": b"\x80\x02.",
    "no end": b"\x80\x02]",
    "a length beyond the file": b"\x80\x02X\xff\xff\xff\x7fabc.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_an_error_at_once(tmp_path, name):
    (tmp_path / "n.pt").write_bytes(HOSTILE[name])
    with pytest.raises(GentoolError):
        checkpoint.read(tmp_path / "n.pt")


def mutated(content, random):
    """Return bytes with one to four of them changed, cut out or doubled."""
    content = bytearray(content)
    for _ in range(random.integers(1, 5)):
        place = int(random.integers(len(content)))
        kind = random.integers(4)
        if kind == 0:
            content[place] = int(random.integers(256))
        elif kind == 1:
            content[place] ^= 1 << int(random.integers(8))
        elif kind == 2:
            del content[place : place + int(random.integers(1, 9))]
        else:
            content[place:place] = content[place : place + int(random.integers(1, 9))]
    return bytes(content)


def check_mutations(folder, count, seed):
    """Read mutations of files of all kinds; no error but GentoolError may come out."""
    small = nn.Sequential(
        nn.Flatten(), nn.Linear(3, 2), nn.BatchNorm1d(2), nn.ReLU(), nn.Linear(2, 2)
    )
    state = small.state_dict()
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    files = []
    for content in (state, small, {"model": state, "a": np.float64(1), "p": pathlib.Path("a")}):
        for is_zip in (True, False):
            torch.save(content, folder / "n.pt", _use_new_zipfile_serialization=is_zip)
            files.append((folder / "n.pt").read_bytes())
    files += [pickle.dumps(arrays, protocol) for protocol in (2, 5)]
    files += [pickle.dumps(state)]
    random = np.random.default_rng(seed)
    readable = 0
    for index in range(count):
        (folder / "m.pt").write_bytes(mutated(files[index % len(files)], random))
        try:
            checkpoint.read(folder / "m.pt").empty_model()
            readable += 1
        except GentoolError:
            continue
    return readable


def test_mutated_files_give_errors_or_networks(tmp_path):
    assert 0 < check_mutations(tmp_path, 300, seed=0) < 300


@pytest.mark.slow
def test_many_mutated_files_give_errors_or_networks(tmp_path):
    assert 0 < check_mutations(tmp_path, 20_000, seed=1) < 20_000
