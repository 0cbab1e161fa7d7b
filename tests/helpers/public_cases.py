"""Modules of the networks in the table of cases, as other programs define them."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F


def plan_vgg(plan, channels=3, batch_norm=True, dropout=False):
    """VGG features of a plan of channels, "M" for a max pooling and "A" for an average."""
    layers = []
    for size in plan:
        if size == "M":
            layers.append(nn.MaxPool2d(2, 2))
        elif size == "A":
            layers.append(nn.AvgPool2d(2))
        else:
            layers.append(nn.Conv2d(channels, size, 3, padding=1))
            layers += [nn.BatchNorm2d(size)] if batch_norm else []
            layers.append(nn.ReLU(inplace=True))
            channels = size
    return nn.Sequential(*layers)


VGG16 = [4, 4, "M", 8, 8, "M", 16, 16, 16, "M", 32, 32, 32, "M", 32, 32, 32]
VGG11 = [4, "M", 8, "M", 16, 16, "M", 32, 32, "M", 32, 32, "M"]


class Slimming(nn.Module):
    """VGG-16 with four max poolings and an average at the end."""

    def __init__(self):
        super().__init__()
        self.feature = plan_vgg(VGG16)
        for layer in self.feature:
            if isinstance(layer, nn.Conv2d):
                layer.bias = None
        self.classifier = nn.Linear(32, 10)

    def forward(self, x):
        x = nn.AvgPool2d(2)(self.feature(x))
        return self.classifier(x.view(x.size(0), -1))


class AveragedVGG(nn.Module):
    """Four stacks of two convolutions with dropout, and an average over the last map of 4x4."""

    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for i, size in enumerate((4, 8, 16, 32)):
            layers += [nn.Conv2d(channels, size, 3, padding=1), nn.ReLU()]
            layers += [nn.Conv2d(size, size, 3, padding=1), nn.ReLU()]
            layers += [nn.MaxPool2d(2), nn.Dropout(0.2)] if i < 3 else [nn.AvgPool2d(4)]
            channels = size
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10)
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


class OneLinearVGG(nn.Module):
    """VGG features and one linear layer on a map of 1x1."""

    def __init__(self, plan=VGG11, channels=3, batch_norm=False):
        super().__init__()
        self.features = plan_vgg(plan, channels, batch_norm)
        self.classifier = nn.Linear(32, 10)

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


def strided():
    """Convolutions with stride 2 in place of poolings."""
    layers, channels = [], 3
    for size, stride in ((4, 1), (4, 1), (8, 2), (8, 1), (8, 1)):
        layers += [nn.Conv2d(channels, size, 3, stride, 1), nn.BatchNorm2d(size), nn.ReLU()]
        channels = size
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2048, 16), nn.ReLU(), nn.Linear(16, 10))


def dropout_in_gap():
    """Dropout between two convolutions, one pooling."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4)),
        *(nn.Flatten(), nn.Linear(784, 10)),
    )


