"""Test runs with more epochs than before: they go on from the last state, or say why not."""

from pathlib import Path

import pytest

from gentool.cli.main import run
from gentool.common.errors import GentoolError
from gentool.records.recipe import Recipe
from gentool.training.continuing import check_continuation
from gentool.training.schedules import SCHEDULES, SPREAD_OVER_EPOCHS

TRAIN = ["train", "--model", "mlp", "--data", "digits", "--hidden", "8", "--subset", "50"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("options", [[], ["--dropout", "0.2"], ["--recipe", "paper"]])
def test_more_epochs_give_the_run_of_so_many_from_the_start(options):
    """Bit for bit: with and without dropout, halving the learning rate at stalls or not."""
    assert run([*TRAIN, *options, "--epochs", "3", "-q", "-o", "a.safetensors"]) == 0
    assert run([*TRAIN, *options, "--epochs", "7", "-q", "-o", "a.safetensors", "--resume"]) == 0
    assert run([*TRAIN, *options, "--epochs", "7", "-q", "-o", "b.safetensors"]) == 0
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()


def test_a_network_that_fits_leaves_no_state_behind():
    assert run([*TRAIN, "--epochs", "2", "-q", "-o", "a.safetensors"]) == 0
    assert Path("a.safetensors.last-state").exists()
    fitting = [*TRAIN, "--epochs", "900", "--patience", "0", "-q", "-o", "a.safetensors"]
    assert run([*fitting, "--resume"]) == 0
    assert [path.name for path in Path().iterdir()] == ["a.safetensors"]


def test_the_networks_of_a_grid_go_on_with_resume_alone(capsys):
    grid = [*TRAIN, "--seed", "0,1", "-q", "-o", "g"]
    assert run([*grid, "--epochs", "2"]) == 0
    before = {path: path.read_bytes() for path in Path("g").glob("*.safetensors")}
    capsys.readouterr()
    assert run([*grid, "--epochs", "4"]) == 0
    assert capsys.readouterr().err.count("--resume continues it, --force replaces it") == 2
    assert {path: path.read_bytes() for path in before} == before
    assert run([*grid, "--epochs", "4", "--resume"]) == 0
    assert all(path.read_bytes() != before[path] for path in before)


def test_the_last_line_names_the_way_on_where_there_is_one(capsys):
    for schedule in SCHEDULES.names:
        options = ["--schedule", schedule, "--epochs", "1", "-o", f"{schedule}.safetensors"]
        assert run([*TRAIN, *options]) == 0
        has_way = "--resume --epochs MORE" in capsys.readouterr().err.splitlines()[-1]
        assert has_way == (schedule not in SPREAD_OVER_EPOCHS)


@pytest.mark.parametrize(
    ("first", "then", "words"),
    [
        (["--epochs", "3"], ["--epochs", "2"], "after 3 epochs; --epochs 2 is fewer"),
        (["--epochs", "3"], ["--epochs", "9", "--lr", "1"], "exists; replace it with --force"),
        (
            ["--epochs", "3", "--schedule", "cosine"],
            ["--epochs", "9", "--schedule", "cosine"],
            "the schedule cosine is spread over all epochs, 3 of them",
        ),
    ],
)
def test_what_cannot_go_on_is_refused_without_a_word_of_continuing(first, then, words, capsys):
    """One line that says why, and the file is as it was."""
    assert run([*TRAIN, *first, "-q", "-o", "a.safetensors"]) == 0
    before = Path("a.safetensors").read_bytes()
    capsys.readouterr()
    assert run([*TRAIN, *then, "-o", "a.safetensors", "--resume"]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert Path("a.safetensors").read_bytes() == before


def test_a_checkpoint_without_its_state_names_the_remedy(capsys):
    """As one of an earlier version, which kept none."""
    assert run([*TRAIN, "--epochs", "3", "-q", "-o", "a.safetensors"]) == 0
    Path("a.safetensors.last-state").unlink()
    capsys.readouterr()
    assert run([*TRAIN, "--epochs", "9", "-o", "a.safetensors", "--resume"]) == 1
    assert "train anew with --force" in capsys.readouterr().err


def test_schedules_that_depend_on_the_number_of_epochs_are_those_that_are_named():
    depends = {
        name
        for name in SCHEDULES.names
        if [SCHEDULES[name](i, 10) for i in range(10)]
        != [SCHEDULES[name](i, 20) for i in range(10)]
    }
    assert depends == set(SPREAD_OVER_EPOCHS)


def test_a_patience_that_would_have_ended_the_run_before_is_refused():
    """A loss that does not fall for 3 epochs, then does: with patience 2 the run ends at 4."""
    losses = [1.0, 1.0, 1.0, 1.0, 0.5, 0.4]
    saved, path = Recipe(epochs=6, patience=10), Path("a.state")
    check_continuation(path, saved, Recipe(epochs=9, patience=None), losses)
    with pytest.raises(GentoolError, match=r"--patience 2 the run of a\.state ends after 3"):
        check_continuation(path, saved, Recipe(epochs=9, patience=2), losses)
