"""Draws are nested and disjoint, have the right number of random labels, and have a digest."""

import pytest
import torch

from gentool.common.errors import GentoolError
from gentool.data.dataset import DataSet
from gentool.data.subset import draw_subset


def data(n=1000, classes=10):
    """Return a data set in which each image is its own index."""
    images = torch.arange(n, dtype=torch.float32).reshape(n, 1, 1, 1)
    labels = torch.arange(n) % classes
    return DataSet(images, labels, images[:5], labels[:5], classes, "fingerprint")


def drawn(labels="random", subset=100, confusion=0, seed=0, **options):
    return draw_subset(
        data(**options), labels=labels, subset=subset, confusion=confusion, seed=seed
    )


@pytest.mark.parametrize("labels", ["true", "random", 0.3])
def test_a_smaller_draw_is_the_beginning_of_a_larger_one(labels):
    """Both images and labels, for any fraction of random labels."""
    small, large = drawn(labels, 50).subset, drawn(labels, 500).subset
    assert torch.equal(small.indices, large.indices[:50])
    assert torch.equal(small.labels, large.labels[:50])


def test_images_are_drawn_without_replacement():
    subset = drawn(subset=1000).subset
    assert sorted(subset.indices.tolist()) == list(range(1000))
    assert torch.equal(subset.images.flatten(), subset.indices.float())


def test_another_seed_draws_other_images_and_labels():
    first, second = drawn(seed=0).subset, drawn(seed=1).subset
    assert not torch.equal(first.indices, second.indices)
    shared = set(first.indices.tolist()) & set(second.indices.tolist())
    labels = [
        dict(zip(s.indices.tolist(), s.labels.tolist(), strict=True)) for s in (first, second)
    ]
    assert any(labels[0][i] != labels[1][i] for i in shared)


def test_true_labels_are_the_labels_of_the_data():
    subset = drawn("true").subset
    assert torch.equal(subset.labels, subset.indices % 10)
    assert torch.equal(subset.true_labels, subset.labels)


def test_random_labels_are_uniform_over_the_classes():
    """Chi-squared of nine degrees of freedom below its 99.9th percentile; a tenth are right."""
    subset = drawn(subset=50_000, n=50_000).subset
    counts = subset.labels.bincount(minlength=10).double()
    assert ((counts - 5000) ** 2 / 5000).sum() < 27.9
    right = (subset.labels == subset.true_labels).double().mean().item()
    assert right == pytest.approx(0.1, abs=4 * (0.09 / 50_000) ** 0.5)


@pytest.mark.parametrize(
    ("fraction", "size", "count"), [(0.3, 10, 3), (0.29, 100, 29), (0.5, 5, 3), (0.001, 100, 0)]
)
def test_a_fraction_of_the_labels_is_random(fraction, size, count):
    """round(size * fraction) of them; with a million classes a random label is hardly ever true."""
    subset = drawn(fraction, size, n=10**6, classes=10**6).subset
    assert (subset.labels != subset.true_labels).sum() == count


def test_a_confusion_set_is_disjoint_and_random_and_does_not_change_the_subset():
    """The subset keeps its true labels; confusion sets of different sizes are nested."""
    plain, small, large = drawn("true"), drawn("true", confusion=50), drawn("true", confusion=500)
    assert torch.equal(plain.subset.labels, large.subset.labels)
    assert not set(large.subset.indices.tolist()) & set(large.confusion.indices.tolist())
    assert torch.equal(small.confusion.labels, large.confusion.labels[:50])
    right = (large.confusion.labels == large.confusion.true_labels).double().mean().item()
    assert 0.03 < right < 0.2
    assert len(plain.confusion.labels) == 0


def test_a_draw_larger_than_the_training_set_is_refused():
    with pytest.raises(
        GentoolError, match="--subset is 1001, but the training set has 1000 images"
    ):
        drawn(subset=1001)
    with pytest.raises(GentoolError, match=r"--confusion is 901.* only 900 images"):
        drawn(confusion=901)


def test_different_draws_have_different_digests():
    """They differ in images, in labels, in true labels, or in the part that an image is in."""
    digests = {
        drawn().digest,
        drawn("true").digest,
        drawn(seed=1).digest,
        drawn(subset=99, confusion=1).digest,
        drawn(n=1001).digest,
        drawn(classes=9).digest,
    }
    assert len(digests) == 6
    assert drawn().digest == drawn().digest


def test_a_draw_is_the_same_in_every_version():
    """Checkpoints of users hold the digests of such draws: no version may change them."""
    subset = drawn(subset=8).subset
    assert subset.indices.tolist() == [882, 907, 205, 842, 743, 611, 332, 987]
    assert subset.labels.tolist() == [2, 8, 2, 6, 1, 4, 1, 5]
