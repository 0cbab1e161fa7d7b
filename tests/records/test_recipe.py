"""The recipe: ranges of its values, conversion to JSON and back, default file names."""

import json

import pytest

from gentool.common.errors import GentoolError, UsageError
from gentool.records.recipe import Recipe, Role, default_stem, fields_with, parse_labels


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
def test_a_value_out_of_range_is_an_error_that_names_it(name, value):
    """The error has the option, the value, and the allowed values."""
    with pytest.raises(UsageError, match=rf"{name.replace('_', '-')} is .*; it has to be"):
        Recipe(**{name: value})


def test_a_recipe_is_equal_after_conversion_to_json_and_back():
    """Lists become tuples again."""
    recipe = Recipe(model="mlp", hidden=3, input_shape=(1, 8, 8), mean=(0.5,), std=(0.2,))
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_a_recipe_of_a_later_version_is_refused():
    """An unknown key is not ignored, for it may change the result."""
    with pytest.raises(GentoolError, match=r"unknown keys \(teacher\)"):
        Recipe.from_json({"teacher": 5})


@pytest.mark.parametrize(
    ("text", "labels"),
    [("true", "true"), ("random", "random"), ("0.3", 0.3), ("0", "true"), ("1.0", "random")],
)
def test_labels_are_true_random_or_a_fraction(text, labels):
    """0 is `true` and 1 is `random`, so that equal recipes compare equal."""
    assert parse_labels(text) == labels


@pytest.mark.parametrize("text", ["truth", "nan", "1/0", ""])
def test_other_labels_are_refused(text):
    with pytest.raises(UsageError, match="true, random or a fraction"):
        parse_labels(text)


def test_a_default_file_name_holds_the_data_and_the_model_options():
    """Options that were left out (None) are not in the name."""
    vgg = Recipe(labels="random", subset=5000)
    assert default_stem(vgg, {"width": None}) == "vgg-cifar10-random-5000-seed0"
    mlp = Recipe(model="mlp", data="folder:/a/faces", subset=10, confusion=5, seed=3)
    assert default_stem(mlp, {"hidden": 64}) == "mlp-hidden64-faces-true-10-confusion5-seed3"


def test_roles_name_the_fields_that_matter_for_a_purpose():
    """Role by role, each in the order of the fields; every role has fields."""
    assert fields_with(Role.LIMIT) == ("epochs", "patience")
    assert fields_with(Role.LIMIT, Role.IDENTITY) == (
        *("epochs", "patience"),
        *("model", "channels", "resize", "channel_order", "labels", "draw", "confusion", "seed"),
    )
    assert all(fields_with(role) for role in Role)
