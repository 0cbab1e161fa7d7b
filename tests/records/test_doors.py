"""What is read from a file is checked once, at its door: one line names file, field and value."""

import copy
import json

import pytest
from helpers.claim_records import network
from helpers.records import whole
from jsonschema import Draft202012Validator

from gentool.common.errors import GentoolError
from gentool.records import ranges
from gentool.records.checkpoint_metadata import parse, recipe_and_outcome
from gentool.records.formats import check_format
from gentool.records.measure_file import check_record, schema_of_records
from gentool.records.recipe import Outcome, Recipe
from gentool.records.schemas import of_json_schema

VALUES = (None, True, -1, 7, 0.5, "x", [], {}, [1], {"a": 1}, 2**53)


def full():
    """Return a record with all parts that a test can damage."""
    record = network(curve=[(1.0, 0.5, 0.1)], l2=1.0)
    record["layers"] = [{"name": "0"}]
    record["margin"] = {"epsilon": 0.0}
    return whole(record)


def places(value, path=()):
    """Return the paths of all values within a JSON value."""
    yield path
    if not isinstance(value, (dict, list)):
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from places(item, (*path, key))


def replaced(record, path, value):
    record = copy.deepcopy(record)
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return record


def test_every_value_of_another_type_is_refused_as_the_schema_says():
    """At each place each of eleven values: reading refuses what the JSON Schema refuses."""
    schema = _schema()
    judge = Draft202012Validator(schema)
    record, refused = full(), 0
    ours = of_json_schema(schema)
    for path in places(record):
        for value in VALUES if path else ():
            changed = replaced(record, path, value)
            fault = ours.fault(changed, "")
            assert (fault is None) == judge.is_valid(changed), (path, value, fault)
            refused += fault is not None
            if fault is not None:
                assert fault.startswith(str(path[0]))
    assert refused > 500


def _schema():
    """Return the schema of records with extra properties allowed, and what every record needs."""
    from importlib import resources

    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    kept = {key: part for key, part in _open(schema).items() if key != "required"}
    return kept | {"required": ["measures", "recipe"]}


def _open(schema):
    if isinstance(schema, dict):
        return {
            key: _open(part)
            for key, part in schema.items()
            if (key, part) != ("additionalProperties", False)
        }
    return [_open(part) for part in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("recipe",), "\u202egnp", r"recipe is '\\u202egnp'; it has to be a JSON object or null"),
        (("recipe", "subset"), [60], r"recipe.subset is \[60\]; it has to be a whole number"),
        (("recipe", "labels"), 3, "recipe.labels is 3; it has to be"),
        (("outcome", "history", "error", 0), "\x00", "outcome.history.error.0 is"),
        (("outcome", "history", "loss"), [1.0, 2.0], "outcome.history.loss has 2 epochs"),
        (("outcome", "epochs"), 117, "outcome.history.epoch has 1 epochs; it has to have 117"),
        (("margin", "epsilon"), "0.05", "margin.epsilon is '0.05'; it has to be a number"),
        (("margin", "quantiles"), [["0.5", 1.0]], "margin.quantiles is"),
        (("margin", "quantiles"), {"half": 1.0}, "margin.quantiles has the name 'half'"),
        (("margin", "histogram", "counts"), [1, 2], "margin.histogram has 2 edges for 2 counts"),
        (("expected_sharpness", "curve"), "\x00", "expected_sharpness.curve is"),
        (("expected_sharpness", "curve", 0, "value"), [{}], "expected_sharpness.curve.0.value is"),
        (("notes",), [5], "notes.0 is 5; it has to be a text"),
        (("log10", "l2"), True, "log10.l2 is true; it has to be a number or null"),
        (("layers", 0, "shape"), [2, -3], "layers.0.shape.1 is -3; it has to be"),
        (("checkpoint", "sha256"), "f" * 63, "checkpoint.sha256 is"),
    ],
)
def test_the_field_that_does_not_fit_is_named(path, value, words):
    with pytest.raises(GentoolError, match=f"^a.json.*{words}") as error:
        check_record(replaced(full(), path, value), "a.json")
    assert str(error.value).isprintable()


def test_fields_of_later_versions_are_kept():
    record = full() | {"later": [1]}
    record["recipe"]["teacher"] = 5
    read = check_record(record, "a.json")
    assert (read["later"], read["recipe"]["teacher"]) == ([1], 5)


