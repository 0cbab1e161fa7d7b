"""A step without the biases that batch norm takes away is the step with them."""

from copy import deepcopy

import torch
from torch.nn.functional import cross_entropy

from gentool.networks.models import MODELS
from gentool.training.bias_free_vgg import bias_free


def stepped(model, called, images, labels):
    model.train()
    loss = cross_entropy(called(images), labels)
    loss.backward()
    return loss


def test_leaving_out_biases_before_batch_norm_changes_nothing():
    """Loss, every other gradient and the running statistics agree; biases get no gradient."""
    torch.manual_seed(0)
    plain = MODELS["vgg"]((3, 32, 32), 10, width=0.1).double()
    fast = deepcopy(plain)
    images, labels = torch.randn(20, 3, 32, 32).double(), torch.randint(10, (20,))
    for _ in range(2):
        losses = [
            stepped(model, called, images, labels)
            for model, called in ((plain, plain), (fast, bias_free(fast)))
        ]
        assert torch.allclose(*losses, rtol=1e-12)
    kept = fast.state_dict()
    for name, one in plain.state_dict().items():
        assert torch.allclose(one, kept[name], rtol=1e-10), name
    left_out = 0
    for one, other in zip(plain.parameters(), fast.parameters(), strict=True):
        if other.grad is None:
            left_out += 1
            assert one.grad.abs().max() < 1e-12
        else:
            assert torch.allclose(one.grad, other.grad, rtol=1e-9, atol=1e-12)
    assert left_out == 8


def test_other_networks_are_left_as_they_are():
    """An MLP, and a VGG without batch norm, compute what they did to the bit."""
    mlp = MODELS["mlp"]((1, 8, 8), 10)
    assert bias_free(mlp) is mlp
    vgg = MODELS["vgg"]((3, 32, 32), 10, width=0.1, batch_norm=False)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(bias_free(vgg)(images), vgg(images))
