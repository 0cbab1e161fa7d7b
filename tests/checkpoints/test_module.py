"""`--module` and `--layers`: networks that the user describes have the logits of their modules."""

import importlib.util
import json

import pytest
import torch
from helpers.small_sets import ROUNDING

from gentool.checkpoints import checkpoint
from gentool.checkpoints.hints import Hints
from gentool.checkpoints.module import parse_module
from gentool.cli.main import run
from gentool.common.errors import GentoolError, UsageError
from gentool.networks.canonical import canonical

CODE = """
import torch
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, width, 3), nn.BatchNorm2d(width, eps=1e-3)
        self.out, self.unused = nn.Linear(9 * width, 10), nn.Linear(2, 2)

    def forward(self, x):
        x = F.max_pool2d(self.norm(torch.tanh(self.conv(x))), 2)
        return F.log_softmax(self.out(torch.flatten(x, 1)), dim=1)

class Branches(Net):
    def forward(self, x):
        return self.out(torch.flatten(x, 1)) + 1

NUMBER = 3

def fails():
    raise RuntimeError("no network today")
"""


@pytest.fixture
def saved_net(tmp_path, monkeypatch):
    """A folder with mynet.py and net.pth, whose batch norm has statistics of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mynet.py").write_text(CODE)
    model = network(tmp_path)
    generator = torch.Generator().manual_seed(0)
    model.norm.running_mean.copy_(torch.randn(6, generator=generator))
    model.norm.running_var.copy_(torch.rand(6, generator=generator) + 0.5)
    torch.save(model.state_dict(), "net.pth")
    return model.eval()


def network(folder):
    specification = importlib.util.spec_from_file_location("mynet", folder / "mynet.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    torch.manual_seed(0)
    return module.Net(6)


def log_probabilities(path, hints):
    """The output of the canonical network of a checkpoint as read, as the module has it."""
    read = checkpoint.read(path, hints)
    images = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    return read, canonical(read.model(), (1, 8, 8))(images).log_softmax(1), images


def test_a_network_that_ones_own_class_builds_has_its_logits(saved_net, tmp_path):
    """A tanh, a batch norm after it with an eps of its own, and functional calls."""
    hints = Hints(module="mynet.py:Net(width=6)", input_shape=(1, 8, 8))
    read, logits, images = log_probabilities(tmp_path / "net.pth", hints)
    with torch.no_grad():
        expected = saved_net.double()(images)
    assert (logits - expected).abs().max() < ROUNDING * expected.abs().max()
    assert "left aside: unused.bias, unused.weight" in read.recipe.origin["inferred"][1]
    assert len(read.recipe.origin["said"]["description_sha256"]) == 64


def test_layers_that_inspect_wrote_are_read_back_as_the_same_network(saved_net, tmp_path, capsys):
    """Also after a change by hand: a wider slope is another function."""
    asked = ["net.pth", "--module", "mynet.py:Net(6)", "--input-shape", "1x8x8", "-q"]
    assert run(["inspect", *asked, "--layers", "-o", "layers.json"]) == 0
    assert capsys.readouterr().out == "layers.json\n"
    by_class = log_probabilities(
        tmp_path / "net.pth", Hints(module="mynet.py:Net(6)", input_shape=(1, 8, 8))
    )[1]
    by_list = log_probabilities(tmp_path / "net.pth", Hints(layers="layers.json"))[1]
    assert torch.equal(by_class, by_list)
    content = json.loads((tmp_path / "layers.json").read_text())
    content["layers"][1] = {"name": "tanh", "type": "leaky_relu", "negative_slope": 0.3}
    (tmp_path / "layers.json").write_text(json.dumps(content))
    assert not torch.allclose(
        log_probabilities(tmp_path / "net.pth", Hints(layers="layers.json"))[1], by_class
    )


def test_a_network_described_by_a_class_is_measured_and_converted(saved_net, tmp_path, capsys):
    """The converted checkpoint needs no code any more."""
    asked = ["net.pth", "--module", "mynet.py:Net(6)", "--input-shape", "1x8x8", "-q"]
    assert run(["measure", *asked, "--only", "l2_unnormalized", "-o", "-"]) == 0
    assert run(["convert", *asked, "-o", "net.safetensors"]) == 0
    (tmp_path / "mynet.py").unlink()
    assert run(["measure", "net.safetensors", "--only", "l2_unnormalized", "-q", "-o", "-"]) == 0
    first, path, second = capsys.readouterr().out.splitlines()
    assert path == "net.safetensors"
    assert json.loads(first)["measures"] == json.loads(second)["measures"]


@pytest.mark.parametrize(
    ("module", "words", "code"),
    [
        ("mynet.py", "write FILE.py:NAME", 2),
        ("mynet.py:Net(width=wide)", "write FILE.py:NAME", 2),
        ("mynet.py:Nothing", "mynet.py has no 'Nothing'", 1),
        ("other.py:Net", "other.py does not exist", 1),
        ("no_such_package.nets:Net", "No module named 'no_such_package'", 1),
        ("mynet.py:Net(depth=2)", "unexpected keyword argument 'depth'", 1),
        ("mynet.py:Net(width=5)", "size mismatch for conv.weight", 1),
        ("mynet.py:fails", "RuntimeError: no network today", 1),
        ("mynet.py:NUMBER", "not callable", 1),
        ("mynet.py:Branches(6)", "is called as a function", 1),
    ],
)
def test_a_class_that_does_not_fit_is_one_line(saved_net, module, words, code, capsys):
    assert run(["measure", "net.pth", "--module", module, "--input-shape", "1x8x8"]) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert words in captured.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("nothing", "is not a list of layers as JSON"),
        ("{}", "list of layers is empty or not a list"),
        ('[{"name": "conv", "type": "lstm"}]', "unknown type 'lstm'"),
        ('[{"name": "other", "type": "linear", "in_features": 4, "out_features": 2}]', "missing"),
    ],
)
def test_a_list_of_layers_that_does_not_fit_is_one_line(
    saved_net, content, words, capsys, tmp_path
):
    (tmp_path / "layers.json").write_text(content)
    assert run(["measure", "net.pth", "--layers", "layers.json"]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert words in captured.err


def test_a_class_and_parts_of_an_architecture_exclude_each_other():
    with pytest.raises(UsageError, match="--module describes the whole network; leave out --model"):
        Hints(module="a.py:Net", model="mlp")
    with pytest.raises(UsageError, match="leave out --layers"):
        Hints(module="a.py:Net", layers="layers.json")


def test_the_arguments_of_a_class_are_literals():
    assert parse_module("a.b:Net") == ("a.b", "Net", [], {})
    assert parse_module("x/a.py:make.net(3, kind='tanh', sizes=[1, 2])") == (
        *("x/a.py", "make.net", [3]),
        {"kind": "tanh", "sizes": [1, 2]},
    )
    for text in ("Net", "a.py:", ":Net", "a.py:Net(*x)", "a.py:Net(__import__('os'))"):
        with pytest.raises(UsageError, match=r"FILE\.py:NAME"):
            parse_module(text)


NORMALISED = """
import torch
from torch import nn
from torchvision.transforms import Normalize

