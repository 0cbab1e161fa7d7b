"""The worst network is written as a checkpoint for measure and as a witness for verify."""

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
    """Return a checkpoint of an MLP with batch norm that fits 100 digits."""
    path = tmp_path_factory.mktemp("bn") / "bn.safetensors"
    options = "--model mlp --hidden 16 --data digits --subset 100 --lr 0.1 --batch-norm --quiet"
    assert run(["train", *options.split(), "-o", str(path)]) == 0
    return path


def search(path, *options):
    """Search with --save-perturbation; return the record and the path of the worst network."""
    worst = path.with_name("worst.safetensors")
    arguments = ["--save-perturbation", str(worst), "--alpha", "0.01", *options]
    assert run(["sharpness", str(path), *FAST, *arguments]) == 0
    return measure_file.read(path.with_suffix(".sharpness.json")), worst


@pytest.mark.parametrize("fold", ["--fold-batch-norm", "--no-fold-batch-norm"])
def test_the_worst_network_is_a_checkpoint_that_measure_reads(with_batch_norm, fold, capsys):
    """Its training loss is that of the worst point; with batch norm folded, its recipe has none."""
    record, worst = search(with_batch_norm, fold)
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
    _, worst = search(with_batch_norm, "--no-fold-batch-norm")
    before, after = load_file(with_batch_norm), load_file(worst)
    assert before.keys() == after.keys()
    for name in before:
        same = torch.equal(before[name].double(), after[name].double())
        assert same == ("running" in name or "num_batches" in name)


def test_a_witness_verifies(saved, capsys):
    """Both paths are printed; verify prints the reported number, recomputed."""
    record, worst = search(saved)
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


def test_the_witness_of_a_corner_takes_one_bit_a_parameter(saved):
    _, worst = search(saved, "--method", "random")
    read_back = witness.read(worst.with_suffix(".witness"))
    assert len(read_back.inner) == 0
    assert read_back.signs.numel() == -(-read_back.claim.parameters // 8)
    assert worst.with_suffix(".witness").stat().st_size < worst.stat().st_size / 4


def forged(saved, change):
    """Write a witness with its claim or its tensors changed."""
    _, worst = search(saved)
    read_back = witness.read(worst.with_suffix(".witness"))
    path = worst.with_name("forged.witness")
    witness.write(path, change(read_back))
    return path


FORGERIES = {
    "rise": (lambda w: _claim(w, rise=2 * w.claim.rise), "does not hold: it claims a rise of"),
    "alpha": (lambda w: _claim(w, alpha=0.005), "does not hold"),
    "checkpoint": (lambda w: _claim(w, checkpoint="0" * 64), "belongs to another checkpoint"),
    "outside": (lambda w: _inner(w, 1e3), "outside of the box"),
    "size": (lambda w: _claim(w, parameters=w.claim.parameters - 1), "parameters"),
}


def _claim(read_back, **changes):
    from dataclasses import replace

    return replace(read_back, claim=replace(read_back.claim, **changes))


def _inner(read_back, value):
    from dataclasses import replace

    return replace(read_back, inner=torch.tensor([0]), values=torch.tensor([value]))


@pytest.mark.parametrize("name", FORGERIES)
def test_verify_refuses_a_forged_witness(saved, capsys, name):
    change, words = FORGERIES[name]
    path = forged(saved, change)
    capsys.readouterr()
    assert run(["sharpness", "verify", str(saved), str(path), "--quiet"]) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize("content", [b"", b"no witness", b"\xff" * 64])
def test_verify_refuses_a_file_that_is_no_witness(saved, capsys, content):
    path = saved.with_name("a.witness")
    path.write_bytes(content)
    assert run(["sharpness", "verify", str(saved), str(path)]) == 1
    assert "is not a witness file" in capsys.readouterr().err
    assert run(["sharpness", "verify", str(saved), str(saved)]) == 1
    assert "is a checkpoint of gentool train, not a witness" in capsys.readouterr().err


def test_an_existing_perturbation_is_refused_before_any_work(saved, capsys):
    worst = saved.with_name("worst.safetensors")
    worst.write_text(json.dumps("mine"))
    assert run(["sharpness", str(saved), "--save-perturbation", str(worst)]) == 1
    assert "worst.safetensors exists" in capsys.readouterr().err
    assert worst.read_text() == json.dumps("mine")
    assert not saved.with_suffix(".sharpness.json").exists()
