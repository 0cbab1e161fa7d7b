"""Measure files: strict JSON that fits its schema, refused where damaged, merged by checkpoint."""

import json
from importlib import resources

import pytest
from helpers.records import record
from jsonschema import Draft202012Validator

from gentool.cli.main import run
from gentool.common.errors import GentoolError, UsageError
from gentool.records.measure_file import check_key, log10_of, lookup, merge, read, write


@pytest.mark.parametrize("options", [[], ["--no-data"], ["--only", "l2"]])
def test_what_measure_writes_fits_the_schema(saved, options):
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    assert run(["measure", str(saved), "--quiet", *options]) == 0
    Draft202012Validator(schema).validate(read(saved.with_suffix(".measures.json")))


def test_a_record_survives_writing_and_reading(tmp_path):
    path = tmp_path / "a.json"
    write(path, record(l2=1.5, spectral=None))
    assert read(path) == record(l2=1.5, spectral=None)


def test_a_number_that_json_has_not_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "a.json", record() | {"seconds": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ('{"format": 1', "is not JSON"),
        ('{"format": 1, "seconds": NaN}', "NaN is not strict JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "is no measure file"),
        ('{"weights": 1}', "is no measure file"),
        ('{"format": 2}', "format 2"),
        (json.dumps(record() | {"measures": [1]}), "its 'measures' is missing or wrong"),
        (json.dumps(record(l2=1.0) | {"measures": {"l2": "big"}}), "a measure is not a number"),
        (json.dumps(record() | {"checkpoint": {}}), "which checkpoint"),
        (None, "does not exist"),
    ],
)
def test_a_file_that_is_no_record_is_told_in_one_line(tmp_path, text, words):
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(GentoolError, match=words) as error:
        read(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_files_about_one_checkpoint_are_merged():
    """By the checkpoint's digest; a value takes the place of a null, whatever the order."""
    without = record(l2=None, spectral=2.0)
    other = record(sha256="b" * 64, l2=3.0)
    for order in ([without, other, record(l2=1.0)], [record(l2=1.0), other, without]):
        one, two = merge(order)
        assert one["measures"] == {"l2": 1.0, "spectral": 2.0}
        assert one["log10"]["l2"] == 0.0
        assert two["measures"] == {"l2": 3.0}
    assert without["measures"] == {"l2": None, "spectral": 2.0}


def test_files_that_disagree_about_one_checkpoint_are_refused():
    with pytest.raises(GentoolError, match=r"a\.safetensors disagree on l2 \(1 and 2\)"):
        merge([record(l2=1.0), record(l2=2.0)])


def test_a_key_is_a_measure_or_a_dotted_path():
    one = record(recipe={"subset": 100}, l2=1000.0)
    assert lookup(one, "l2") == 1000.0
    assert lookup(one, "recipe.subset") == 100
    assert lookup(one, "recipe.nothing.more") is None
    assert log10_of(one, "recipe.subset") == 2.0
    assert log10_of(one | {"log10": {"l2": 400.0}}, "l2") == 400.0


def test_an_unknown_key_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"'recipe.subsets' \(did you mean 'recipe.subset'\?\)"):
        check_key([record(recipe={"subset": 100}, l2=1.0)], "recipe.subsets")