class Buffers(nn.Module):
    def __init__(self):
        super().__init__()
        for name, values in (("mean", (0.25, 0.5, 0.75)), ("std", (0.5, 0.25, 2.0))):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.std

class Noise(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x) if self.training else x

def rest():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), Noise(), nn.Flatten(), nn.Linear(8, 10))

def buffers():
    return nn.Sequential(Buffers(), rest())

def transform():
    return nn.Sequential(Normalize((0.25, 0.5, 0.75), (0.5, 0.25, 2.0)), rest())

class Arithmetic(nn.Module):
    def __init__(self):
        super().__init__()
        self.rest = rest()

    def forward(self, x):
        return self.rest((x - 0.5) / 0.5)

class Made(nn.Module):
    def __init__(self, kind="AvgPool2d"):
        super().__init__()
        self.conv, self.out, self.kind = nn.Conv2d(3, 2, 3), nn.Linear(2, 10), kind

    def forward(self, x):
        made = nn.AvgPool2d(2) if self.kind == "AvgPool2d" else nn.Conv2d(2, 2, 2)
        return self.out(torch.flatten(made(self.conv(x)), 1))
"""


@pytest.fixture
def written(tmp_path):
    """The file with the modules above; and a function that saves one and returns it."""
    file = tmp_path / "nets.py"
    file.write_text(NORMALISED)
    specification = importlib.util.spec_from_file_location("nets", file)
    nets = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(nets)

    def save(name):
        torch.manual_seed(0)
        module = getattr(nets, name)().eval()
        torch.save(module.state_dict(), tmp_path / f"{name}.pth")
        return module, tmp_path / f"{name}.pth", f"{file}:{name}"

    return save


@pytest.mark.parametrize("name", ["buffers", "transform"])
def test_a_module_that_normalises_its_input_gives_mean_and_deviation(written, name):
    """The rest is the network; noise that has no effect in evaluation mode is none."""
    module, path, specification = written(name)
    read = checkpoint.read(path, Hints(module=specification, input_shape=(3, 4, 4)))
    mean, std = (torch.tensor(read.recipe.origin[part]) for part in ("mean", "std"))
    assert torch.allclose(mean, torch.tensor((0.25, 0.5, 0.75)))
    assert torch.allclose(std, torch.tensor((0.5, 0.25, 2.0)))
    images = torch.rand(5, 3, 4, 4)
    normalised = (images - mean.reshape(-1, 1, 1)) / std.reshape(-1, 1, 1)
    assert torch.allclose(read.model()(normalised), module(images), atol=1e-6)


def test_a_module_without_effect_says_nothing_about_the_images(written):
    _, path, specification = written("rest")
    read = checkpoint.read(path, Hints(module=specification, input_shape=(3, 4, 4)))
    assert "mean" not in read.recipe.origin


def test_a_mean_of_0_and_a_deviation_of_1_say_that_images_are_not_normalised(written):
    module, path, specification = written("buffers")
    module[0].mean.zero_()
    module[0].std.fill_(1)
    torch.save(module.state_dict(), path)
    read = checkpoint.read(path, Hints(module=specification, input_shape=(3, 4, 4)))
    assert (read.recipe.origin["mean"], read.recipe.origin["std"]) == ([0, 0, 0], [1, 1, 1])


def test_arithmetic_on_the_images_names_the_options_instead(written, capsys):
    _, path, specification = written("Arithmetic")
    options = ["--module", specification, "--input-shape", "3x4x4", "--no-data", "-o", "-"]
    assert run(["measure", str(path), *options]) == 1
    assert "say --mean and --std instead" in capsys.readouterr().err


def test_a_pooling_that_the_forward_pass_makes_is_a_layer_and_new_weights_are_refused(written):
    module, path, specification = written("Made")
    read = checkpoint.read(path, Hints(module=specification, input_shape=(3, 4, 4)))
    images = torch.rand(5, 3, 4, 4)
    assert torch.allclose(read.model()(images), module(images), atol=1e-6)
    with pytest.raises(GentoolError, match="makes a Conv2d with new weights"):
        checkpoint.read(path, Hints(module=f"{specification}('x')", input_shape=(3, 4, 4)))
