"""Modules as users write them, for images of 3x8x8 and five classes; some are no chain of layers.

Each function or class builds one, so that `--module helpers.user_modules:NAME` does.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

PIXELS = 3 * 8 * 8


def net(*layers, inputs=8 * 64):
    """The layers, a ReLU, and a linear layer."""
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(inputs, 5))


def same_padding():
    return net(nn.Conv2d(3, 8, 3, padding="same"))


def same_padding_dilated():
    return net(nn.Conv2d(3, 8, (5, 3), padding="same", dilation=(1, 2)))


def same_padding_of_an_even_kernel():
    return net(nn.Conv2d(3, 8, 2, padding="same"))


def valid_padding():
    return net(nn.Conv2d(3, 8, 3, padding="valid"), inputs=8 * 36)


def sync_batch_norm():
    return net(nn.Conv2d(3, 8, 3, padding=1), nn.SyncBatchNorm(8, eps=1e-3))


def sync_batch_norm_of_vectors():
    return net(nn.Flatten(), nn.Linear(PIXELS, 8), nn.SyncBatchNorm(8), inputs=8)


def nested():
    block = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)))
    return nn.Sequential(nn.Sequential(block), nn.Sequential(nn.Flatten(), nn.Linear(72, 5)))


def late_flatten():
    """The pooling after it would be another function before it."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Identity(), nn.Dropout2d(), nn.Identity()),
        *(nn.AdaptiveAvgPool2d(1), nn.Dropout(), nn.Identity(), nn.Flatten(), nn.Linear(8, 5)),
    )


def pooled_to_the_same_size():
    return net(nn.Conv2d(3, 8, 3, padding=1), nn.AdaptiveAvgPool2d(8))


def flattened_in_part():
    return nn.Sequential(nn.Flatten(2), nn.Flatten(), nn.Linear(PIXELS, 5))


def mlp_of_vectors():
    """Its images are flattened before it."""
    return nn.Sequential(nn.Linear(PIXELS, 9), nn.Tanh(), nn.Linear(9, 5))


class Loop(nn.Module):
    """Linear layers in an nn.ModuleList, and a ReLU in place between them."""

    def __init__(self):
        super().__init__()
        sizes = [(PIXELS, 9), (9, 9), (9, 5)]
        self.layers = nn.ModuleList(nn.Linear(*size) for size in sizes)

    def forward(self, x):
        x = x.flatten(1)
        for i, layer in enumerate(self.layers):
            x = layer(x) if i == 2 else torch.relu_(layer(x))
        return x


class InPlaceWithoutResult(Loop):
    """Calls in place whose results nothing takes."""

    def forward(self, x):
        x = x.flatten(1)
        for layer in self.layers[:-1]:
            x = layer(x)
            F.relu(x, inplace=True)
        return self.layers[-1](x)


class ResultThatNothingUses(Loop):
    """A linear network: the results of its ReLUs are dropped."""

    def forward(self, x):
        x = x.flatten(1)
        for layer in self.layers[:-1]:
            x = layer(x)
            F.relu(x)
        return self.layers[-1](x)


class InPlaceOnBranch(Loop):
    """The last layer sees what ReLU overwrote, and adds it to itself."""

    def forward(self, x):
        x = self.layers[0](x.flatten(1))
        y = x
        F.relu_(x)
        return self.layers[2](self.layers[1](x) + y)


class CalledTwice(Loop):
    """A layer that is called twice."""

    def forward(self, x):
        x = self.layers[1](torch.relu(self.layers[0](x.flatten(1))))
        return self.layers[2](torch.relu(self.layers[1](x)))


class Residual(Loop):
    """A sum of two branches."""

    def forward(self, x):
        x = torch.relu(self.layers[0](x.flatten(1)))
        return self.layers[2](x + torch.relu(self.layers[1](x)))


class Relu6(Loop):
    """An activation that gentool does not know."""

    def forward(self, x):
        x = F.relu6(self.layers[0](x.flatten(1)))
        return self.layers[2](F.relu6(self.layers[1](x)))


def twice(_module, *values):
    value = values[-1]
    return tuple(2 * part for part in value) if isinstance(value, tuple) else 2 * value


def _hooked(place, pre=False):
    model = late_flatten()
    module = model.get_submodule(place)
    (module.register_forward_pre_hook if pre else module.register_forward_hook)(twice)
    return model


def hook_on_a_layer():
    return _hooked("0")


def hook_on_dropout():
    return _hooked("6")


def hook_on_identity():
    return _hooked("2", pre=True)


def hook_on_the_module():
    return _hooked("")


def pre_hook_on_the_module():
    return _hooked("", pre=True)


def hook_on_a_container():
    model = nn.Sequential(late_flatten())
    model[0].register_forward_hook(twice)
    return model


def hook_on_a_wrapper():
    model = nn.DataParallel(late_flatten())
    model.register_forward_hook(twice)
    return model


def with_weight_norm():
    return net(parametrizations.weight_norm(nn.Conv2d(3, 8, 3, padding=1)))


def with_older_weight_norm():
    return net(weight_norm(nn.Conv2d(3, 8, 3, padding=1)))


def with_spectral_norm():
    return net(parametrizations.spectral_norm(nn.Conv2d(3, 8, 3, padding=1)))


def with_older_spectral_norm():
    return net(spectral_norm(nn.Conv2d(3, 8, 3, padding=1)))


def orthogonal():
    return net(nn.Flatten(), parametrizations.orthogonal(nn.Linear(PIXELS, 8)), inputs=8)


def pruned():
    conv = nn.Conv2d(3, 8, 3, padding=1)
    return net(prune.random_unstructured(conv, "weight", 0.5))
