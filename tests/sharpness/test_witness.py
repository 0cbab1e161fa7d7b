"""The worst network on disk: a checkpoint that measure reads, and a witness that verify checks."""

import json

import pytest
import torch
from safetensors.torch import load_file

from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.records import measure_file
from gentool.sharpness import witness

FAST = ["--quiet", "--batching", "vmap", "--force"]


@pytest.fixture(scope="module")
def with_batch_norm(tmp_path_factory):
    """A checkpoint of an MLP with batch norm that fits 100 digits."""
    path = tmp_path_factory.mktemp("bn") / "bn.safetensors"
    options = "--model mlp --hidden 16 --data digits --subset 100 --lr 0.1 --batch-norm --quiet"
    assert run(["train", *options.split(), "-o", str(path)]) == 0
    return path


def searched(path, *options):
    """Search with --save-perturbation; the record, and where the worst network went."""
    worst = path.with_name("worst.safetensors")
    arguments = ["--save-perturbation", str(worst), "--alpha", "0.01", *options]
    assert run(["sharpness", str(path), *FAST, *arguments]) == 0
    return measure_file.read(path.with_suffix(".sharpness.json")), worst


@pytest.mark.parametrize("fold", ["--fold-batch-norm", "--no-fold-batch-norm"])
def test_the_worst_network_is_a_checkpoint_that_measure_reads(with_batch_norm, fold, capsys):
    """Its training loss is the one at the worst point; folded, its recipe has no batch norm."""
    record, worst = searched(with_batch_norm, fold)
    [point] = record["sharpness"]["points"]
    read = checkpoint.read(worst)
    assert read.outcome.train_loss == pytest.approx(point["loss"], rel=1e-9)
    assert read.outcome.train_error == point["error"]
    assert read.recipe.batch_norm == (fold != "--fold-batch-norm")
    assert read.recipe.digest == checkpoint.read(with_batch_norm).recipe.digest
    assert run(["measure", str(worst), "--quiet", "--force"]) == 0
    measured = measure_file.read(worst.with_suffix(".measures.json"))
    assert measured["measures"]["margin"] is not None
    capsys.readouterr()
    assert run(["sharpness", str(worst), *FAST, "--alpha", "0"]) == 0
    again = measure_file.read(worst.with_suffix(".sharpness.json"))
    assert again["sharpness"]["loss"] == pytest.approx(point["loss"], rel=1e-6)


def test_running_statistics_go_into_the_worst_network_unchanged(with_batch_norm):
    _, worst = searched(with_batch_norm, "--no-fold-batch-norm")
    before, after = load_file(with_batch_norm), load_file(worst)
    assert before.keys() == after.keys()
    for name in before:
        same = torch.equal(before[name].double(), after[name].double())
        assert same == ("running" in name or "num_batches" in name)


def test_a_witness_verifies(saved, capsys):
    """Both paths are printed; verify prints the reported number, recomputed."""
    record, worst = searched(saved)
    beside = worst.with_suffix(".witness")
    assert capsys.readouterr().out.split() == [
        str(worst),
        str(beside),
        str(saved.with_suffix(".sharpness.json")),
    ]
    assert run(["sharpness", "verify", str(saved), str(beside)]) == 0
    captured = capsys.readouterr()
    assert float(captured.out) == pytest.approx(record["measures"]["sharpness"], rel=1e-12)
    assert "holds" in captured.err


def test_a_witness_is_a_bit_a_parameter_where_the_point_is_a_corner(saved):
    _, worst = searched(saved, "--method", "random")
    made = witness.read(worst.with_suffix(".witness"))
    assert len(made.inner) == 0
    assert made.signs.numel() == -(-made.claim.parameters // 8)
    assert worst.with_suffix(".witness").stat().st_size < worst.stat().st_size / 4


def forged(saved, change):
    """A witness with its claim or its tensors changed, written beside the true one."""
    _, worst = searched(saved)
    made = witness.read(worst.with_suffix(".witness"))
    path = worst.with_name("forged.witness")
    witness.write(path, change(made))
    return path


FORGERIES = {
    "rise": (lambda w: _claim(w, rise=2 * w.claim.rise), "does not hold: it claims a rise of"),
    "alpha": (lambda w: _claim(w, alpha=0.005), "does not hold"),
    "checkpoint": (lambda w: _claim(w, checkpoint="0" * 64), "belongs to another checkpoint"),
    "outside": (lambda w: _inner(w, 1e3), "outside of the box"),
    "size": (lambda w: _claim(w, parameters=w.claim.parameters - 1), "parameters"),
}


def _claim(made, **changes):
    from dataclasses import replace

    return replace(made, claim=replace(made.claim, **changes))


def _inner(made, value):
    from dataclasses import replace

    return replace(made, inner=torch.tensor([0]), values=torch.tensor([value]))


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_witness_is_found_out(saved, capsys, name):
    change, words = FORGERIES[name]
    path = forged(saved, change)
    capsys.readouterr()
    assert run(["sharpness", "verify", str(saved), str(path), "--quiet"]) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize("content", [b"", b"no witness", b"\xff" * 64])
def test_a_file_that_is_no_witness_is_told_in_one_line(saved, capsys, content):
    path = saved.with_name("a.witness")
    path.write_bytes(content)
    assert run(["sharpness", "verify", str(saved), str(path)]) == 1
    assert "is not a witness file" in capsys.readouterr().err
    assert run(["sharpness", "verify", str(saved), str(saved)]) == 1
    assert "is not a witness file" in capsys.readouterr().err


def test_an_existing_perturbation_is_kept_before_any_work(saved, capsys):
    worst = saved.with_name("worst.safetensors")
    worst.write_text(json.dumps("mine"))
    assert run(["sharpness", str(saved), "--save-perturbation", str(worst)]) == 1
    assert "worst.safetensors exists" in capsys.readouterr().err
    assert worst.read_text() == json.dumps("mine")
    assert not saved.with_suffix(".sharpness.json").exists()
