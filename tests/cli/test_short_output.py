"""Several networks end in one table, and what would be said of each is said once."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from gentool.cli.main import run
from gentool.cli.networks_table import folded, short_names
from gentool.cli.remarks import Remarks


@pytest.fixture
def networks(saved, tmp_path, monkeypatch):
    """Three copies of a trained network, of which one is called as in a sweep of another seed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"mlp-digits-seed{i}.safetensors" for i in range(3)]
    for name in names:
        shutil.copy(saved, name)
    saved.unlink()
    return names


def tables(error):
    return [line for line in error.splitlines() if not line.startswith("gentool: ")]


def test_measure_of_several_networks_ends_in_one_table(networks, capsys):
    """Named by what tells them apart, with the measures that matter, each explained once."""
    assert run(["measure", *networks]) == 0
    captured = capsys.readouterr()
    assert captured.out.split() == [f"{Path(name).stem}.measures.json" for name in networks]
    assert "3 networks mlp-digits-seed*.safetensors" not in captured.err  # no number is cut
    assert "3 networks mlp-digits-*.safetensors" in captured.err
    rows = [line.split() for line in tables(captured.err) if line.startswith("seed")]
    assert [row[0] for row in rows] == ["seed0", "seed1", "seed2"]
    assert rows[0][1:] == rows[1][1:]
    assert captured.err.count("γ⁻² Σ_paths ∏ w²") == 1
    assert captured.err.count("more measures are in the files; --all shows them") == 1
    assert max(map(len, tables(captured.err))) <= 80


def test_only_and_all_choose_the_columns(networks, capsys):
    """--all folds what equals the plain measure: an MLP has no convolutions."""
    assert run(["measure", networks[0], "--only", "l2,sum_of_squares"]) == 0
    error = capsys.readouterr().err
    assert "sum of squares" in error
    assert "l1-path" not in error
    assert run(["measure", networks[0], "--all", "--force"]) == 0
    error = capsys.readouterr().err
    assert "spectral complexity" in error
    assert "measures ending in _operator are the plain ones (no convolutions)" in error
    assert "spectral operator" not in error


def test_sharpness_of_several_networks_ends_in_one_table(networks, capsys):
    search = ["--restarts", "1", "--steps", "1"]
    assert run(["sharpness", *networks, *search]) == 0
    error = capsys.readouterr().err
    rows = [line.split() for line in tables(error) if line.startswith("seed0")]
    assert rows[0][:2] == ["seed0", "0.0005"]
    assert error.count("largest rise of the training loss") == 1
    assert max(map(len, tables(error))) <= 80


def test_flatness_prints_what_it_computed(networks, capsys):
    search = ["--restarts", "1", "--steps", "1", "--flatness"]
    assert run(["sharpness", networks[0], *search]) == 0
    error = capsys.readouterr().err
    for words in ("hessian top eigenvalue", "hessian trace", "pac bayes sigma magnitude"):
        assert words in error


def test_notes_of_many_files_are_said_once_with_their_number(tmp_path, monkeypatch, capsys):
    """Two alike networks of another program, without data."""
    monkeypatch.chdir(tmp_path)
    for i in range(2):
        torch.manual_seed(i)
        model = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
        torch.save(model.state_dict(), f"net{i}.pt")
    assert run(["measure", "net0.pt", "net1.pt"]) == 0
    error = capsys.readouterr().err
    assert error.count("margins need the training data; name it with --data") == 1
    assert "name it with --data (all 2 networks)" in error
    assert error.count("inferred ") == 1


def test_reasons_that_differ_in_numbers_alone_are_one_reason(capsys):
    remarks = Remarks(3, quiet=False)
    for i in range(3):
        remarks.note(f"net{i}.pt", f"gamma = -0.{i + 1} is not positive")
    remarks.close()
    assert capsys.readouterr().err == (
        "gentool: note: gamma = -0.1 is not positive (net0.pt, and the like for 2 others)\n"
    )


def test_a_warning_is_said_at_once_and_the_others_like_it_at_the_end(capsys):
    """A search of hours may be in vain."""
    remarks = Remarks(2, quiet=False)
    evaluation = {"source": {}, "warnings": ["errs on 90.0 % of its images; check --data"]}
    remarks.evaluation("a.pt", evaluation)
    assert capsys.readouterr().err == (
        "gentool: warning: a.pt: errs on 90.0 % of its images; check --data\n"
    )
    remarks.evaluation("b.pt", evaluation)
    assert capsys.readouterr().err == ""
    remarks.close()
    assert "warning: the same of b.pt: errs on 90.0 %" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "short", "pattern"),
    [
        (["mlp-h16-a-seed0.pt", "mlp-h16-a-seed12.pt"], ["seed0", "seed12"], "mlp-h16-a-*.pt"),
        (["a.pt", "b.pt"], ["a.pt", "b.pt"], ""),
        (["network-a.pt", "network-.pt"], ["network-a.pt", "network-.pt"], ""),
        (["one-long-name.pt"], ["one-long-name.pt"], ""),
        (["long-name-x.pt", "long-name-x.pt"], ["long-name-x.pt", "long-name-x.pt"], ""),
    ],
)
def test_names_lose_what_they_share_but_no_part_of_a_word(names, short, pattern):
    assert short_names(names) == (short, pattern)


def test_a_measure_is_folded_only_where_it_is_the_same_in_every_network():
    """As _operator of a VGG beside an MLP."""

    def record(operator):
        return {"measures": {"l2": 2.0, "l2_operator": operator}, "log10": {}}

    assert folded([record(2.0)], ["l2", "l2_operator"]) == (["l2"], {"_operator": ["l2_operator"]})
    mixed = [record(2.0), record(3.0)]
    assert folded(mixed, ["l2", "l2_operator"]) == (["l2", "l2_operator"], {})
