"""Checkpoints: loadable without gentool, the same bytes for the same run, errors of one line."""

import json
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gentool.checkpoints import checkpoint
from gentool.common.errors import GentoolError
from gentool.networks.models import build


def metadata(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["gentool"])


def rewrite(path, change=None, about=None):
    """Save a checkpoint again with changed tensors or metadata."""
    tensors, text = load_file(path), json.dumps(metadata(path))
    if change is not None:
        change(tensors)
    save_file(tensors, path, {"gentool": text if about is None else about})


def test_the_tensors_are_a_plain_state_dict(trained):
    """Anyone's `load_state_dict(load_file(path))` works."""
    model = build(checkpoint.read(trained).recipe).to_empty(device="cpu")
    assert model.load_state_dict(load_file(trained))


def test_the_metadata_is_one_json_object_with_recipe_and_outcome(trained):
    """Format, recipe with the facts about the training data, outcome, versions."""
    about = metadata(trained)
    assert set(about) == {"format", "recipe", "outcome", "versions"}
    assert about["recipe"]["hidden"] == 16
    assert about["recipe"]["labels"] == "random"
    assert about["recipe"]["subset"] == 100
    assert about["recipe"]["input_shape"] == [1, 8, 8]
    assert len(about["recipe"]["digest"]) == 64
    assert about["outcome"]["stop_rule_met"]
    assert about["outcome"]["train_error"] == 0


def test_a_checkpoint_written_again_has_the_same_bytes(trained, tmp_path):
    read = checkpoint.read(trained)
    checkpoint.write(tmp_path / "again.safetensors", read.model(), read.recipe, read.outcome)
    assert (tmp_path / "again.safetensors").read_bytes() == trained.read_bytes()


def test_the_model_of_a_checkpoint_is_in_evaluation_mode(trained):
    model = checkpoint.read(trained).model()
    assert not model.training
    assert {p.device.type for p in model.parameters()} == {"cpu"}


def test_half_precision_weights_are_read_as_float32(saved):
    rewrite(saved, lambda tensors: tensors.update({k: t.half() for k, t in tensors.items()}))
    assert checkpoint.read(saved).model().output.weight.dtype == torch.float32


def _cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def _header_of_10_gb(path):
    path.write_bytes(struct.pack("<Q", 10 * 2**30) + b"{}")


def _empty(path):
    path.write_bytes(b"")


def _missing(path):
    path.unlink()


def _folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "no whole safetensors file"),
        (_header_of_10_gb, "no whole safetensors file"),
        (_empty, "is empty"),
        (_missing, "does not exist"),
        (_folder, "is a folder"),
        (lambda path: rewrite(path, about="{broken"), "not JSON"),
        (lambda path: rewrite(path, about="[" * 100_000), "not JSON"),
        (lambda path: rewrite(path, about="[1]"), "lacks format"),
        (
            lambda path: rewrite(path, about='{"format": 99, "recipe": 0, "outcome": 0}'),
            "format 99",
        ),
    ],
)
def test_reading_a_damaged_file_is_an_error_of_one_line(saved, damage, words):
    """The line names the file and the fault."""
    damage(saved)
    with pytest.raises(GentoolError, match=words) as error:
        checkpoint.read(saved)
    assert str(saved) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("output.bias"), "'output.bias' of the recipe's model is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "'extra' has no place"),
        (lambda t: t.update({"output.bias": torch.zeros(3)}), r"has shape \(3,\)"),
        (
            lambda t: t.update({"output.bias": torch.zeros(10, dtype=torch.int64)}),
            "type torch.int64",
        ),
    ],
)
def test_tensors_that_do_not_fit_the_recipe_are_named(saved, change, words):
    rewrite(saved, change)
    with pytest.raises(GentoolError, match=words):
        checkpoint.read(saved).model()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("hidden", 10**12, "hidden is 1000000000000; it has to be"),
        ("hidden", 10**9, "has shape"),
        ("hidden", "many", "hidden is 'many'"),
        ("model", "resnet", "unknown model"),
        ("depth", None, "lacks depth"),
        ("input_shape", None, "recipe.input_shape is null"),
        ("surprise", 1, "unknown keys"),
    ],
)
def test_an_invalid_recipe_is_refused(saved, key, value, words):
    """Without allocating the memory that its sizes would need."""
    about = metadata(saved)
    about["recipe"][key] = value
    rewrite(saved, about=json.dumps(about))
    with pytest.raises(GentoolError, match=words):
        checkpoint.read(saved).model()
