"""Networks as other programs define them, small and with random weights: what the tests read."""

import torch
from torch import nn
from torchvision.models.vgg import make_layers

_STACKS = {
    "vgg11": [[64], [128], [256] * 2, [512] * 2, [512] * 2],
    "vgg13": [[64] * 2, [128] * 2, [256] * 2, [512] * 2, [512] * 2],
    "vgg16": [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3],
    "vgg19": [[64] * 2, [128] * 2, [256] * 4, [512] * 4, [512] * 4],
}


def features(model, batch_norm, thin=16):
    """torchvision's own feature layers, with one `thin`-th of the channels."""
    plan = [size for stack in _STACKS[model] for size in [*(c // thin for c in stack), "M"]]
    return make_layers(plan, batch_norm)


class TorchvisionVGG(nn.Module):
    """torchvision's VGG, with a thinner classifier."""

    def __init__(self, model="vgg11", batch_norm=False, classes=10):
        super().__init__()
        self.features = features(model, batch_norm)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(32 * 49, 24),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(24, 24),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(24, classes),
        )

    def forward(self, images):
        return self.classifier(self.avgpool(self.features(images)).flatten(1))


class CifarVGG(nn.Module):
    """Public CIFAR VGGs: one linear layer (and a pooling of 1x1), or three from classifier.1 on."""

    def __init__(self, model="vgg11", batch_norm=True, layers=1, last_pooling=True):
        super().__init__()
        self.features = features(model, batch_norm)
        if not last_pooling:
            self.features = self.features[:-1]
        if layers == 1:
            self.features.append(nn.AvgPool2d(kernel_size=1, stride=1))
            self.classifier = nn.Linear(32 if last_pooling else 32 * 4, 10)
        else:
            self.classifier = nn.Sequential(
                nn.Dropout(),
                nn.Linear(32, 24),
                nn.ReLU(True),
                nn.Dropout(),
                nn.Linear(24, 24),
                nn.ReLU(True),
                nn.Linear(24, 10),
            )

    def forward(self, images):
        images = self.features(images)
        return self.classifier(images.view(images.size(0), -1))


class DropoutVGG(CifarVGG):
    """A CIFAR VGG with dropout after every convolution: the numbers do not show the poolings."""

    def __init__(self):
        super().__init__("vgg13")
        layers = []
        for layer in self.features:
            layers += [layer, nn.Dropout(0.3)] if isinstance(layer, nn.ReLU) else [layer]
        self.features = nn.Sequential(*layers)


class TimmVGG(nn.Module):
    """timm's VGG: a classifier of a 7x7 and a 1x1 convolution, pooled to one point; same names."""

    def __init__(self, classes=10):
        super().__init__()
        self.features = features("vgg11", True)
        self.pre_logits = nn.Module()
        self.pre_logits.fc1 = nn.Conv2d(32, 40, 7)
        self.pre_logits.fc2 = nn.Conv2d(40, 40, 1)
        self.head = nn.Module()
        self.head.fc = nn.Linear(40, classes)

    def forward(self, images):
        maps = self.features(images)
        if min(maps.shape[-2:]) < 7:
            size = [max(7, side) for side in maps.shape[-2:]]
            maps = nn.functional.adaptive_avg_pool2d(maps, size)
        maps = self.pre_logits.fc2(self.pre_logits.fc1(maps).relu()).relu()
        return self.head.fc(maps.mean(dim=(2, 3)))


class SmallAverageVGG(nn.Module):
    """A VGG that is none of the known ones, with average pooling and an input that is no square."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.AvgPool2d(2),
        )
        self.fc = nn.Linear(6 * 7 * 6, 5)

    def forward(self, images):
        return self.fc(self.features(images).flatten(1))


class NamedMLP(nn.Module):
    """Linear layers whose names sort in another order than they are called in."""

    def __init__(self, sizes=(20, 16, 14, 3)):
        super().__init__()
        self.zero = nn.Linear(sizes[0], sizes[1])
        self.norm = nn.BatchNorm1d(sizes[1])
        self.hidden = nn.Linear(sizes[1], sizes[2])
        self.alast = nn.Linear(sizes[2], sizes[3], bias=False)

    def forward(self, images):
        hidden = torch.relu(self.norm(self.zero(images.flatten(1))))
        return self.alast(torch.relu(self.hidden(hidden)))


class ListMLP(nn.Module):
    """An MLP in an nn.ModuleList, whose ReLUs are in the forward pass alone."""

    def __init__(self):
        super().__init__()
        sizes = [(20, 16), (16, 16), (16, 3)]
        self.layers = nn.ModuleList(nn.Linear(*size) for size in sizes)

    def forward(self, images):
        images = images.flatten(1)
        for layer in self.layers[:-1]:
            images = torch.relu(layer(images))
        return self.layers[-1](images)


def sequential_mlp():
    """Eleven hidden layers of one size: only their numbers tell the order, and 10 is after 9."""
    layers = [nn.Flatten(), nn.Linear(20, 8), nn.ReLU()]
    for _ in range(10):
        layers += [nn.Linear(8, 8), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(), nn.Linear(8, 3))


def with_random_statistics(model):
    """The model in evaluation mode, with batch norm that is not the identity."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(module.weight, -1, 1, generator=generator)
    return model.eval()
