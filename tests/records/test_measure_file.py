"""Measure files: strict JSON that fits the schema, refused if damaged, merged by checkpoint."""

import json
from importlib import resources
from math import log10

import pytest
from helpers.records import record, whole
from jsonschema import Draft202012Validator

from gentool.cli.main import run
from gentool.common.errors import GentoolError, UsageError
from gentool.records.measure_file import check_key, log10_of, lookup, merge, read, write


@pytest.mark.parametrize("options", [[], ["--no-data"], ["--only", "l2"]])
def test_the_file_that_measure_writes_fits_the_schema(saved, options):
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    assert run(["measure", str(saved), "--quiet", *options]) == 0
    Draft202012Validator(schema).validate(read(saved.with_suffix(".measures.json")))


def test_a_record_that_is_written_and_read_is_unchanged(tmp_path):
    path = tmp_path / "a.json"
    write(path, record(l2=1.5, spectral=None))
    assert read(path) == record(l2=1.5, spectral=None)


@pytest.mark.parametrize("alpha", [0.01, None])
def test_the_kl_term_at_one_alpha_of_an_earlier_version_gets_its_own_name(tmp_path, alpha):
    """It stood under the name of the KL term where expected sharpness is 0.05."""
    old = record(expected_sharpness_kl=50.0)
    old["command"] |= {"name": "sharpness", "expected": True, "alpha": alpha}
    write(tmp_path / "a.json", whole(old))
    name = "expected_sharpness_kl" if alpha is None else "expected_sharpness_kl_at_alpha"
    assert read(tmp_path / "a.json")["measures"] == {name: 50.0}


def test_a_record_with_nan_is_written_with_null_and_a_note(tmp_path):
    path = tmp_path / "a.json"
    write(path, record() | {"measures": {"l2": float("nan"), "l1": 1.0}})
    assert read(path)["measures"] == {"l2": None, "l1": 1.0}
    assert read(path)["notes"][-1] == "measures.l2: it is nan, and null stands for it"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ('{"format": 1', "is not JSON"),
        ('{"format": 1, "seconds": NaN}', "NaN is not strict JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "is not a measure file"),
        ('{"weights": 1}', "is not a measure file"),
        ('{"format": 2}', "format 2"),
        (
            json.dumps(record() | {"measures": [1]}),
            r"measures is \[1\]; it has",
        ),
        (
            json.dumps(record(l2=1.0) | {"measures": {"l2": "big"}}),
            "measures.l2 is 'big'; it",
        ),
        (json.dumps(record() | {"checkpoint": {}}), "does not name its checkpoint"),
        (None, "does not exist"),
    ],
)
def test_a_file_that_is_not_a_record_is_an_error_of_one_line(tmp_path, text, words):
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(GentoolError, match=words) as error:
        read(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_files_of_one_checkpoint_are_merged():
    """By the checkpoint's digest; a value replaces a null in either order of the files."""
    with_null = record(l2=None, spectral=2.0)
    other = record(sha256="b" * 64, l2=3.0)
    for order in ([with_null, other, record(l2=1.0)], [record(l2=1.0), other, with_null]):
        first, second = merge(order)
        assert first["measures"] == {"l2": 1.0, "spectral": 2.0}
        assert first["log10"]["l2"] == 0.0
        assert second["measures"] == {"l2": 3.0}
    assert with_null["measures"] == {"l2": None, "spectral": 2.0}


def test_files_of_one_checkpoint_with_different_values_are_refused():
    with pytest.raises(GentoolError, match=r"a\.safetensors disagree on l2 \(1 and 2\)"):
        merge([record(l2=1.0), record(l2=2.0)])


def test_a_key_is_a_measure_or_a_dotted_path():
    network = record(recipe={"subset": 100}, l2=1000.0)
    assert lookup(network, "l2") == 1000.0
    assert lookup(network, "recipe.subset") == 100
    assert lookup(network, "recipe.nothing.more") is None
    assert log10_of(network, "recipe.subset") == 2.0
    assert log10_of(network | {"log10": {"l2": 400.0}}, "l2") == 400.0


def test_an_unknown_key_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"'recipe.subsets' \(did you mean 'recipe.subset'\?\)"):
        check_key([record(recipe={"subset": 100}, l2=1.0)], "recipe.subsets")


def test_the_gap_is_test_error_less_training_error():
    """0.3 - 0.05, and of the losses 1.25 - 0.5; a network without an outcome has `evaluation`."""
    values = {"test_error": 0.3, "train_error": 0.05, "test_loss": 1.25, "train_loss": 0.5}
    for part in ("outcome", "evaluation"):
        network = record() | {part: values}
        assert lookup(network, "gap") == pytest.approx(0.25)
        assert log10_of(network, "loss_gap") == pytest.approx(log10(0.75))
        check_key([network], "gap")


def test_there_is_no_gap_without_a_test_error():
    network = record() | {"outcome": {"test_error": None, "train_error": 0.0}}
    assert lookup(network, "gap") is None
    with pytest.raises(UsageError, match="unknown key 'gap'"):
        check_key([network], "gap")
