"""The training set that is passed to `gentool.measure`: its forms, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import gentool
from gentool.common.errors import UsageError

SHAPE = (1, 2, 3)
IMAGES = torch.randn(300, *SHAPE, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(300) % 4


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))


def gamma(module, images, labels=None, **options):
    return gentool.measure(module, SHAPE, images=images, labels=labels, only="margin", **options)[
        "measures"
    ]["margin"]


@pytest.fixture(scope="module")
def expected(module):
    """The margin by its definition: the 15th smallest of 300."""
    with torch.no_grad():
        logits = module.double()(IMAGES.double())
    own = logits.gather(1, LABELS[:, None]).squeeze(1)
    others = logits.scatter(1, LABELS[:, None], -torch.inf).amax(1)
    return (own - others).sort().values[14].item()


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (IMAGES, LABELS),
        (IMAGES.numpy(), LABELS.numpy()),
        (IMAGES.numpy()[:, :, ::-1][:, :, ::-1], LABELS.tolist()),
        (IMAGES.squeeze(1), LABELS.float()),
        (IMAGES.flatten(1), LABELS.to(torch.uint8)),
        (IMAGES, np.eye(4)[LABELS.numpy()]),
        (IMAGES, LABELS[:, None]),
        (DataLoader(TensorDataset(IMAGES, LABELS), batch_size=7, shuffle=True), None),
        (TensorDataset(IMAGES, LABELS), None),
        ([(IMAGES[:100], LABELS[:100]), (IMAGES[100:], LABELS[100:])], None),
    ],
)
def test_every_form_of_one_training_set_has_its_margin(module, expected, images, labels):
    assert gamma(module, images, labels) == pytest.approx(expected, rel=1e-12)


def test_one_measure_may_be_named_by_itself(module):
    assert list(gentool.measure(module, SHAPE, only="l2")["measures"]) == ["l2"]
    assert list(gentool.measure(module, SHAPE, only=["l2"])["measures"]) == ["l2"]


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (IMAGES, LABELS + 1, "label 4 is not from 0 to 3, as the network has 4 outputs"),
        (IMAGES, LABELS - 1, "label -1 is not from 0 to 3"),
        (IMAGES, LABELS + 0.5, "labels are float32; give whole numbers"),
        (IMAGES, LABELS / 0, "labels are float32; give whole numbers"),
        (IMAGES, LABELS[:299], r"labels have shape \(299,\), but there are 300 images"),
        (IMAGES, ["a"] * 300, "labels are no array of numbers"),
        (IMAGES, torch.full((300, 4), 0.25), "not one-hot"),
        (IMAGES, None, "images and labels go together"),
        (None, LABELS, "images and labels go together"),
        (IMAGES[:0], LABELS[:0], "there are no images"),
        ([], None, "there are no images"),
        (IMAGES.to(torch.uint8), LABELS, "images are uint8; give floats"),
        (IMAGES.permute(0, 2, 3, 1), LABELS, r"shape \(300, 2, 3, 1\).*channels come first"),
        (IMAGES.repeat(1, 2, 1, 1), LABELS, r"the network takes \(m, 1, 2, 3\)"),
        (IMAGES / 0, LABELS, "NaN or infinite"),
        (DataLoader(TensorDataset(IMAGES, LABELS)), LABELS, "leave out labels"),
        (DataLoader(TensorDataset(IMAGES, LABELS), drop_last=True), None, "drop_last=False"),
        (DataLoader(TensorDataset(IMAGES)), None, "not a pair of images and labels"),
        (3, None, "images are a int; give a tensor"),
    ],
)
def test_a_training_set_that_does_not_fit_is_refused_in_one_line(module, images, labels, words):
    with pytest.raises(UsageError, match=words) as error:
        gamma(module, images, labels)
    assert "\n" not in str(error.value)


def test_settings_out_of_range_are_refused(module):
    with pytest.raises(UsageError, match="epsilon is 1"):
        gentool.measure(module, SHAPE, epsilon=1)
    with pytest.raises(UsageError, match=r"input_shape is \(6,\)"):
        gentool.measure(module, (6,))
