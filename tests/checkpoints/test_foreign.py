"""Checkpoints of other programs: the inferred network computes the saved function, or asks.

Every network is built as another program builds it, saved, read, and compared in evaluation mode
and in float64.
"""

import pytest
import torch
import torchvision
from helpers.foreign_networks import (
    CifarVGG,
    DropoutVGG,
    ListMLP,
    NamedMLP,
    SmallAverageVGG,
    TimmVGG,
    TorchvisionVGG,
    sequential_mlp,
    with_random_statistics,
)
from helpers.small_sets import ROUNDING
from safetensors.torch import save_file
from torch import nn

from gentool.checkpoints import checkpoint
from gentool.checkpoints.hints import Hints
from gentool.common.errors import GentoolError, UsageError
from gentool.networks.canonical import canonical
from gentool.networks.models import initialised
from gentool.records.recipe import Recipe

NORM_BEFORE = Hints.parse(batch_norm="before")


def save(state, path):
    """Save a state dict in the format that the suffix names."""
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def some_images(shape, n=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, *shape, generator=generator, dtype=torch.float64)


def assert_same_logits(logits, expected):
    """Compare up to rounding, relative to the largest logit."""
    assert logits.dtype == expected.dtype == torch.float64
    assert (logits - expected).abs().max() < ROUNDING * expected.abs().max()


def gentool_model(model):
    """Return one of gentool's models, to be saved without its metadata."""
    return initialised(
        Recipe(model=model, batch_norm=True, width=0.125, input_shape=(3, 32, 32), classes=10)
    )


FAMILIES = {
    "torchvision vgg11 at 32x32": (TorchvisionVGG, (3, 32, 32), {"input_shape": "3x32x32"}),
    "torchvision vgg13 at 100x80": (
        lambda: TorchvisionVGG("vgg13", True),
        (3, 100, 80),
        {"input_shape": "3x100x80"},
    ),
    "torchvision vgg19 of ImageNet": (
        lambda: TorchvisionVGG("vgg19", True, 1000),
        (3, 224, 224),
        {},
    ),
    "CIFAR vgg11, one linear layer": (CifarVGG, (3, 32, 32), {"pool": "max"}),
    "CIFAR vgg16 without batch norm": (
        lambda: CifarVGG("vgg16", False, 3),
        (3, 32, 32),
        {"pool": "max,max,max,max,max"},
    ),
    "CIFAR vgg19 with batch norm": (
        lambda: CifarVGG("vgg19", True, 3),
        (3, 32, 32),
        {"pool": "max"},
    ),
    "CIFAR vgg11 without the last pooling": (
        lambda: CifarVGG(last_pooling=False),
        (3, 32, 32),
        {"input_shape": "3x32x32"},
    ),
    "CIFAR vgg13 with dropout": (
        DropoutVGG,
        (3, 32, 32),
        {"model": "vgg13", "pool": "max"},
    ),
    "timm at 224x224": (lambda: TimmVGG(1000), (3, 224, 224), {}),
    "timm at 64x64": (TimmVGG, (3, 64, 64), {"input_shape": "3x64x64"}),
    "timm at 256x288": (TimmVGG, (3, 256, 288), {"input_shape": "3x256x288"}),
    "an unknown VGG, average pooling": (
        SmallAverageVGG,
        (1, 28, 26),
        {"input_shape": "1x28x26", "pool": "1:avg2,3:avg2", "activation": "relu"},
    ),
    "gentool's vgg16": (lambda: gentool_model("vgg16"), (3, 32, 32), {"pool": "max"}),
    "gentool's vgg, with 4x4 pooling": (
        lambda: gentool_model("vgg"),
        (3, 32, 32),
        {"model": "vgg", "pool": "max"},
    ),
    "an MLP of odd names": (NamedMLP, (1, 4, 5), {"batch_norm": "before"}),
    "an MLP of many equal layers": (sequential_mlp, (1, 4, 5), {"input_shape": "1x4x5"}),
    "an MLP in a list": (ListMLP, (1, 4, 5), {"model": "mlp"}),
}


# safetensors files keep no order of the tensors, .pt files do: only MLPs could depend on it
CASES = [(family, ".safetensors") for family in FAMILIES]
CASES += [(family, ".pt") for family in FAMILIES if "MLP" in family or "timm at 64" in family]


