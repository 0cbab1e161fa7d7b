"""Folders stand for the files in them, and a file that cannot be read never ends a batch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.foreign_networks import ListMLP
from torch import nn

from gentool.cli.inputs import files_in
from gentool.cli.main import run
from gentool.common.errors import GentoolError


@pytest.fixture
def folder(saved, tmp_path, monkeypatch):
    """Three networks that can be read, one asked about, one HTML page; a note and a subfolder."""
    monkeypatch.chdir(tmp_path)
    nets = tmp_path / "nets"
    (nets / "sub").mkdir(parents=True)
    saved.rename(nets / "own.safetensors")
    for i, name in enumerate(("a.pt", "b.pth", "sub/c.pt")):
        torch.manual_seed(i)
        model = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
        torch.save(model.state_dict(), nets / name)
    torch.save(ListMLP().state_dict(), nets / "asked.pt")
    (nets / "page.pth").write_bytes(b"<!DOCTYPE html>")
    (nets / "notes.txt").write_text("mine")
    return nets


def test_the_files_of_a_folder_come_in_the_order_of_their_names(folder, tmp_path):
    """Without subfolders, and without a file that is named beside its folder."""
    names = ["a.pt", "asked.pt", "b.pth", "own.safetensors", "page.pth"]
    assert [path.name for path in files_in([folder])] == names
    assert files_in([folder / "b.pth", folder])[0].name == "b.pth"
    assert len(files_in([folder / "b.pth", folder])) == 5
    (tmp_path / "empty").mkdir()
    with pytest.raises(GentoolError, match=r"empty is a folder without \*.safetensors, \*.pt"):
        files_in([tmp_path / "empty"])


def test_a_folder_is_measured_but_for_the_files_that_cannot_be_read(folder, capsys):
    """Of two kinds of error, exit codes 1 and 2, and a file that is missing."""
    missing = str(folder / "none.pt")
    arguments = [str(folder), missing, "--only", "l2_unnormalized", "--no-data", "-q"]
    assert run(["measure", *arguments]) == 1
    captured = capsys.readouterr()
    written = [Path(line).name for line in captured.out.splitlines()]
    assert written == ["a.measures.json", "b.measures.json", "own.measures.json"]
    *reasons, last = captured.err.splitlines()
    for name, reason in zip(("asked", "page", "none"), reasons, strict=True):
        assert name in reason
    assert last == "gentool: 3 of 6 checkpoints failed; the others are done"


def test_a_wrong_option_is_told_once_and_not_for_each_file(folder, capsys):
    """An unknown measure or data set."""
    for options, words in (
        (["--only", "l3"], "unknown measure 'l3'"),
        (["--data", "digit"], "unknown data set 'digit'"),
    ):
        assert run(["measure", str(folder), *options]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1


def test_an_option_for_foreign_files_fails_for_an_own_one_alone(folder, capsys):
    (folder / "asked.pt").unlink()
    (folder / "page.pth").unlink()
    options = ["--data", "digits", "--subset", "100", "--only", "margin", "-q"]
    assert run(["measure", str(folder), *options]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    first, last = captured.err.splitlines()
    assert "own.safetensors: the checkpoint describes its training data; --subset" in first
    assert "1 of 3 checkpoints failed" in last


def test_an_error_of_any_kind_in_one_file_does_not_end_the_batch(folder, monkeypatch, capsys):
    """A ValueError from within, say."""
    from gentool.checkpoints import checkpoint

    original = checkpoint.read

    def read(path, *hints):
        if path.name == "a.pt":
            raise ValueError("surprise")
        return original(path, *hints)

    monkeypatch.setattr(checkpoint, "read", read)
    names = [str(folder / name) for name in ("a.pt", "b.pth")]
    assert run(["inspect", *names, "-o", "-", "-q"]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert "a.pt: ValueError: surprise" in captured.err


def test_a_folder_is_converted_into_a_folder(folder, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert run(["convert", str(folder), "-o", "out", "-q"]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["out/a.safetensors", "out/b.safetensors"]
    assert "own.safetensors describes itself already" in captured.err
    assert "3 of 5 checkpoints failed" in captured.err
    assert run(["inspect", "out", "-o", "-", "-q"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_several_conversions_need_a_folder_and_replace_no_input(folder, capsys):
    assert run(["convert", str(folder), "-o", "out"]) == 2
    assert "-o names a folder" in capsys.readouterr().err
    assert run(["convert", str(folder), "-o", str(folder), "--force"]) == 2
    assert "own.safetensors would replace itself" in capsys.readouterr().err


@pytest.fixture
def records(folder, tmp_path):
    """A folder of two measure files and one other JSON file."""
    (tmp_path / "records").mkdir()
    names = [str(folder / name) for name in ("a.pt", "b.pth")]
    options = ["--data", "digits", "--only", "l2,l2_unnormalized", "-o", "records", "-q"]
    assert run(["measure", *names, *options]) == 0
    (tmp_path / "records" / "other.json").write_text("{}")
    return "records"


def test_claims_and_plots_leave_out_what_is_no_measure_file(records, tmp_path, capsys):
    """The result is made of the others, and exit code 1 says that some are missing."""
    capsys.readouterr()
    assert run(["claims", records, "-o", "claims.json", "-q"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "claims.json\n"
    assert "other.json is not a measure file" in captured.err
    assert "1 of 3 files cannot be read and were left out" in captured.err
    keys = ["--x", "outcome.test_error", "--y", "l2_unnormalized", "-o", "a.png"]
    assert run(["plot", records, *keys]) == 1
    captured = capsys.readouterr()
    assert captured.out == "a.png\n"
    assert "1 of 3 files" in captured.err
    (tmp_path / records / "other.json").unlink()
    assert run(["plot", records, *keys, "--force"]) == 0


def test_no_readable_file_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a.json", "b.json"):
        Path(name).write_text("{}")
    assert run(["claims", "a.json", "b.json"]) == 1
    assert "none of the 2 files can be read" in capsys.readouterr().err


def test_a_figure_of_one_foreign_network_takes_the_hints_of_measure(folder, tmp_path):
    """The images drawn and the losses along a direction, of data that options describe."""
    data = ["--data", "digits", "--subset", "60", "--data-seed", "3", "--mean", "0", "--std", "1"]
    for figure in ("samples", "direction"):
        arguments = [str(folder / "a.pt"), "--figure", figure, *data, "-o", f"{figure}.png"]
        assert run(["plot", *arguments]) == 0
        assert (tmp_path / f"{figure}.png").exists()
    assert run(["plot", "a.json", "--model", "mlp"]) == 2


def test_sharpness_and_its_witness_take_the_hints_of_measure(folder, capsys):
    """As many images as said, normalised as said; loss and error before are told and recorded."""
    data = ["--data", "digits", "--subset", "60", "--data-seed", "3", "--mean", "0", "--std", "1"]
    search = ["--method", "random", "--units", "3", "--save-perturbation", "worst.safetensors"]
    file = str(folder / "a.pt")
    assert run(["sharpness", file, *data, *search, "-o", "s.json"]) == 0
    error = capsys.readouterr().err
    record = json.loads(Path("s.json").read_text())
    evaluation, results = record["evaluation"], record["sharpness"]
    assert results["images"] == evaluation["images"] == 60
    assert results["loss"] == pytest.approx(evaluation["train_loss"])
    assert (record["command"]["data_seed"], record["command"]["seed"]) == (3, 0)
    assert f"training loss {results['loss']:.4g}, error {results['error']:.4f}" in error
    assert f"before: loss {results['loss']:.6g}" in " ".join(error.split())
    assert run(["sharpness", "verify", file, "worst.witness", *data]) == 0
    assert run(["sharpness", "verify", file, "worst.witness", "--data", "digits"]) == 1
    assert run(["sharpness", file, *data, "--expected", "--alpha", "0.01", "-o", "e.json"]) == 0
    expected = json.loads(Path("e.json").read_text())
    assert np.isclose(expected["evaluation"]["train_loss"], evaluation["train_loss"])
