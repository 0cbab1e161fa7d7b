"""Layouts of public VGGs, CNNs and MLPs: each is read as the same function, or asked about.

Layouts are facts about names, sizes and forward passes. Each module is built here, small, and
compared with the network that is read, given the options that its error asks for.
"""

from itertools import pairwise

import pytest
import torch
from helpers.foreign_networks import features, with_random_statistics
from torch import nn

from gentool.checkpoints import checkpoint
from gentool.checkpoints.hints import Hints
from gentool.common.errors import UsageError


class Net(nn.Module):
    """Modules under names, in the order of the forward pass; some are not in the state dict."""

    def __init__(self, **modules):
        super().__init__()
        self.order = [name.rstrip("_") for name in modules]
        for name, module in modules.items():
            self.add_module(name.rstrip("_"), module)

    def forward(self, images):
        for name in self.order:
            images = getattr(self, name)(images)
        return images


def linears(*sizes, dropout=False, first=False):
    layers = [nn.Dropout()] if first else []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU(), *[nn.Dropout()] * dropout]
    return nn.Sequential(*layers[: -2 if dropout else -1])


def torchvision(model, batch_norm):
    return Net(
        features=features(model, batch_norm),
        avgpool=nn.AdaptiveAvgPool2d(7),
        flatten=nn.Flatten(),
        classifier=linears(32 * 49, 24, 24, 10, dropout=True),
    )


def timm(model, batch_norm):
    head = Net(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(24, 10))
    pre = Net(fc1=nn.Conv2d(32, 24, 7), a=nn.ReLU(), fc2=nn.Conv2d(24, 24, 1), b=nn.ReLU())
    return Net(
        features=features(model, batch_norm),
        pad=nn.AdaptiveAvgPool2d(7),
        pre_logits=pre,
        head=head,
    )


def cifar(model, batch_norm, classifier, name="features", last=None):
    """A CIFAR VGG: `last` replaces the last max pooling, in the forward pass."""
    body = features(model, batch_norm)
    modules = {name: body if last is None else body[:-1]}
    if last is not None:
        modules["pool_"] = last
    return Net(**modules, flatten=nn.Flatten(), classifier=classifier)


def paper(last, batch_norm=False):
    layers, channels = [], 3
    for stack, outputs in enumerate((4, 8, 16, 32)):
        for _ in range(2):
            layers.append(nn.Conv2d(channels, outputs, 3, padding=1))
            layers += [nn.BatchNorm2d(outputs)] * batch_norm + [nn.ReLU()]
            channels = outputs
        layers += [nn.MaxPool2d(2), nn.Dropout()] if stack < 3 else [last]
    return Net(
        features=nn.Sequential(*layers),
        flatten=nn.Flatten(),
        classifier=nn.Sequential(
            nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10)
        ),
    )


def block(inputs, outputs, last):
    layers = [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU(), last)


def tiny_vgg():
    head = nn.Sequential(nn.Flatten(), nn.Linear(10 * 49, 10))
    return Net(
        block_1=block(1, 10, nn.MaxPool2d(2)),
        block_2=block(10, 10, nn.MaxPool2d(2)),
        classifier=head,
    )


def mnist_example():
    return Net(
        conv1=nn.Conv2d(1, 8, 3),
        a=nn.ReLU(),
        conv2=nn.Conv2d(8, 8, 3),
        b=nn.ReLU(),
        pool=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc1=nn.Linear(8 * 144, 16),
        c=nn.ReLU(),
        fc2=nn.Linear(16, 10),
    )


def lenet(padding, pool):
    return Net(
        conv1=nn.Conv2d(1, 6, 5, padding=padding),
        a=nn.ReLU(),
        p=pool(2),
        conv2=nn.Conv2d(6, 16, 5),
        b=nn.ReLU(),
        q=pool(2),
        flatten=nn.Flatten(),
        fc1=nn.Linear(16 * (16 if padding == 0 else 25), 12),
        c=nn.ReLU(),
        fc2=nn.Linear(12, 10),
        d=nn.ReLU(),
        fc3=nn.Linear(10, 10),
    )


def strided():
    layers, channels = [], 3
    for outputs, stride in ((4, 1), (4, 1), (8, 2), (8, 1)):
        layers += [nn.Conv2d(channels, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
        channels = outputs
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 64, 12), nn.ReLU(), nn.Linear(12, 10))


MODELS = ("vgg11", "vgg13", "vgg16", "vgg19")
LAYOUTS = {}
for model in MODELS:
    for norm in (False, True):
        name = f"{model}{'_bn' * norm}"
        arguments = (model, norm)
        at_32 = ((3, 32, 32), {"input_shape": "3x32x32"})
        max_ = ((3, 32, 32), {"pool": "max"})
        avg = ((3, 32, 32), {"pool": "max,max,max,max,avg"})
        LAYOUTS |= {
            f"torchvision {name}": (lambda a=arguments: torchvision(*a), *at_32),
            f"timm {name}": (lambda a=arguments: timm(*a), *at_32),
            f"one linear layer, {name}": (lambda a=arguments: cifar(*a, nn.Linear(32, 10)), *max_),
            f"dropout first, {name}": (
                lambda a=arguments: cifar(*a, linears(32, 24, 24, 10, dropout=True, first=True)),
                *max_,
            ),
            f"three linear layers, {name}": (
                lambda a=arguments: cifar(*a, linears(32, 24, 24, 10, dropout=True)),
                *max_,
            ),
            f"average at the end, {name}": (
                lambda a=arguments: cifar(*a, nn.Linear(32, 10), "feature", nn.AvgPool2d(2)),
                *avg,
            ),
            f"global average, {name}": (
                lambda a=arguments: cifar(*a, nn.Linear(32, 10), last=nn.AdaptiveAvgPool2d(1)),
                *avg,
            ),
        }