@pytest.mark.parametrize(("family", "suffix"), CASES)
def test_the_inferred_network_has_the_logits_of_the_saved_network(tmp_path, family, suffix):
    make, shape, hints = FAMILIES[family]
    model = with_random_statistics(make())
    path = save(model.state_dict(), tmp_path / f"net{suffix}")
    read = checkpoint.read(path, Hints.parse(**hints))
    images = some_images(shape)
    with torch.inference_mode():
        expected = model.double()(images)
        logits = read.model().double()(images)
    assert_same_logits(logits, expected)


@pytest.mark.parametrize(
    "family", ["CIFAR vgg11, one linear layer", "timm at 64x64", "an MLP of odd names"]
)
def test_the_canonical_network_of_an_inferred_network_has_the_same_logits(tmp_path, family):
    make, shape, hints = FAMILIES[family]
    model = with_random_statistics(make())
    read = checkpoint.read(save(model.state_dict(), tmp_path / "net.pt"), Hints.parse(**hints))
    images = some_images(shape)
    with torch.inference_mode():
        expected = model.double()(images)
    network = canonical(read.model(), read.recipe.input_shape)
    assert_same_logits(network(images.reshape(2, *read.recipe.input_shape)), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_inferred_network_keeps_the_names_of_the_tensors(tmp_path, family):
    """`load_state_dict` of the original accepts the state dict of the inferred network."""
    make, _, hints = FAMILIES[family]
    model = make()
    path = save(model.state_dict(), tmp_path / "net.safetensors")
    state = checkpoint.read(path, Hints.parse(**hints)).model().state_dict()
    assert model.load_state_dict(state, strict=True)


def test_the_recipe_describes_in_words_what_was_inferred(tmp_path):
    path = save(CifarVGG().state_dict(), tmp_path / "net.pt")
    read = checkpoint.read(path, Hints.parse(pool="max"))
    words = "; ".join(read.recipe.origin["inferred"])
    assert read.recipe.origin["file"] == "net.pt"
    assert read.recipe.origin["sha256"] == read.sha256
    for fact in ("vgg11", "batch norm on 8", "max pooling after 5", "2x2 after the last", "ReLU"):
        assert fact in words
    assert "input shape 3x32x32, the smallest square that fits" in words
    assert read.recipe.input_shape == (3, 32, 32)
    assert (read.recipe.data, read.outcome, read.kind) == (None, None, "pytorch")


def test_pool_overrides_the_kind_of_pooling(tmp_path):
    path = save(CifarVGG().state_dict(), tmp_path / "net.pt")
    for hints, kind in (({"pool": "max"}, nn.MaxPool2d), ({"pool": "avg"}, nn.AvgPool2d)):
        modules = checkpoint.read(path, Hints.parse(**hints)).model().modules()
        assert sum(isinstance(module, kind) for module in modules) == 5


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"net": state, "acc": torch.tensor(0.9)},
        lambda state: {"model_state_dict": state, "optimizer": {"lr": 0.1}},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"model": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {f"_orig_mod.module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"model.{name}": t for name, t in state.items()}},
    ],
)
def test_a_state_dict_is_found_where_other_programs_put_it(tmp_path, wrap):
    """Nested in a mapping, and with the prefixes of wrappers."""
    state = NamedMLP().state_dict()
    read = checkpoint.read(save(wrap(state), tmp_path / "net.pth"), NORM_BEFORE)
    assert set(read.tensors) == set(state)


def test_an_older_pytorch_file_is_recognised_without_a_suffix(tmp_path):
    path = tmp_path / "weights"
    torch.save(NamedMLP().state_dict(), path, _use_new_zipfile_serialization=False)
    assert checkpoint.read(path, NORM_BEFORE).recipe.classes == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_as_float32(tmp_path, dtype):
    model = NamedMLP().to(dtype)
    path = save(model.state_dict(), tmp_path / "net.safetensors")
    read = checkpoint.read(path, NORM_BEFORE)
    assert read.model().hidden.weight.dtype == torch.float32
    assert torch.equal(read.model().hidden.weight, model.hidden.weight.float())


def test_the_order_of_linear_layers_follows_from_their_sizes(tmp_path):
    """Not from the sorted names; where sizes leave several orders, --order decides."""
    sizes = {"zero.weight": (16, 20), "b.weight": (16, 16), "a.weight": (16, 16)}
    state = {name: torch.randn(shape) for name, shape in sizes.items()}
    state["last.weight"] = torch.randn(3, 16)
    path = save(state, tmp_path / "net.safetensors")
    with pytest.raises(UsageError, match="--order"):
        checkpoint.read(path)
    for order in ("zero,b,a,last", "zero,a,b,last"):
        layers = checkpoint.read(path, Hints.parse(order=order)).recipe.layers
        assert ",".join(layer["name"] for layer in layers if layer["type"] == "linear") == order
    with pytest.raises(UsageError, match="last has 3 outputs, b after it has 16 inputs"):
        checkpoint.read(path, Hints.parse(order="zero,a,last,b"))
    with pytest.raises(UsageError, match="name each linear layer once"):
        checkpoint.read(path, Hints.parse(order="zero,last"))


