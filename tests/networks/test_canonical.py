"""The canonical network: the same function with batch norm folded, and what is refused by name."""

import pytest
import torch
from helpers.small_sets import ROUNDING
from torch import nn
from torch.nn import functional as F

from gentool.common.errors import GentoolError
from gentool.measures import MEASURES, Measured, evaluate_measures
from gentool.networks.canonical import canonical


def randomised(model, seed=0):
    """Parameters and running statistics drawn anew, scales of both signs; evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
            if name.endswith("running_var"):
                tensor.abs_()
    return model.eval()


def images(*shape):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, *shape, generator=generator, dtype=torch.float64)


def assert_same_function(model, input_shape):
    """The canonical network has the logits of the model in float64, to rounding."""
    network = canonical(model, input_shape)
    with torch.no_grad():
        expected = model.double()(images(*input_shape))
    found = network(images(*input_shape))
    assert (found - expected).abs().max() < ROUNDING * expected.abs().max()
    return network


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_folding_batch_norm_leaves_the_logits_as_they_are(bias, affine):
    """With scales below zero, and a convolution that had no bias to fold into."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=bias),
        nn.BatchNorm2d(4, affine=affine),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 5, bias=bias),
        nn.BatchNorm1d(5, affine=affine),
    )
    network = assert_same_function(randomised(model), (3, 4, 4))
    assert [layer.name for layer in network.layers] == ["0", "2", "3", "4"]


def test_dropout_is_the_identity_even_if_it_was_left_on():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(8, 3)).train()
    network = canonical(model, (2, 2, 2))
    with torch.no_grad():
        expected = model.double().eval()(images(2, 2, 2))
    assert (network(images(2, 2, 2)) - expected).abs().max() < ROUNDING * expected.abs().max()


def test_the_model_is_left_as_it_was():
    model = randomised(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    canonical(model, (1, 5, 5))
    assert model.training
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_frozen_parameters_and_empty_containers_change_nothing():
    model = nn.Sequential(nn.Sequential(), nn.Flatten(), nn.Sequential(nn.Linear(4, 2)))
    model.requires_grad_(False)
    assert [layer.name for layer in canonical(model, (1, 2, 2)).layers] == ["1", "2.0"]


def test_a_pooling_below_a_dotted_name_is_seen():
    """Sixteen ones through a pooling of sums and a weight of one make sixteen paths."""
    body = nn.Sequential(nn.Sequential(nn.MaxPool2d(2)), nn.Flatten())
    model = nn.Sequential(body, nn.Linear(4, 1, bias=False))
    nn.init.ones_(model[1].weight)
    found = evaluate_measures(
        Measured(canonical(model, (1, 4, 4))), MEASURES.select(["l1_path_unnormalized"])
    )
    assert found.measures["l1_path_unnormalized"] == pytest.approx(16**2)


def test_a_layer_that_is_used_twice_counts_twice():
    """One ReLU for all, as much code has it, and one linear layer before and after it."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.flatten, self.linear, self.relu = nn.Flatten(), nn.Linear(4, 4), nn.ReLU()

        def forward(self, x):
            return self.relu(self.linear(self.relu(self.linear(self.flatten(x)))))

    network = assert_same_function(randomised(Twice()), (1, 2, 2))
    names = ["flatten", "linear", "relu", "linear#2", "relu#2"]
    assert [layer.name for layer in network.layers] == names


class Functional(nn.Module):
    """A model whose pooling is no module."""

    def __init__(self, pooling):
        super().__init__()
        self.linear, self.pooling = nn.Linear(4, 2), pooling

    def forward(self, x):
        return self.linear(torch.flatten(self.pooling(x), 1))


class Standardised(nn.Conv2d):
    """A convolution that uses another weight than the one it holds."""

    def forward(self, x):
        return F.conv2d(x, self.weight - self.weight.mean())


def hooked():
    layer = nn.Linear(4, 2)
    layer.register_forward_hook(lambda module, inputs, output: output * 2)
    return nn.Sequential(nn.Flatten(), layer)


def with_negative_variance():
    model = randomised(nn.Sequential(nn.Conv2d(1, 1, 2), nn.BatchNorm2d(1), nn.Flatten()))
    model[1].running_var.fill_(-1)
    return model


REFUSED = {
    "a clipping activation": (nn.Sequential(nn.Conv2d(1, 1, 2), nn.ReLU6()), "'1' is a ReLU6"),
    "another activation": (nn.Sequential(nn.Conv2d(1, 1, 2), nn.Tanh()), "'1' is a Tanh"),
    "functional max pooling": (
        Functional(lambda x: F.max_pool2d(x, 2)),
        "max_pool2d' is called as a function",
    ),
    "a mean over the map": (Functional(lambda x: x.mean((2, 3))), "'mean' is called as a function"),
    "a sum of two layers": (
        nn.Sequential(Functional(lambda x: x + x)),
        "is called as a function|not a chain",
    ),
    "a subclass": (nn.Sequential(Standardised(1, 1, 2)), "'0' is a Standardised"),
    "a parametrization": (
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 1, 2))),
        "Parametrized|cannot list the layers",
    ),
    "a hook": (hooked(), "'1' has a hook"),
    "padding by reflection": (
        nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")),
        "'0' pads with 'reflect'",
    ),
    "batch norm first": (
        nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 1, 2)),
        "batch norm '0' does not directly follow",
    ),
    "batch norm after ReLU": (
        nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.BatchNorm2d(2)),
        "batch norm '2' does not directly follow",
    ),
    "batch norm without statistics": (
        nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2, track_running_stats=False)),
        "batch norm '1' has no running statistics",
    ),
    "a negative variance": (with_negative_variance(), "batch norm '1' has a negative running var"),
    "the wrong input": (nn.Sequential(nn.Conv2d(3, 1, 2)), "'0' .* does not accept .* 1x4x4"),
    "no weights": (nn.Sequential(nn.Flatten()), "no convolution and no linear layer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_treated_exactly_is_refused_by_name(name):
    model, words = REFUSED[name]
    with pytest.raises(GentoolError, match=words) as error:
        canonical(model.eval(), (1, 4, 4))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_make_their_measures_undefined(bad):
    """Null with the reason; the number of parameters is known all the same."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    model[3].weight.data[0, 0] = bad
    found = evaluate_measures(Measured(canonical(model, (1, 4, 4))), MEASURES)
    assert found.measures.pop("parameters") == 20 + 18
    assert set(found.measures.values()) == {None}
    assert any("NaN or infinite" in note for note in found.notes)
