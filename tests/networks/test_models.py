"""The models: the layers of the papers, options of each model, initial weights from the seed."""

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from gentool.common.errors import GentoolError, UsageError
from gentool.networks.models import MODELS, build, initialised, with_defaults
from gentool.records.recipe import Recipe


def recipe(model, input_shape=(3, 32, 32), seed=0, **options):
    return Recipe(
        model=model, input_shape=input_shape, classes=10, seed=seed, **with_defaults(model, options)
    )


def weights(model):
    return [tuple(p.shape) for name, p in model.named_parameters() if p.dim() > 1]


def test_the_papers_vgg_has_ten_weight_layers_and_4_95_million_weights():
    """Twice 64, 128, 256, 512 channels of 3x3 kernels, a hidden layer of 512, ten outputs."""
    shapes = weights(build(recipe("vgg")))
    channels = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    convolutions = [(outputs, inputs, 3, 3) for inputs, outputs in pairwise(channels)]
    assert shapes == [*convolutions, (512, 512), (10, 512)]
    assert sum(torch.Size(shape).numel() for shape in shapes) == 4_950_720


@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_vgg_has_torchvisions_feature_stack(name, batch_norm):
    """Same names, same shapes: torchvision's weights load into the features."""
    import torchvision

    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"{name}_bn" if batch_norm else name)().features
    ours = build(recipe(name, batch_norm=batch_norm)).features
    assert {n: t.shape for n, t in ours.state_dict().items()} == {
        n: t.shape for n, t in theirs.state_dict().items()
    }


def test_an_mlp_has_depth_hidden_layers():
    assert weights(build(recipe("mlp", (1, 8, 8), depth=2, hidden=5))) == [(5, 64), (5, 5), (10, 5)]
    assert weights(build(recipe("mlp", (1, 8, 8), depth=0))) == [(10, 64)]


@pytest.mark.parametrize("batch_norm", [True, False])
def test_initial_weights_have_the_variance_of_their_init(batch_norm):
    """He: 2 / fan-in, the output's 1 / fan-in; uniform: 1 / (3 fan-in), within 1 / sqrt(fan-in)."""
    options = {"hidden": 2000, "batch_norm": batch_norm}
    drawn = {
        init: [
            p.detach()
            for p in initialised(
                replace(recipe("mlp", (1, 10, 10), **options), init=init)
            ).parameters()
            if p.dim() == 2
        ]
        for init in ("he", "uniform", None)
    }
    for (hidden, output), first, last in (
        (drawn["he"], 2 / 100, 1 / 2000),
        (drawn["uniform"], 1 / 300, 1 / 6000),
    ):
        assert hidden.var().item() == pytest.approx(first, rel=0.02)
        assert output.var().item() == pytest.approx(last, rel=0.05)
    assert drawn["uniform"][0].abs().max() <= 100**-0.5
    assert torch.equal(drawn[None][0], drawn["uniform" if batch_norm else "he"][0])


def test_width_scales_every_layer_of_a_vgg():
    assert weights(build(recipe("vgg", width=0.25)))[-3:] == [
        (128, 128, 3, 3),
        (128, 128),
        (10, 128),
    ]


