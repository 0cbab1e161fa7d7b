"""The operator norms of a convolution equal those of its dense matrix."""

import numpy as np
import pytest
import torch
from helpers.oracles import dense
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from gentool.networks import operator_norm
from gentool.networks.canonical import canonical
from gentool.networks.convolution import Operator


def layer_of(module, in_shape, seed=0):
    """Return the canonical layer of a convolution with random weights, and its dense matrix."""
    module = module.double()
    generator = torch.Generator().manual_seed(seed)
    module.weight.data = torch.randn(module.weight.shape, generator=generator, dtype=torch.float64)
    [layer] = canonical(module, in_shape).layers
    return layer, dense(module, in_shape)[0]


@pytest.fixture(params=["dense", "iterated"])
def way(request, monkeypatch):
    """Compute norms of small maps both ways: by dense matrices, and by iteration."""
    if request.param == "iterated":
        monkeypatch.setattr(operator_norm, "DENSE_ENTRIES", 0)
    return request.param


def assert_norms_equal_those_of_the_matrix(layer, matrix):
    expected = np.linalg.svd(matrix, compute_uv=False)[0]
    bounds = layer.spectral_operator
    assert bounds.lower == pytest.approx(expected, rel=1e-6)
    assert bounds.lower <= expected * (1 + 1e-12)
    assert bounds.upper >= expected
    assert bounds.error <= 1e-6
    assert layer.frobenius_operator == pytest.approx(np.linalg.norm(matrix), rel=1e-12)


@st.composite
def convolutions(draw):
    """Draw a convolution with stride, padding, dilation and groups, and the shape of its input."""
    pair = lambda low, high: draw(st.tuples(*[st.integers(low, high)] * 2))  # noqa: E731
    kernel, stride, dilation = pair(1, 5), pair(1, 3), pair(1, 2)
    groups = draw(st.sampled_from([1, 1, 2]))
    channels = [groups * draw(st.integers(1, 3)) for _ in range(2)]
    module = nn.Conv2d(
        *channels, kernel, stride, pair(0, 3), dilation, groups, bias=draw(st.booleans())
    )
    return module, (channels[0], *pair(1, 7))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(convolutions(), st.integers(0, 1000))
def test_random_convolutions_have_the_norms_of_their_dense_matrices(case, seed):
    """The Frobenius norm, and bounds with the spectral norm between them."""
    module, in_shape = case
    reach = [d * (k - 1) + 1 for k, d in zip(module.kernel_size, module.dilation, strict=True)]
    sizes = zip(in_shape[1:], module.padding, reach, strict=True)
    assume(all(size + 2 * padding >= needed for size, padding, needed in sizes))
    layer, matrix = layer_of(module, in_shape, seed)
    assume(np.abs(matrix).max() > 0)  # not all kernel entries meet only padding
    assert_norms_equal_those_of_the_matrix(layer, matrix)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(
    ("module", "in_shape"),
    [
        (nn.Conv2d(16, 16, 3, padding=1), (16, 2, 2)),
        (nn.Conv2d(8, 16, 3, padding=1), (8, 12, 12)),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), (3, 9, 8)),
        (nn.Conv2d(4, 4, 7, padding=3), (4, 2, 2)),
        (nn.Conv2d(4, 6, 4, padding="same"), (4, 6, 5)),
        (nn.Conv2d(6, 6, 3, padding="valid", groups=6), (6, 7, 7)),
    ],
    ids=["2x2 map", "wider", "stride 2", "kernel beyond the map", "same, even kernel", "depthwise"],
)
def test_convolutions_as_in_networks_have_the_norms_of_their_dense_matrices(module, in_shape, way):
    assert_norms_equal_those_of_the_matrix(*layer_of(module, in_shape))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(convolutions(), st.integers(0, 1000))
def test_iteration_gives_random_convolutions_the_norms_of_their_dense_matrices(case, seed):
    """As above, without writing out the matrices."""
    module, in_shape = case
    reach = [d * (k - 1) + 1 for k, d in zip(module.kernel_size, module.dilation, strict=True)]
    sizes = zip(in_shape[1:], module.padding, reach, strict=True)
    assume(all(size + 2 * padding >= needed for size, padding, needed in sizes))
    layer, matrix = layer_of(module, in_shape, seed)
    assume(np.abs(matrix).max() > 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operator_norm, "DENSE_ENTRIES", 0)
        assert_norms_equal_those_of_the_matrix(layer, matrix)


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8])
@pytest.mark.parametrize("larger", [0, 1])
def test_the_larger_of_two_close_singular_values_is_found(gap, larger, way):
    """Two groups of the same kernel, one of them smaller by the gap: the top values are a pair."""
    layer, _ = layer_of(nn.Conv2d(4, 4, 3, padding=1, bias=False), (4, 6, 6))
    kernel = layer.module.weight.data
    matrix = dense(layer.module, (4, 6, 6))[0]
    scales = [1 - gap, 1 - gap]
    scales[larger] = 1.0
    pair = nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False).double()
    pair.weight.data = torch.cat([scale * kernel for scale in scales])
    [paired] = canonical(pair, (8, 6, 6)).layers
    expected = np.linalg.svd(matrix, compute_uv=False)[0]
    bounds = paired.spectral_operator
    assert expected * (1 - 1e-6) <= bounds.lower <= expected * (1 + 1e-12)
    assert bounds.upper >= expected


