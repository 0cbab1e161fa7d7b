"""Networks of public repositories by name: the same logits by inference and by --module."""

import pytest
import torch
from helpers import public_networks
from helpers.foreign_networks import with_random_statistics

from gentool.checkpoints import checkpoint
from gentool.checkpoints.hints import Hints
from gentool.common.errors import UsageError

MODELS = ("vgg11", "vgg13", "vgg16", "vgg19")
REPOSITORIES = ("chenyaofo", "weiaicunzai", "huyvnphan", "chengyangfu", "bearpaw", "kuangliu")
AT_32 = {"input_shape": "3x32x32"}
NAMED = {  # by repository: the options that its error asks for, if not `--pool max`
    "open_lth": None,
    "timm": AT_32,
    "lth_lenet": {"activation": "relu"},
}
CASES = [(name, model) for name in (*REPOSITORIES, "open_lth", "timm") for model in MODELS]
CASES.append(("lth_lenet", None))


def saved(folder, name, model):
    torch.manual_seed(0)
    build = getattr(public_networks, name)
    network = with_random_statistics(build() if model is None else build(model))
    torch.save(network.state_dict(), folder / "net.pth")
    return network


def check(network, read, shape):
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(3))
    expected = public_networks.logits(network, images)
    difference = (public_networks.logits(read.model(), images) - expected).abs().max()
    assert difference <= 1e-5 * expected.abs().max()


def shape_of(name):
    return (1, 28, 28) if name == "lth_lenet" else (3, 32, 32)


@pytest.mark.parametrize(("name", "model"), [case for case in CASES if case[1] != "vgg19"])
def test_by_its_own_class_it_has_its_own_logits(tmp_path, name, model):
    network = saved(tmp_path, name, model)
    call = f"helpers.public_networks:{name}" + (f"('{model}')" if model else "")
    hints = Hints(module=call, input_shape=shape_of(name))
    check(network, checkpoint.read(tmp_path / "net.pth", hints), shape_of(name))


@pytest.mark.parametrize(("name", "model"), CASES)
def test_by_inference_it_is_asked_about_and_has_its_own_logits(tmp_path, name, model):
    """Which pooling is last no file shows; open_lth's numbers count the poolings as well."""
    network = saved(tmp_path, name, model)
    options = NAMED.get(name, {"pool": "max"})
    if name == "open_lth":
        options = {"model": model, "pool": "max,max,max,max,avg", "input_shape": "3x32x32"}
    if options != AT_32:
        with pytest.raises(UsageError):
            checkpoint.read(tmp_path / "net.pth")
    read = checkpoint.read(tmp_path / "net.pth", Hints.parse(**options))
    check(network, read, shape_of(name))
