"""The recipe: values in their ranges, JSON there and back, names of files."""

import json

import pytest

from gentool.common.errors import GentoolError, UsageError
from gentool.records.recipe import Recipe, default_stem, parse_labels


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subset", 0),
        ("confusion", -1),
        ("seed", -1),
        ("dropout", 1.0),
        ("lr", float("nan")),
        ("width", 0.0),
        ("depth", 10**9),
        ("labels", "truth"),
        ("labels", 1.5),
        ("epochs", True),
        ("input_shape", (3, 32)),
    ],
)
def test_a_value_out_of_range_is_named(name, value):
    """The error says which option, which value, and what it has to be."""
    with pytest.raises(UsageError, match=rf"{name.replace('_', '-')} is .*; it has to be"):
        Recipe(**{name: value})


def test_a_recipe_survives_json():
    """Lists come back as the tuples that they were."""
    recipe = Recipe(model="mlp", hidden=3, input_shape=(1, 8, 8), mean=(0.5,), std=(0.2,))
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_a_recipe_of_a_later_version_is_refused():
    """A key that is not known may change the result, so it is not ignored."""
    with pytest.raises(GentoolError, match=r"unknown keys \(teacher\)"):
        Recipe.from_json({"teacher": 5})


@pytest.mark.parametrize(
    ("text", "labels"),
    [("true", "true"), ("random", "random"), ("0.3", 0.3), ("0", "true"), ("1.0", "random")],
)
def test_labels_are_true_random_or_a_fraction(text, labels):
    """No noise is `true` and all noise is `random`, so that equal recipes compare equal."""
    assert parse_labels(text) == labels


@pytest.mark.parametrize("text", ["truth", "nan", "1/0", ""])
def test_other_labels_are_refused(text):
    with pytest.raises(UsageError, match="true, random or a fraction"):
        parse_labels(text)


def test_a_file_name_says_what_is_in_it():
    """The paper's VGG as DESIGN names it; options that were given are in the name."""
    vgg = Recipe(labels="random", subset=5000)
    assert default_stem(vgg, {"width": None}) == "vgg-cifar10-random-5000-seed0"
    mlp = Recipe(model="mlp", data="folder:/a/faces", subset=10, confusion=5, seed=3)
    assert default_stem(mlp, {"hidden": 64}) == "mlp-hidden64-faces-true-10-confusion5-seed3"
