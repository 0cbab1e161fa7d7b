"""The canonical network: the same function with batch norm folded in; refusals by name."""

import pytest
import torch
from helpers.small_sets import ROUNDING
from torch import nn
from torch.nn import functional as F

from gentool.common.errors import GentoolError
from gentool.measures import MEASURES, Measured, evaluate_measures
from gentool.networks.canonical import canonical


def randomised(model, seed=0):
    """Draw parameters (scales of both signs) and running statistics anew; evaluation mode."""
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
    logits = network(images(*input_shape))
    assert (logits - expected).abs().max() < ROUNDING * expected.abs().max()
    return network


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_folding_batch_norm_does_not_change_the_logits(bias, affine):
    """Also with negative scales, and with a convolution that has no bias."""
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


def test_dropout_is_the_identity_even_in_training_mode():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(8, 3)).train()
    network = canonical(model, (2, 2, 2))
    with torch.no_grad():
        expected = model.double().eval()(images(2, 2, 2))
    assert (network(images(2, 2, 2)) - expected).abs().max() < ROUNDING * expected.abs().max()


def test_the_model_is_not_changed():
    model = randomised(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    canonical(model, (1, 5, 5))
    assert model.training
    assert all(torch.equal(before[name], after) for name, after in model.state_dict().items())


def test_frozen_parameters_and_empty_containers_do_not_matter():
    model = nn.Sequential(nn.Sequential(), nn.Flatten(), nn.Sequential(nn.Linear(4, 2)))
    model.requires_grad_(False)
    assert [layer.name for layer in canonical(model, (1, 2, 2)).layers] == ["1", "2.0"]


def test_a_pooling_inside_nested_containers_is_a_layer():
    """Sixteen ones through a pooling of sums and a weight of one make sixteen paths."""
    body = nn.Sequential(nn.Sequential(nn.MaxPool2d(2)), nn.Flatten())
    model = nn.Sequential(body, nn.Linear(4, 1, bias=False))
    nn.init.ones_(model[1].weight)
    values = evaluate_measures(
        Measured(canonical(model, (1, 4, 4))), MEASURES.select(["l1_path_unnormalized"])
    )
    assert values.measures["l1_path_unnormalized"] == pytest.approx(16**2)


def test_a_module_that_is_called_twice_is_two_layers():
    """One ReLU and one linear layer, each called twice; the second call has `#2` in its name."""

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
    """A model with a function, not a module, for its pooling."""

    def __init__(self, pooling):
        super().__init__()
        self.linear, self.pooling = nn.Linear(4, 2), pooling

    def forward(self, x):
        return self.linear(torch.flatten(self.pooling(x), 1))


class Standardised(nn.Conv2d):
    """A convolution that computes with another weight than its parameter."""

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
    "another activation": (nn.Sequential(nn.Conv2d(1, 1, 2), nn.Mish()), "'1' is a Mish"),
    "another function": (Functional(lambda x: F.hardtanh(x)), "hardtanh' is called as a function"),
    "dropout that is always on": (Functional(lambda x: F.dropout(x, 0.5)), "dropout is on in eval"),
    "a softmax in the middle": (
        nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.Softmax(1), nn.Linear(3, 2)),
        "'2' is a softmax before the output",
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
    "batch norm before zero padding": (
        randomised(nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 1, 3, padding=1))),
        "batch norm '0' stands before a convolution with zero padding",
    ),
    "batch norm before an activation": (
        nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.BatchNorm2d(2), nn.ReLU()),
        "batch norm '2' stands before a ReLU",
    ),
    "batch norm at the end": (
        nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.BatchNorm2d(2)),
        "batch norm '2' has no weight layer beside it",
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
def test_a_model_that_cannot_be_treated_exactly_is_refused_by_name(name):
    model, words = REFUSED[name]
    with pytest.raises(GentoolError, match=words) as error:
        canonical(model.eval(), (1, 4, 4))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_measures_of_weights_that_are_not_finite_are_none(bad):
    """With a note of the reason; only the number of parameters has a value."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    model[3].weight.data[0, 0] = bad
    values = evaluate_measures(Measured(canonical(model, (1, 4, 4))), MEASURES)
    assert values.measures.pop("parameters") == 20 + 18
    assert set(values.measures.values()) == {None}
    assert any("NaN or infinite" in note for note in values.notes)


ACTIVATION_MODULES = [
    nn.LeakyReLU(0.2),
    nn.ELU(0.7),
    nn.GELU(),
    nn.GELU(approximate="tanh"),
    nn.SiLU(),
    nn.Tanh(),
    nn.Sigmoid(),
    nn.Softplus(beta=2),
]


@pytest.mark.parametrize("activation", ACTIVATION_MODULES, ids=str)
def test_other_activations_are_layers(activation):
    layers = [nn.Conv2d(1, 2, 2), activation, nn.Flatten(), nn.Linear(18, 3)]
    network = assert_same_function(randomised(nn.Sequential(*layers)), (1, 4, 4))
    assert [type(module) for module in network.activations] == [type(activation)]


def pytorch_example(x, net):
    """The forward pass of PyTorch's MNIST example, for smaller images."""
    x = F.relu(net.conv1(x))
    x = F.max_pool2d(F.leaky_relu(net.conv2(x), 0.2), 2)
    x = F.dropout(x, 0.25, training=net.training)
    x = torch.tanh(net.fc1(torch.flatten(x, 1)))
    return F.log_softmax(net.fc2(x), dim=1)