def unpadded():
    """Two unpadded convolutions of 3x3, a pooling after each."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 10)),
    )


class TinyVGG(nn.Module):
    """The network of a well-known course: two blocks of two convolutions."""

    def __init__(self):
        super().__init__()
        self.block_1 = self._block(1)
        self.block_2 = self._block(10)
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(490, 10))

    @staticmethod
    def _block(channels):
        return nn.Sequential(
            *(nn.Conv2d(channels, 10, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(10, 10, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        )

    def forward(self, x):
        return self.classifier(self.block_2(self.block_1(x)))


class KerasCNN(nn.Module):
    """Keras's CIFAR-10 example in PyTorch: the second convolution of each block is not padded."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Dropout(0.25)),
            *(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Dropout(0.25)),
        )
        self.classifier = nn.Sequential(
            nn.Linear(288, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 10)
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


class LeNet(nn.Module):
    """LeNet-5 with ReLU and max poolings, on images of 28x28."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(256, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(F.relu(self.fc2(x)))


class MnistExample(nn.Module):
    """PyTorch's MNIST example, thin."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, 1)
        self.conv2 = nn.Conv2d(4, 8, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(1152, 16)
        self.fc2 = nn.Linear(16, 10)

    def forward(self, x):
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = torch.flatten(self.dropout1(F.max_pool2d(x, 2)), 1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


class Named(nn.Module):
    """Linear layers with names, declared in one order and called in another."""

    def __init__(self, sizes, calls, activation=torch.relu):
        super().__init__()
        for name, (inputs, outputs) in sizes.items():
            setattr(self, name, nn.Linear(inputs, outputs))
        self.calls, self.activation = calls, activation

    def forward(self, x):
        x = torch.flatten(x, 1)
        for name in self.calls[:-1]:
            x = self.activation(getattr(self, name)(x))
        return getattr(self, self.calls[-1])(x)


class NormAfterReLU(nn.Module):
    """An MLP with batch norm after ReLU, with names that do not show it."""

    def __init__(self, inputs=20, outputs=5):
        super().__init__()
        self.fc1 = nn.Linear(inputs, 32)
        self.bn1 = nn.BatchNorm1d(32)
        self.fc2 = nn.Linear(32, outputs)

    def forward(self, x):
        return self.fc2(self.bn1(F.relu(self.fc1(torch.flatten(x, 1)))))


class Bottleneck(nn.Module):
    """A backbone and a head without an activation between them."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.backbone(torch.flatten(x, 1)))


class TwoNetworks(nn.Module):
    """A Q network and its target, of which the first is used."""

    def __init__(self):
        super().__init__()
        self.q = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4))
        self.target = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, x):
        return self.q(torch.flatten(x, 1))


class Normalized(nn.Module):
    """Subtract a mean and divide by a deviation, as the first layer of a network."""

    def __init__(self, shape, mean=0.5, std=0.5):
        super().__init__()
        self.register_buffer("mean", torch.full(shape, mean))
        self.register_buffer("std", torch.full(shape, std))

    def forward(self, x):
        return (x - self.mean) / self.std


def mlp(*sizes, activation=nn.ReLU, flatten=True, batch_norm=None):
    """An MLP in a Sequential; batch norm with its eps before the first activation."""
    layers = [nn.Flatten()] if flatten else []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(inputs, outputs))
        if i == 0 and batch_norm is not None:
            layers.append(nn.BatchNorm1d(outputs, eps=batch_norm))
        if i < len(sizes) - 2:
            layers.append(activation())
    return nn.Sequential(*layers)


def leaky():
    """The MLP of `act_leaky02`."""
    return mlp(64, 32, 32, 10, activation=lambda: nn.LeakyReLU(0.2))


def batch_norm_eps():
    """The MLP of `act_bn_eps1e3`."""
    return mlp(64, 32, 32, 10, batch_norm=1e-3)


def tanh():
    sizes = {"fc1": (20, 32), "fc2": (32, 32), "fc3": (32, 5)}
    return Named(sizes, ("fc1", "fc2", "fc3"), torch.tanh)


def out_of_order():
    sizes = {"inp": (20, 16), "second": (16, 16), "first": (16, 16), "out": (16, 5)}
    return Named(sizes, ("inp", "first", "second", "out"))


def unused():
    sizes = {"i": (20, 16), "h": (16, 16), "h2": (16, 16), "out": (16, 5)}
    return Named(sizes, ("i", "h", "out"))


def heads():
    sizes = {"fc1": (20, 5), "fc_a": (5, 5), "fc_b": (5, 5)}
    return Named(sizes, ("fc1", "fc_a"))


def four_poolings():
    return OneLinearVGG(VGG16, 1, batch_norm=True)


def normalised_vgg():
    return nn.Sequential(Normalized((3, 1, 1)), OneLinearVGG())