AMBIGUOUS = {
    "dropout or pooling": (DropoutVGG, {}, "--model vgg13"),
    "the last pooling": (lambda: CifarVGG(last_pooling=False), {}, "--input-shape 3x32x32"),
    "an unknown plan": (SmallAverageVGG, {}, "--input-shape .* --pool .* --activation"),
    "its kind of pooling": (SmallAverageVGG, {"input_shape": "1x28x26"}, "--pool"),
    "places of its poolings": (
        SmallAverageVGG,
        {"input_shape": "1x28x26", "pool": "avg"},
        "--pool with places",
    ),
    "the paper's places of poolings": (lambda: gentool_model("vgg"), {}, "--model vgg"),
    "the paper's last pooling": (
        lambda: gentool_model("vgg"),
        {"model": "vgg"},
        "--pool max,max,max,avg",
    ),
    "the last pooling to 1x1": (CifarVGG, {}, "--pool max,max,max,max,avg"),
    "ReLU between": (ListMLP, {}, "--activation relu"),
    "batch norm before or after ReLU": (NamedMLP, {}, "--batch-norm before"),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_an_ambiguous_checkpoint_needs_the_option_that_the_error_names(tmp_path, case):
    """A UsageError of one line, exit code 2, instead of a guess."""
    make, hints, option = AMBIGUOUS[case]
    path = save(make().state_dict(), tmp_path / "net.safetensors")
    with pytest.raises(UsageError, match=option) as error:
        checkpoint.read(path, Hints.parse(**hints))
    assert "\n" not in str(error.value)


MISTAKEN = [
    (CifarVGG, {"model": "mlp"}, "the network has convolutions"),
    (CifarVGG, {"model": "vgg16"}, "vgg16 has 13 convolutions, the network 8"),
    (CifarVGG, {"model": "resnet"}, "--model is 'resnet'"),
    (CifarVGG, {"input_shape": "3x80x64", "pool": "max"}, "does not accept an input of shape"),
    (
        CifarVGG,
        {"input_shape": "1x32x32", "pool": "max"},
        "does not accept an input of shape 1x32x32",
    ),
    (CifarVGG, {"input_shape": "3x8x8", "pool": "max"}, "does not accept an input"),
    (
        SmallAverageVGG,
        {"input_shape": "1x90x90", "pool": "1:max2,3:max", "activation": "relu"},
        "gives no map of the 252",
    ),
    (
        NamedMLP,
        {"input_shape": "1x4x4", "batch_norm": "before"},
        "has 16 numbers; the first layer takes 20",
    ),
    (NamedMLP, {"model": "vgg"}, "the network has linear layers only"),
    (NamedMLP, {"pool": "max"}, "--pool is max, but the network has linear layers only"),
]


@pytest.mark.parametrize(("make", "hints", "words"), MISTAKEN)
def test_a_hint_that_does_not_fit_is_an_error(tmp_path, make, hints, words):
    path = save(make().state_dict(), tmp_path / "net.pt")
    with pytest.raises(GentoolError, match=words):
        checkpoint.read(path, Hints.parse(**hints))


@pytest.mark.parametrize(
    "hints",
    [
        {"input_shape": "32x32"},
        {"input_shape": "3x0x32"},
        {"pool": "median"},
        {"mean": "0.5"},
        {"mean": "a,b", "std": "1,1"},
        {"mean": "0,0", "std": "1,0"},
        {"labels": "maybe"},
    ],
)
def test_a_malformed_hint_is_a_usage_error(hints):
    with pytest.raises(UsageError):
        Hints.parse(**hints)


@pytest.mark.slow
def test_the_real_vgg16_of_torchvision_is_read(tmp_path):
    """It has 138 million weights and takes images of 224x224."""
    model = torchvision.models.vgg16(weights=None).eval()
    path = save(model.state_dict(), tmp_path / "vgg16.pth")
    images = some_images((3, 224, 224), n=1)
    with torch.inference_mode():
        assert_same_logits(checkpoint.read(path).model().double()(images), model.double()(images))