class Example(nn.Module):
    """The layers of PyTorch's MNIST example, smaller."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 4, 3)
        self.fc1, self.fc2 = nn.Linear(16, 5), nn.Linear(5, 3)

    def forward(self, x):
        return pytorch_example(x, self)


def test_functions_in_a_forward_pass_are_layers_and_a_final_log_softmax_is_left_out():
    """Its logits differ by one number an image, so that no margin changes; a note says so."""
    model = randomised(Example())
    network = canonical(model, (1, 8, 8))
    logits = network(images(1, 8, 8))
    with torch.no_grad():
        expected = model.double()(images(1, 8, 8))
    difference = logits - expected
    assert (difference - difference[:, :1]).abs().max() < ROUNDING * logits.abs().max()
    assert network.notes == (
        "network: the final log-softmax is left out, which changes no margin and no loss",
    )


BEFORE_A_WEIGHT_LAYER = {
    "a linear layer": [nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 3)],
    "flattened channels": [
        nn.Conv2d(1, 2, 3),
        nn.ReLU(),
        nn.BatchNorm2d(2),
        nn.Flatten(),
        nn.Linear(8, 3),
    ],
    "an unpadded convolution": [nn.BatchNorm2d(1), nn.Conv2d(1, 3, 4), nn.Flatten()],
    "groups and an average": [
        nn.Conv2d(1, 4, 1),
        nn.Tanh(),
        nn.BatchNorm2d(4),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 2, groups=2, bias=False),
        nn.Flatten(),
    ],
}


@pytest.mark.parametrize("name", BEFORE_A_WEIGHT_LAYER)
def test_batch_norm_before_a_weight_layer_is_folded_into_it(name):
    network = assert_same_function(
        randomised(nn.Sequential(*BEFORE_A_WEIGHT_LAYER[name])), (1, 4, 4)
    )
    assert not any("Norm" in type(layer.module).__name__ for layer in network.layers)


def test_wrappers_are_taken_off():
    """DataParallel, SyncBatchNorm and torch.compile have the network of what they wrap."""
    plain = randomised(nn.Sequential(nn.Conv2d(1, 2, 4), nn.BatchNorm2d(2), nn.Flatten()))
    expected = canonical(plain, (1, 4, 4))(images(1, 4, 4))
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(plain)
    for model in (nn.DataParallel(plain), synchronised, torch.compile(plain)):
        assert torch.equal(canonical(model, (1, 4, 4))(images(1, 4, 4)), expected)
