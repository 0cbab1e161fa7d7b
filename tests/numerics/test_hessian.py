"""Products with a Hessian are those of the dense one, and share one gradient."""

import pytest
import torch

from gentool.numerics.hessian import HessianProducts

IMAGES = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6, dtype=torch.float64)
PARAMETERS = [torch.tensor([[0.5, -1.0, 2.0]]).double(), torch.tensor([0.3]).double()]


def loss(parameters, images, labels):
    W, b = parameters
    return ((images @ W.T).tanh().squeeze(1) * b - labels).square().sum() / len(IMAGES)


def products(size, calls):
    """Return products over chunks of a size; the number of each chunk's image goes into calls."""

    def chunks():
        calls.append(size)
        return zip(IMAGES.split(size), LABELS.split(size), strict=True)

    return HessianProducts(loss, PARAMETERS, chunks, is_one=size == len(IMAGES))


@pytest.mark.parametrize("size", [6, 2])
def test_products_are_those_of_the_dense_hessian_in_any_chunks(size):
    def of_vector(w):
        return loss([w[:3].reshape(1, 3), w[3:]], IMAGES, LABELS)

    w = torch.cat([p.flatten() for p in PARAMETERS])
    dense = torch.autograd.functional.hessian(of_vector, w)
    unit = torch.eye(4, dtype=torch.float64)
    columns = torch.stack(products(size, []).many(list(unit)), dim=1)
    assert torch.allclose(columns, dense, rtol=1e-12, atol=1e-12)
    assert torch.equal(products(size, [])(unit[1]), columns[:, 1])


@pytest.mark.parametrize(("size", "passes"), [(6, 1), (2, 3)])
def test_the_gradient_is_computed_once_for_all_vectors_of_a_call(size, passes):
    """Of one chunk also once for all calls; several chunks are read anew by each call."""
    calls = []
    of_vectors = products(size, calls)
    for _ in range(3):
        of_vectors.many([torch.ones(4).double()] * 5)
    assert len(calls) == passes


def test_a_hessian_that_overflows_is_an_error():
    def steep(parameters, images, labels):
        return (parameters[0] * 1e200).square().sum() + parameters[1].sum()

    with pytest.raises(FloatingPointError):
        HessianProducts(steep, PARAMETERS, lambda: [(IMAGES, LABELS)], is_one=True)(
            torch.ones(4).double()
        )
