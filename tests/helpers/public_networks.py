"""Layouts of public repositories by name, small: facts about names, sizes and forward passes.

Each function builds one for images of 3x32x32 (lth_lenet: 1x28x28) and ten classes, so that
`--module helpers.public_networks:NAME` does.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from helpers.foreign_networks import features

PLANS = {
    "vgg11": [1, 1, 2, 2, 2],
    "vgg13": [2, 2, 2, 2, 2],
    "vgg16": [2, 2, 3, 3, 3],
    "vgg19": [2, 2, 4, 4, 4],
}


class FeaturesAndClassifier(nn.Module):
    """Feature layers, a pooling or none, and linear layers."""

    def __init__(self, body, classifier, avgpool=None):
        super().__init__()
        self.features = body
        if avgpool is not None:
            self.avgpool = avgpool
        self.classifier = classifier

    def forward(self, images):
        x = self.features(images)
        if hasattr(self, "avgpool"):
            x = self.avgpool(x)
        return self.classifier(x.view(x.size(0), -1))


def _head(hidden, dropout_first=False):
    ends = (nn.Linear(32, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 10))
    if dropout_first:
        parts = (nn.Dropout(), ends[0], nn.ReLU(True), nn.Dropout(), ends[1], nn.ReLU(True))
        return nn.Sequential(*parts, ends[2])
    parts = (ends[0], nn.ReLU(True), nn.Dropout(), ends[1], nn.ReLU(True), nn.Dropout())
    return nn.Sequential(*parts, ends[2])


def chenyaofo(model="vgg16"):
    """pytorch-cifar-models: batch norm, three linear layers as wide as the last convolution."""
    return FeaturesAndClassifier(features(model, True), _head(32))


def weiaicunzai(model="vgg16"):
    """pytorch-cifar100: batch norm, three linear layers, wider than the last convolution."""
    return FeaturesAndClassifier(features(model, True), _head(48))


def huyvnphan(model="vgg16"):
    """PyTorch_CIFAR10: torchvision's classes with an adaptive pooling to 1x1."""
    return FeaturesAndClassifier(features(model, True), _head(40), nn.AdaptiveAvgPool2d((1, 1)))


def chengyangfu(model="vgg16", batch_norm=True):
    """pytorch-vgg-cifar10: dropout first in the classifier."""
    return FeaturesAndClassifier(features(model, batch_norm), _head(32, dropout_first=True))


def bearpaw(model="vgg16", batch_norm=True):
    """pytorch-classification: one linear layer; the feature layers alone are data-parallel."""
    body = nn.DataParallel(features(model, batch_norm))
    return FeaturesAndClassifier(body, nn.Linear(32, 10))


def kuangliu(model="vgg16"):
    """pytorch-cifar: an average pooling of 1x1 ends the feature layers."""
    body = nn.Sequential(*features(model, True), nn.AvgPool2d(kernel_size=1, stride=1))
    return FeaturesAndClassifier(body, nn.Linear(32, 10))


class LotteryBlock(nn.Module):
    """A convolution with batch norm and ReLU."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class LotteryVGG(nn.Module):
    """open_lth: blocks and max poolings in a list, an average pooling in the forward pass."""

    def __init__(self, model):
        super().__init__()
        layers, channels = [], 3
        for stack, count in enumerate(PLANS[model]):
            for _ in range(count):
                outputs = (4, 8, 16, 32, 32)[stack]
                layers.append(LotteryBlock(channels, outputs))
                channels = outputs
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        self.layers = nn.Sequential(*layers[:-1])
        self.fc = nn.Linear(channels, 10)

    def forward(self, x):
        x = nn.functional.avg_pool2d(self.layers(x), 2)
        return self.fc(x.view(x.size(0), -1))


def open_lth(model="vgg16"):
    return LotteryVGG(model)


class LotteryLeNet(nn.Module):
    """open_lth's fully connected LeNet-300-100: an nn.ModuleList, and ReLU in the forward pass."""

    def __init__(self, widths=(30, 10)):
        super().__init__()
        sizes = [784, *widths]
        self.fc_layers = nn.ModuleList(nn.Linear(*size) for size in pairwise(sizes))
        self.fc = nn.Linear(sizes[-1], 10)

    def forward(self, x):
        x = x.view(x.size(0), -1)
        for layer in self.fc_layers:
            x = F.relu(layer(x))
        return self.fc(x)


def lth_lenet():
    return LotteryLeNet()


def timm(model="vgg16", batch_norm=True):
    """timm's VGG at 7x7 maps or larger: a 7x7 and a 1x1 convolution, and a global pooling."""
    pre, head = nn.Sequential(), nn.Sequential()
    pre.add_module("fc1", nn.Conv2d(32, 24, 7))
    pre.add_module("act1", nn.ReLU())
    pre.add_module("fc2", nn.Conv2d(24, 24, 1))
    pre.add_module("act2", nn.ReLU())
    head.add_module("global_pool", nn.AdaptiveAvgPool2d(1))
    head.add_module("flatten", nn.Flatten())
    head.add_module("fc", nn.Linear(24, 10))
    whole = nn.Sequential()
    for name, part in (
        ("features", features(model, batch_norm)),
        ("small", nn.AdaptiveAvgPool2d(7)),
        ("pre_logits", pre),
        ("head", head),
    ):
        whole.add_module(name, part)
    return whole


def logits(model, images):
    with torch.inference_mode():
        return model.double()(images.double())
