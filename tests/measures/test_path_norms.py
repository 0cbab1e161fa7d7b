"""Path norms are exact: compared with enumerated paths and dense matrices; invariances."""

import math
from itertools import pairwise

import pytest
import torch
from helpers.oracles import enumerated_path_sum, path_sum
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gentool.measures import MEASURES, Measured, evaluate_measures, path_sums
from gentool.networks.canonical import canonical


def values(model, input_shape, *names, **options):
    net = Measured(canonical(model, input_shape), **options)
    results = evaluate_measures(net, MEASURES.select([f"{name}_unnormalized" for name in names]))
    return [results.measures[f"{name}_unnormalized"] for name in names]


def randomised(model, seed=0):
    """Draw every parameter and running statistic; return the model in float64, evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_var.abs_()
    return model.double().eval()


SMALL = {
    "3-2-2": (nn.Sequential(nn.Flatten(), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)), (3, 1, 1)),
    "stride 2, padding, max pooling, groups": (
        nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(2, padding=1),
            nn.Flatten(),
            nn.Linear(16, 2),
        ),
        (2, 5, 4),
    ),
    "batch norm, average pooling in ceil mode": (
        nn.Sequential(
            nn.Conv2d(1, 2, 2, dilation=2, bias=False),
            nn.BatchNorm2d(2),
            nn.ReLU(),
            nn.AvgPool2d(2, padding=1, ceil_mode=True),
            nn.Conv2d(2, 2, 2),
            nn.Flatten(),
            nn.Linear(2, 2),
        ),
        (1, 5, 5),
    ),
    "adaptive pooling, average and max": (
        nn.Sequential(
            nn.MaxPool2d(2, stride=1), nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten(), nn.Linear(6, 2)
        ),
        (1, 3, 5),
    ),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("measure", "p", "power"), [("l1_path", 1, 2), ("l2_path", 2, 1)])
def test_a_path_norm_is_the_sum_over_enumerated_paths(name, measure, p, power):
    model, input_shape = SMALL[name]
    model = randomised(model)
    [value] = values(model, input_shape, measure)
    assert value == pytest.approx(enumerated_path_sum(model, input_shape, p) ** power, rel=1e-10)


def test_path_norms_by_hand():
    """Inputs 2; weights 1, -2 and 3, bias -1: paths 1·3, 2·3 and 1·3."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1, bias=False))
    model[1].weight.data, model[1].bias.data = torch.tensor([[1.0, -2.0]]), torch.tensor([-1.0])
    model[3].weight.data = torch.tensor([[3.0]])
    assert values(model, (2, 1, 1), "l1_path", "l2_path") == pytest.approx([12**2, 9 + 36 + 9])
    assert values(model, (2, 1, 1), "l1_path", biases=False) == pytest.approx([9**2])
    # each edge doubled; a bias counts as an edge, so every path here has two
    assert values(model, (2, 1, 1), "l1_path_bound") == pytest.approx([(4 * 12) ** 2])


@st.composite
def chains(draw):
    """Draw a chain of convolutions, poolings, batch norms, linear layers, and its input shape."""
    channels, height, width = (
        draw(st.integers(1, 2)) * 2,
        *draw(st.tuples(*[st.integers(4, 7)] * 2)),
    )
    input_shape, layers = (channels, height, width), []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["conv", "conv", "max", "avg", "adaptive"]))
        kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        padding, ceil_mode = draw(st.integers(0, kernel // 2)), draw(st.booleans())
        if kind == "conv":
            out, groups = 2 * draw(st.integers(1, 2)), draw(st.sampled_from([1, 2]))
            options = {"groups": groups, "bias": draw(st.booleans())}
            layers.append(nn.Conv2d(channels, out, kernel, stride, padding, **options))
            layers += [nn.BatchNorm2d(out)] * draw(st.booleans()) + [nn.ReLU()]
            channels = out
        elif kind == "max":
            layers.append(nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode))
        elif kind == "avg":
            counts_padding, divisor = draw(st.booleans()), draw(st.sampled_from([None, 3]))
            layers.append(nn.AvgPool2d(kernel, stride, padding, ceil_mode, counts_padding, divisor))
        else:
            layers.append(nn.AdaptiveAvgPool2d(draw(st.tuples(*[st.integers(1, 5)] * 2))))
    layers.append(nn.Flatten())
    model = nn.Sequential(*layers)
    try:
        size = model.eval()(torch.zeros(1, *input_shape)).shape[1]
    except RuntimeError:  # the map became too small for a kernel
        return draw(chains())
    return nn.Sequential(*layers, nn.Linear(size, 3)), input_shape


@settings(max_examples=80, deadline=None, derandomize=True)
@given(chains(), st.booleans(), st.integers(0, 1000))
def test_path_norms_of_random_architectures_agree_with_dense_matrices(chain, biases, seed):
    """All four sums, with and without the constant of the l1 bound, to 1e-10."""
    model, input_shape = chain
    model = randomised(model, seed)
    names = ["l1_path", "l2_path", "l1_path_maxpool", "l2_path_maxpool", "l1_path_bound"]
    options = [(1, 1.0, False), (2, 1.0, False), (1, 1.0, True), (2, 1.0, True), (1, 2.0, False)]
    norms = values(model, input_shape, *names, biases=biases)
    for value, (p, factor, largest) in zip(norms, options, strict=True):
        expected = path_sum(
            model, input_shape, p, biases=biases, factor=factor, largest=largest
        ) ** (3 - p)
        assert value == pytest.approx(expected, rel=1e-10)


def test_the_l2_bound_multiplies_by_layer_sizes_as_kernels_and_as_linear_maps():
    """4·2 for two channels, 4·2·9 for two channels of 3x3 units, then 4·3 for three outputs."""
    model = randomised(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(18, 3)))
    plain, kernel, operator = values(
        model, (1, 5, 5), "l2_path", "l2_path_bound", "l2_path_bound_operator", biases=False
    )
    assert kernel / plain == pytest.approx(8 * 12)
    assert operator / plain == pytest.approx(8 * 9 * 12)