LAYOUTS |= {
    "the paper's, maximum": (
        lambda: paper(nn.MaxPool2d(4)),
        (3, 32, 32),
        {"model": "vgg", "pool": "max"},
    ),
    "the paper's, average": (
        lambda: paper(nn.AvgPool2d(4), True),
        (3, 32, 32),
        {"model": "vgg", "pool": "max,max,max,avg"},
    ),
    "TinyVGG": (
        tiny_vgg,
        (1, 28, 28),
        {"input_shape": "1x28x28", "pool": "2:max2,4:max2", "activation": "relu"},
    ),
    "MNIST example": (mnist_example, (1, 28, 28), {"input_shape": "1x28x28", "pool": "2:max2"}),
    "LeNet": (
        lambda: lenet(0, nn.MaxPool2d),
        (1, 28, 28),
        {"input_shape": "1x28x28", "pool": "1:max2,2:max2"},
    ),
    "LeNet, padded, average": (
        lambda: lenet(2, nn.AvgPool2d),
        (1, 28, 28),
        {"input_shape": "1x28x28", "pool": "1:avg2,2:avg2"},
    ),
    "strides": (
        strided,
        (3, 16, 16),
        {"input_shape": "3x16x16", "pool": "none", "stride": "1,1,2,1"},
    ),
    "batch norm after ReLU": (
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(20, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 5)
        ),
        (1, 4, 5),
        {},
    ),
    "an MLP": (lambda: linears(20, 16, 16, 10), (20,), {}),
    "tanh": (
        lambda: Net(fc1=nn.Linear(20, 9), a=nn.Tanh(), fc2=nn.Linear(9, 4)),
        (20,),
        {"activation": "tanh"},
    ),
    "linear bottleneck": (
        lambda: Net(backbone=linears(20, 16, 8), head=nn.Linear(8, 5)),
        (20,),
        {"activation": "relu,none"},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_public_layout_is_read_with_the_same_logits(tmp_path, layout):
    """In double precision, to 1e-5 of the largest logit at most."""
    make, shape, hints = LAYOUTS[layout]
    torch.manual_seed(0)
    model = with_random_statistics(make())
    torch.save(model.state_dict(), tmp_path / "net.pth")
    read = checkpoint.read(tmp_path / "net.pth", Hints.parse(**hints))
    images = torch.randn(2, *shape, dtype=torch.float64)
    with torch.inference_mode():
        expected = model.double()(images)
        logits = read.model().double()(images)
    assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if LAYOUTS[name][2].get("pool")])
def test_without_its_poolings_a_layout_is_asked_about(tmp_path, layout):
    make, _, hints = LAYOUTS[layout]
    torch.save(make().state_dict(), tmp_path / "net.pth")
    others = {name: value for name, value in hints.items() if name != "pool"}
    with pytest.raises(UsageError, match="--pool"):
        checkpoint.read(tmp_path / "net.pth", Hints.parse(**others))


def mlp_state(**sizes):
    return {f"{name}.weight": torch.randn(size) for name, size in sizes.items()}


ASKED = {
    "two networks": (
        {f"{n}.{k}.weight": torch.randn(s) for n in "qt" for k, s in ((0, (9, 4)), (2, (4, 9)))},
        "--leave-out t$",
    ),
    "two heads": (mlp_state(fc1=(5, 20), fc_a=(5, 5), fc_b=(5, 5)), "--leave-out fc_a"),
    "an unused layer": (mlp_state(i=(9, 20), h=(9, 9), h2=(9, 9), out=(4, 9)), "--order"),
    "numbers against the file": (mlp_state(fc2=(9, 9), fc1=(9, 9), fc3=(4, 9)), "--order fc1,fc2"),
    "two modules": (mlp_state(**{"a.0": (9, 20), "b": (4, 9)}), "--activation relu"),
}


@pytest.mark.parametrize("case", ASKED)
def test_what_the_file_does_not_prove_is_asked_about(tmp_path, case):
    """Layers are never chained silently, and no ReLU is put between different modules."""
    state, option = ASKED[case]
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(UsageError, match=option):
        checkpoint.read(tmp_path / "net.pth")


def test_the_channels_decide_whether_a_model_fits(tmp_path):
    """A residual network with VGG-11's number of convolutions is no VGG-11."""
    layers, channels = [], 3
    for outputs in (4, 8, 8, 8, 16, 32, 32, 32):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(1)]
        channels = outputs
    net = Net(features=nn.Sequential(*layers), classifier=nn.Linear(32, 10))
    torch.save(net.state_dict(), tmp_path / "net.pth")
    with pytest.raises(UsageError, match="channels"):
        checkpoint.read(tmp_path / "net.pth", Hints.parse(model="vgg11", pool="max"))


def test_what_is_left_out_is_no_layer(tmp_path):
    torch.save(ASKED["two networks"][0], tmp_path / "net.pth")
    read = checkpoint.read(tmp_path / "net.pth", Hints.parse(leave_out="t"))
    assert set(read.tensors) == {"q.0.weight", "q.2.weight"}
    with pytest.raises(UsageError, match="--leave-out names 'x'"):
        checkpoint.read(tmp_path / "net.pth", Hints.parse(leave_out="x"))