def test_layers_of_a_trained_network_have_the_norms_of_their_dense_matrices(way):
    """Training brings singular values close together, and some far above the others."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(256, 4)),
    )
    images = torch.randn(40, 1, 8, 8, generator=generator)
    labels = torch.randint(4, (40,), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    for layer in canonical(model, (1, 8, 8)).weight_layers[:3]:
        assert_norms_equal_those_of_the_matrix(layer, dense(layer.module, layer.in_shape)[0])


@pytest.mark.parametrize("channels", [8, 48])
def test_small_maps_have_a_bound_from_above_as_close_as_the_value(channels):
    """Of 192 outputs by all eigenvalues, of 768 by a Cholesky factor."""
    layer, matrix = layer_of(nn.Conv2d(channels, channels, 3, padding=1), (channels, 4, 4))
    expected = np.linalg.svd(matrix, compute_uv=False)[0]
    bounds = layer.spectral_operator
    assert expected <= bounds.upper <= expected * (1 + 1.1e-6)
    assert bounds.lower == pytest.approx(expected, rel=1e-6)


def test_a_larger_eigenvalue_than_the_one_found_is_noticed(monkeypatch):
    """With a vector that is far from the top one there is no Cholesky factor; the norm is exact."""
    layer, matrix = layer_of(nn.Conv2d(48, 48, 3, padding=1), (48, 4, 4))
    wrong = operator_norm.top_eigenvector(
        lambda x: x, torch.ones(768, dtype=torch.float64), torch.Generator().manual_seed(0), 1e-6
    )
    monkeypatch.setattr(operator_norm, "top_eigenvector", lambda *arguments: wrong)
    expected = np.linalg.svd(matrix, compute_uv=False)[0]
    assert layer.spectral_operator.lower == pytest.approx(expected, rel=1e-12)


def test_the_residual_is_that_of_the_vector(way):
    """‖AᵀA v − s² v‖ / s² is near zero at a singular vector, in single precision."""
    layer, _ = layer_of(nn.Conv2d(48, 48, 3, padding=1), (48, 4, 4))
    assert 0 < layer.spectral_operator.residual < 1e-4


def test_the_upper_bound_is_close_for_a_large_input():
    """Within 1 % at 24x24, where the border is a small part."""
    layer, _ = layer_of(nn.Conv2d(1, 2, 3, padding=1), (1, 24, 24))
    bounds = layer.spectral_operator
    assert 1 <= bounds.upper / bounds.lower < 1.01


def test_a_constant_kernel_on_one_channel_has_the_norm_of_the_closed_form():
    """Ones of size 3 along a line of n zero-padded points: 1 + 2 cos(π / (n + 1)), tridiagonal."""
    module = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False)
    module.weight.data = torch.ones(1, 1, 1, 3)
    [layer] = canonical(module, (1, 1, 200)).layers
    assert layer.spectral_operator.lower == pytest.approx(1 + 2 * np.cos(np.pi / 201), rel=1e-6)


def test_scaling_the_kernel_by_1e100_scales_both_norms():
    module = nn.Conv2d(2, 3, 3, padding=1)
    layer, _ = layer_of(module, (2, 6, 6))
    module.weight.data = module.weight.data * 1e100
    [scaled] = canonical(module, (2, 6, 6)).layers
    factor = scaled.spectral_operator.lower / layer.spectral_operator.lower
    assert factor == pytest.approx(1e100, rel=1e-6)
    assert scaled.frobenius_operator / layer.frobenius_operator == pytest.approx(1e100, rel=1e-12)


def test_a_kernel_of_zeros_has_norm_zero():
    module = nn.Conv2d(2, 3, 3, padding=1)
    module.weight.data.zero_()
    [layer] = canonical(module, (2, 6, 6)).layers
    assert (layer.spectral_operator.lower, layer.spectral_operator.upper) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("stride", "padding"), [((2, 3), (0, 1)), (1, (1, 0)), (1, (2, 1)), (2, (1, 0))]
)
def test_the_transposed_map_satisfies_its_definition(stride, padding):
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩, with different strides and paddings for the two axes."""
    module = nn.Conv2d(4, 6, (3, 2), stride=stride, padding=padding, groups=2).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 7, 8, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        y = torch.randn(module(x).shape, generator=generator, dtype=torch.float64)
    operator = Operator.of(module, (4, 7, 8), tuple(y.shape[1:]))
    assert float((operator(x) * y).sum()) == pytest.approx(float((x * operator.transpose(y)).sum()))