@pytest.mark.parametrize("name", MODELS.names)
@pytest.mark.parametrize("options", [{}, {"batch_norm": False}, {"dropout": 0.5}])
def test_nothing_comes_after_the_output_layer(name, options):
    """Logits of both signs: a ReLU there would clip them, and margins would lose their meaning."""
    model = initialised(recipe(name, **options)).eval()
    assert isinstance(list(model.modules())[-1], nn.Linear)
    logits = model(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (4, 10)
    assert logits.min() < 0 < logits.max()


def test_images_too_small_for_the_pooling_are_refused():
    """2x2 three times and 4x4 once take 32 pixels, five times 2x2 as well."""
    assert build(recipe("vgg", (1, 64, 32)))
    with pytest.raises(GentoolError, match="needs images of 32x32 or more, not 28x28"):
        build(recipe("vgg", (1, 28, 28)))


def test_an_option_that_a_model_does_not_have_is_refused():
    with pytest.raises(UsageError, match="vgg has no option --hidden; it has --batch-norm"):
        with_defaults("vgg", {"hidden": 64})


def test_an_unknown_model_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown model 'vgg15' \(did you mean 'vgg1\d'\?\)"):
        with_defaults("vgg15", {})


def test_initial_weights_depend_on_the_seed_alone():
    """The same seed gives the same weights; torch's global generator has no part in it."""
    before = torch.get_rng_state()
    first = initialised(recipe("mlp")).state_dict()
    torch.rand(3)
    again = initialised(recipe("mlp")).state_dict()
    other = initialised(recipe("mlp", seed=1)).state_dict()
    torch.set_rng_state(before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["output.weight"], other["output.weight"])


def test_initial_weights_have_he_variance():
    """Var = 2 / fan-in before a ReLU, 1 / fan-in before the output, within five standard errors."""
    state = initialised(recipe("mlp", hidden=1000)).state_dict()
    for name, gain in [("hidden1.weight", 2), ("output.weight", 1)]:
        weight = state[name]
        spread = 5 * (2 / weight.numel()) ** 0.5
        assert weight.var().item() * weight.shape[1] == pytest.approx(gain, rel=spread)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_relu_after_pooling_is_the_same_as_before_it(batch_norm):
    """Logits, every gradient and the running statistics of a step in training are equal to the bit.

    With channels that are zero everywhere, so that windows tie, and others negative throughout.
    """
    late = initialised(recipe("vgg", width=0.1, batch_norm=batch_norm)).train()
    with torch.no_grad():
        late.features[0].weight[0] = 0
        late.features[0].bias[1] = -9
    early = copy.deepcopy(late)
    poolings = [i for i, m in enumerate(early.features) if isinstance(m, nn.MaxPool2d)]
    assert len(poolings) == 4
    for i in poolings:
        pooling, relu = early.features[i], early.features[i + 1]
        assert isinstance(relu, nn.ReLU)
        early.features[i], early.features[i + 1] = relu, pooling
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(20, 3, 32, 32, generator=generator)
    labels = torch.randint(10, (20,), generator=generator)
    both = [model(images) for model in (late, early)]
    assert torch.equal(*both)
    for logits in both:
        cross_entropy(logits, labels).backward()
    pairs = zip(late.parameters(), early.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) for a, b in pairs)
    assert all(torch.equal(a, b) for a, b in zip(late.buffers(), early.buffers(), strict=True))


@pytest.mark.parametrize(
    ("batch_norm", "convolutions", "hidden"),
    [(False, 0, 0), (True, 8, 0), ("hidden", 0, 1), ("all", 8, 1)],
)
def test_batch_norm_stands_where_the_recipe_says(batch_norm, convolutions, hidden):
    """On each of the eight convolutions, on the hidden linear layer, on both, or nowhere."""
    model = build(recipe("vgg", batch_norm=batch_norm))
    norms = [type(module) for module in model.modules()]
    assert norms.count(nn.BatchNorm2d) == convolutions
    assert norms.count(nn.BatchNorm1d) == hidden


def test_dropout_is_after_each_stack_and_before_the_output():
    """As in the first author's code: five places, one of them after the hidden layer's ReLU."""
    model = build(recipe("vgg", dropout=0.5, batch_norm="hidden"))
    names = [type(module).__name__ for module in model.classifier]
    assert names == ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]
    assert sum(isinstance(module, nn.Dropout) for module in model.features) == 4


def test_an_average_as_last_pooling_is_the_mean_of_what_the_maximum_is_taken_of():
    """The same weights; the average is of the ReLUs, not the ReLU of an average."""
    largest, mean = (
        initialised(recipe("vgg", width=0.05, last_pool=kind)).eval() for kind in ("max", "average")
    )
    mean.load_state_dict(largest.state_dict())
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = mean.features[:-1](images)
    assert bool((before >= 0).all())
    torch.testing.assert_close(mean.features(images), before.mean(dim=(2, 3), keepdim=True))
    torch.testing.assert_close(largest.features(images), before.amax(dim=(2, 3), keepdim=True))


def test_batch_norm_of_a_hidden_layer_is_refused_where_there_is_none():
    with pytest.raises(UsageError, match="vgg16 has no hidden linear layer"):
        build(recipe("vgg16", batch_norm="hidden"))
