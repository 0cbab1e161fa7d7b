"""A training step without the biases before batch norm is the step with them."""

from copy import deepcopy

import torch
from torch.nn.functional import cross_entropy

from gentool.networks.models import MODELS
from gentool.training.bias_free_vgg import bias_free


def loss_of_step(model, called, images, labels):
    model.train()
    loss = cross_entropy(called(images), labels)
    loss.backward()
    return loss


def test_leaving_out_biases_before_batch_norm_changes_no_other_gradient():
    """Loss, every other gradient and the running statistics agree; biases get no gradient."""
    torch.manual_seed(0)
    plain = MODELS["vgg"]((3, 32, 32), 10, width=0.1).double()
    fast = deepcopy(plain)
    images, labels = torch.randn(20, 3, 32, 32).double(), torch.randint(10, (20,))
    for _ in range(2):
        losses = [
            loss_of_step(model, called, images, labels)
            for model, called in ((plain, plain), (fast, bias_free(fast)))
        ]
        assert torch.allclose(*losses, rtol=1e-12)
    tensors = fast.state_dict()
    for name, tensor in plain.state_dict().items():
        assert torch.allclose(tensor, tensors[name], rtol=1e-10), name
    without_gradient = 0
    for parameter, bias_free_parameter in zip(plain.parameters(), fast.parameters(), strict=True):
        if bias_free_parameter.grad is None:
            without_gradient += 1
            assert parameter.grad.abs().max() < 1e-12
        else:
            assert torch.allclose(parameter.grad, bias_free_parameter.grad, rtol=1e-9, atol=1e-12)
    assert without_gradient == 8


def test_networks_without_batch_norm_after_a_convolution_are_unchanged():
    """An MLP is returned itself; a VGG without batch norm has the same logits, to the bit."""
    mlp = MODELS["mlp"]((1, 8, 8), 10)
    assert bias_free(mlp) is mlp
    vgg = MODELS["vgg"]((3, 32, 32), 10, width=0.1, batch_norm=False)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(bias_free(vgg)(images), vgg(images))