def test_a_missing_part_is_named():
    for path in (("recipe",), ("recipe", "data"), ("outcome", "test_error"), ("margin", "gamma")):
        record = full()
        place = record
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]
        with pytest.raises(GentoolError, match=rf"{'.'.join(path)} is missing"):
            check_record(record, "a.json")


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"format": 2, "gentool": "0.9"}, "unknown format 2 .*update gentool to '0.9' or later"),
        ({"format": 2}, "unknown format 2 .known: 1.; update gentool$"),
        ({"format": "1"}, "unknown format '1' .*damaged"),
        ({"format": True}, "unknown format true .*damaged"),
        ({"format": [1]}, r"unknown format \[1\] .*damaged"),
        ([1], "lacks format"),
    ],
)
def test_a_later_format_is_refused_with_the_version_that_reads_it(about, words):
    with pytest.raises(GentoolError, match=f"^a.json.*{words}"):
        check_format(about, 1, "a.json")


DIGEST = "0" * 64
RECIPE = Recipe(
    model="mlp",
    hidden=8,
    depth=1,
    data="digits",
    subset=60,
    input_shape=(1, 8, 8),
    classes=10,
    digest=DIGEST,
    fingerprint=DIGEST,
    mean=(0.3,),
    std=(0.35,),
).to_json()
OUTCOME = {
    **{"epochs": 1, "stop_rule_met": True, "gave_up": False, "train_loss": 0.01},
    **{"train_error": 0.0, "confusion_loss": None, "confusion_error": None, "test_loss": 1.0},
    **{"test_error": 0.3, "history": {"epoch": [1], "loss": [2.0], "error": [0.5]}},
}


def metadata(**changes):
    about = {"format": 1, "recipe": RECIPE, "outcome": OUTCOME, "versions": {"python": "3.11"}}
    return json.dumps(about | changes)


def test_metadata_that_fit_are_read():
    recipe, outcome = recipe_and_outcome(parse(metadata()))
    assert (recipe.hidden, outcome.test_error) == (8, 0.3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"versions": 5}, "versions is 5; it has to be"),
        ({"versions": {"python": 3}}, "versions.python is 3"),
        ({"outcome": [1]}, r"outcome is \[1\]"),
        ({"outcome": OUTCOME | {"stop_rule_met": "no"}}, "outcome.stop_rule_met is 'no'"),
        ({"outcome": OUTCOME | {"train_error": 2.0}}, "outcome.train_error is 2.0"),
        ({"outcome": OUTCOME | {"history": {"loss": ["b"]}}}, "outcome.training_mode_loss is 'b'"),
        ({"outcome": OUTCOME | {"epochs": 9}}, "history.epoch has 1 epochs; it has to have 9"),
        ({"recipe": RECIPE | {"width": 1e12}}, "recipe.width is 1000000000000.0"),
        ({"recipe": RECIPE | {"input_shape": [2**53] * 3}}, "recipe.input_shape is"),
        ({"recipe": RECIPE | {"std": [0.0]}}, r"recipe.std is \[0.0\]; .* positive number"),
        ({"recipe": RECIPE | {"mean": [0.1, 0.2]}}, "have 2 and 1 numbers"),
        ({"recipe": RECIPE | {"digest": None}}, "recipe.digest is null"),
        (
            {"recipe": {k: v for k, v in RECIPE.items() if k != "labels"}},
            "recipe.labels is missing",
        ),
    ],
)
def test_metadata_that_do_not_fit_name_the_field(changes, words):
    with pytest.raises(GentoolError, match=words) as error:
        recipe_and_outcome(parse(metadata(**changes)))
    assert error.value.exit_code == 1


def test_fields_of_a_later_outcome_are_kept():
    outcome = Outcome.from_json(OUTCOME | {"later": 5})
    assert outcome.to_json()["later"] == 5


def test_long_values_are_shown_short():
    assert len(ranges.shown(list(range(10_000)))) < 100
    assert len(ranges.shown({"a" * 500: "b" * 500})) < 300


def test_a_keyword_of_json_schema_that_is_not_known_is_an_error():
    """It would be ignored without a word."""
    with pytest.raises(ValueError, match="minProperties"):
        of_json_schema({"type": "object", "minProperties": 1})
    assert schema_of_records().includes(full())