def mlp(seed=0, sizes=(6, 5, 4, 3)):
    layers = [nn.Flatten()]
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return randomised(nn.Sequential(*layers[:-1]), seed)


def test_path_norms_ignore_rescaling_of_a_hidden_unit():
    """Weights into a unit times c and out of it divided by c: same function, same path norms."""
    model = mlp()
    before = values(model, (6, 1, 1), "l1_path", "l2_path")
    with torch.no_grad():
        model[1].weight[2] *= 7.5
        model[1].bias[2] *= 7.5
        model[3].weight[:, 2] /= 7.5
    assert values(model, (6, 1, 1), "l1_path", "l2_path") == pytest.approx(before, rel=1e-12)


def test_no_measure_changes_when_hidden_units_are_permuted():
    model, order = mlp(), torch.tensor([3, 0, 4, 1, 2])
    before = evaluate_measures(Measured(canonical(model, (6, 1, 1))), MEASURES)
    with torch.no_grad():
        model[1].weight.copy_(model[1].weight[order])
        model[1].bias.copy_(model[1].bias[order])
        model[3].weight.copy_(model[3].weight[:, order])
    after = evaluate_measures(Measured(canonical(model, (6, 1, 1))), MEASURES)
    for name, value in before.measures.items():
        assert after.measures[name] == (value and pytest.approx(value, rel=1e-10)), name


def test_logarithms_of_measures_do_not_overflow():
    """Weights of three layers times 1e20, 1e150, 1e-150: each log10 changes by 6 times as much."""
    model = mlp()
    for scale, decades in ((1e20, 20), (1e150, 150), (1e-150, -150)):
        scaled = mlp()
        with torch.no_grad():
            for parameter in scaled.parameters():
                parameter *= scale
        plain = Measured(canonical(model, (6, 1, 1)), biases=False)
        large = Measured(canonical(scaled, (6, 1, 1)), biases=False)
        for name in ("l1_path_unnormalized", "l2_path_unnormalized", "l2_unnormalized"):
            [measure] = MEASURES.select([name])
            grown = (measure.function(large) - measure.function(plain)) / math.log(10)
            assert grown == pytest.approx(6 * decades, rel=1e-12)


def test_a_path_norm_is_zero_if_the_last_layer_is_zero():
    model = mlp()
    with torch.no_grad():
        model[-1].weight.zero_()
        model[-1].bias.zero_()
    assert values(model, (6, 1, 1), "l1_path", "l2_path") == [0.0, 0.0]


def test_maxpool_path_norms_count_only_the_largest_path_of_a_window():
    """Four equal inputs in each window: a quarter of the l1 sum, a sixteenth of its square."""
    model = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()
    paths, largest = values(model, (1, 4, 4), "l1_path", "l1_path_maxpool")
    assert largest == pytest.approx(paths / 16)


@pytest.mark.slow
def test_a_vgg19_at_224_has_a_finite_path_norm():
    """The logarithm of every path norm of torchvision's VGG-19 is finite."""
    import torchvision

    model = torchvision.models.vgg19(weights=None).eval()
    net = Measured(canonical(model, (3, 224, 224)))
    names = [m.name for m in MEASURES if "_path" in m.name and m.name.endswith("_unnormalized")]
    results = evaluate_measures(net, MEASURES.select(names))
    assert all(math.isfinite(value) for value in results.log10.values())


def test_path_norms_of_one_power_share_a_forward_pass(monkeypatch):
    """All ten in two passes, of 4 and of 6 sums; one that is asked alone is the only one."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 2, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)]
    network = canonical(nn.Sequential(*layers), (1, 5, 5))
    names = [m.name for m in MEASURES if "_path" in m.name and m.name.endswith("_unnormalized")]
    computed, compute = [], path_sums._log_path_sums

    def counted(net, variants):
        computed.append(len(variants))
        return compute(net, variants)

    monkeypatch.setattr(path_sums, "_log_path_sums", counted)
    together = evaluate_measures(Measured(network), MEASURES.select(names)).log10
    assert (len(names), computed) == (10, [4, 6])
    for name in names:
        computed.clear()
        alone = evaluate_measures(Measured(network), MEASURES.select([name])).log10
        assert computed == [1]
        assert alone[name] == pytest.approx(together[name], rel=1e-13)
