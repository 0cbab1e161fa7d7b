"""Grids: a checkpoint for each combination; what is there is kept, what was interrupted goes on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.small_sets import ROUNDING, difference
from safetensors.torch import save_file

from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.records.recipe import Recipe
from gentool.training.plan import LARGEST_STACK, PlannedRun, worker_batches

DIGITS = ["train", "--model", "mlp", "--data", "digits", "--hidden", "8", "--subset", "50", "-q"]
GRID = [*DIGITS, "--labels", "true,random", "--seed", "0,1", "--epochs", "20", "-o", "grid"]
NAMES = [
    f"mlp-hidden8-digits-{labels}-50-seed{seed}.safetensors"
    for labels in ("true", "random")
    for seed in (0, 1)
]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def start(arguments, cwd):
    command = [sys.executable, "-m", "gentool", *arguments]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_a_grid_has_a_checkpoint_for_each_combination(tmp_path, capsys):
    """Each path on stdout when it is there; each network is the one that was asked for."""
    assert run(GRID) == 0
    assert sorted(capsys.readouterr().out.split()) == sorted(f"grid/{name}" for name in NAMES)
    assert sorted(path.name for path in (tmp_path / "grid").iterdir()) == sorted(NAMES)
    found = [checkpoint.read(tmp_path / "grid" / name).recipe for name in NAMES]
    assert [(r.labels, r.seed) for r in found] == [
        ("true", 0),
        ("true", 1),
        ("random", 0),
        ("random", 1),
    ]
    assert all(r.subset == 50 for r in found)


@pytest.mark.usefixtures("_float64")
def test_a_network_of_a_grid_is_the_one_that_its_own_command_trains(tmp_path):
    """The recipe to the letter, the weights to rounding: it was trained in a stack of four.

    In float64, for the order of sums is another.
    """
    assert run(GRID) == 0
    alone = [*DIGITS, "--labels", "random", "--seed", "1", "--epochs", "20", "-o", "a.safetensors"]
    assert run(alone) == 0
    of_grid, apart = (checkpoint.read(Path(path)) for path in (f"grid/{NAMES[3]}", "a.safetensors"))
    assert of_grid.recipe == apart.recipe
    assert difference(of_grid.tensors, apart.tensors) < ROUNDING


def test_every_list_is_an_axis(tmp_path):
    """Sizes, confusion sets and hidden units, in any mixture."""
    lists = ["--subset", "20,30", "--confusion", "0,10", "--hidden", "4,5", "-o", "grid"]
    command = ["train", "--model", "mlp", "--data", "digits", "--epochs", "1", "-q", *lists]
    assert run(command) == 0
    found = [checkpoint.read(path).recipe for path in (tmp_path / "grid").iterdir()]
    values = {(recipe.subset, recipe.confusion, recipe.hidden) for recipe in found}
    assert values == {(n, k, h) for n in (20, 30) for k in (0, 10) for h in (4, 5)}


def test_what_is_there_is_kept_and_named(tmp_path, capsys):
    """A second run does nothing; with one file gone it trains that one alone; --force all."""
    assert run(GRID) == 0
    printed = sorted(capsys.readouterr().out.split())
    files = [tmp_path / "grid" / name for name in NAMES]
    before = {path: path.stat().st_mtime_ns for path in files}
    files[2].unlink()
    assert run(GRID) == 0
    assert sorted(capsys.readouterr().out.split()) == printed
    after = {path: path.stat().st_mtime_ns for path in files}
    assert {path for path in files if after[path] != before[path]} == {files[2]}
    assert run([*GRID, "--force"]) == 0
    assert all(path.stat().st_mtime_ns > after[path] for path in files)


def test_what_is_there_but_was_trained_otherwise_is_named(capsys):
    """Names do not tell training options: one line for each network that is kept all the same."""
    assert run(GRID) == 0
    assert run(GRID) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert run([*GRID, "--lr", "0.5", "--recipe", "paper"]) == 0
    again, err = capsys.readouterr()
    assert sorted(again.split()) == sorted(out.split())[::2]
    assert sorted(err.splitlines()) == sorted(
        f"gentool: grid/{name} has lr 0.01, not 0.5; schedule on-stall, not constant; "
        "warmup 1.0, not 0.0; patience 30, not None; the file is kept (--force replaces it)"
        for name in NAMES
    )


def test_limits_that_a_network_did_not_come_to_make_no_difference(capsys):
    """Trained until it fits, it is the same with more epochs; cut short it is not."""
    one = [*DIGITS, "--skip-existing", "-o", "one.safetensors"]
    for epochs, there, words in (("3", "4", "has epochs 3, not 4"), ("400", "500", "")):
        assert run([*one, "--epochs", epochs]) == 0
        capsys.readouterr()
        assert run([*one, "--epochs", there]) == 0
        assert words in capsys.readouterr().err
        assert run([*one, "--epochs", epochs]) == 0
        assert capsys.readouterr() == ("one.safetensors\n", "")
        Path("one.safetensors").unlink()


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (None, "one.safetensors is damaged"),
        ({}, "one.safetensors does not describe its training"),
        ({"recipe": {"seed": "x"}, "outcome": None}, "one.safetensors: seed is 'x'"),
        ({"recipe": Recipe().to_json(), "outcome": None}, "one.safetensors has model vgg, not mlp"),
        ({"recipe": Recipe().to_json(), "outcome": []}, "one.safetensors: the outcome is not one"),
    ],
)
def test_what_is_there_but_is_not_the_network_is_named(metadata, words, capsys):
    """It is kept, since that was asked, and its path is on stdout, but not without a word."""
    path = Path("one.safetensors")
    path.write_bytes(b"nonsense")
    if metadata is not None:
        said = {"gentool": json.dumps({"format": 1, **metadata})} if metadata else None
        save_file({"w": torch.zeros(1)}, path, said)
    before = path.read_bytes()
    for must_fit in ([], ["--must-fit"]):
        asked = [*DIGITS, "--skip-existing", "-o", "one.safetensors", *must_fit]
        assert run(asked) == len(must_fit)
        out, err = capsys.readouterr()
        assert out == "one.safetensors\n"
        assert words in err.splitlines()[0]
        assert err.count("\n") == 1 + len(must_fit)
    assert path.read_bytes() == before


def test_a_killed_grid_goes_on_where_it_was(tmp_path):
    """kill -9 in the third network: two are kept as they are, the third goes on from its state."""
    lists = ["--hidden", "8,9,10", "--subset", "500", "--epochs", "400", "--stop-loss", "1e-9"]
    arguments = [*DIGITS, *lists, "--labels", "random", "-o", "grid"]
    last = tmp_path / "grid" / "mlp-hidden10-digits-random-500-seed0.safetensors"
    state = last.with_name(f"{last.name}.state")
    process = start(arguments, tmp_path)
    wait_for(state.exists)
    process.kill()
    process.communicate(timeout=30)
    assert not last.exists()
    kept = {p: p.stat().st_mtime_ns for p in last.parent.glob("*.safetensors")}
    assert len(kept) == 2
    assert torch.load(state, weights_only=True)["epoch"] > 0
    assert run(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not state.exists()
    whole = [*DIGITS, "--hidden", "10", *lists[2:], "--labels", "random", "-o", "a.safetensors"]
    assert run(whole) == 0
    assert last.read_bytes() == (tmp_path / "a.safetensors").read_bytes()


def test_processes_share_a_grid(tmp_path, capsys):
    """Two of them write what one writes that trains the same stacks of two, to the bit."""
    for seed in ("0", "1"):
        stack = ["--labels", "true,random", "--seed", seed, "--epochs", "20", "-o", "grid"]
        assert run([*DIGITS, *stack, "--threads", "1"]) == 0
    capsys.readouterr()
    assert run([*GRID[:-1], "shared", "--jobs", "2", "--threads", "1"]) == 0
    assert sorted(capsys.readouterr().out.split()) == sorted(f"shared/{name}" for name in NAMES)
    for name in NAMES:
        assert (tmp_path / "grid" / name).read_bytes() == (tmp_path / "shared" / name).read_bytes()


def test_ctrl_c_stops_all_processes_of_a_grid(tmp_path):
    """Exit 130, one line that says how to go on, the states kept and nothing half-written."""
    lists = ["--hidden", "8,9", "--epochs", "100000", "--stop-loss", "1e-30", "--patience", "0"]
    process = start([*DIGITS, *lists, "--jobs", "2", "-o", "grid"], tmp_path)
    wait_for(lambda: len(list(tmp_path.glob("grid/*.state"))) == 2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr.startswith("gentool: interrupted; continue with: gentool train")
    assert stderr.count("\n") == 1
    assert {path.suffix for path in (tmp_path / "grid").iterdir()} == {".state"}


def test_a_network_that_cannot_be_trained_does_not_stop_the_others(tmp_path, capsys):
    arguments = [*DIGITS, "--subset", "50,5000", "--epochs", "1", "-o", "grid"]
    assert run(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out.split() == [f"grid/{NAMES[0]}"]
    assert "--subset is 5000, but the training set has 1442 images" in captured.err
    assert captured.err.splitlines()[-1] == "gentool: 1 of 2 networks could not be trained"


def test_a_network_that_diverges_in_a_stack_leaves_the_others_alone(tmp_path, monkeypatch, capsys):
    """One of two is told to have a loss that is no number; the other is trained to its end."""
    from gentool.training.run import Run

    book = Run.after_epoch

    def diverge(self, loss, error, seconds):
        book(self, float("nan") if self.recipe.seed == 1 else loss, error, seconds)

    monkeypatch.setattr(Run, "after_epoch", diverge)
    assert run([*DIGITS, "--seed", "0,1", "--epochs", "3", "-o", "grid"]) == 1
    captured = capsys.readouterr()
    assert captured.out.split() == [f"grid/{NAMES[0]}"]
    assert "seed1.safetensors: training diverged in epoch 1" in captured.err


def test_must_fit_names_those_of_a_grid_that_did_not(capsys):
    assert run([*GRID, "--epochs", "1", "--must-fit"]) == 1
    error = capsys.readouterr().err
    assert all(name in error for name in NAMES)


def test_must_fit_judges_what_is_there_too(capsys):
    """Or a script that stopped for a network that does not fit would go on when run again."""
    one = [*DIGITS, "--epochs", "1", "-o", "one.safetensors", "--skip-existing"]
    for command, names in ((GRID, NAMES), (one, ["one.safetensors"])):
        asked = [*command, "--epochs", "1", "--must-fit"]
        assert run(asked) == 1
        capsys.readouterr()
        assert run(asked) == 1
        out, err = capsys.readouterr()
        assert len(out.split()) == len(names)
        assert "the stop rule was not met by" in err
        assert all(name in err for name in names)
        assert run([*command, "--epochs", "1"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--subset", "5,many"], "it takes whole numbers, as 1 or 1,2,3"),
        (["--subset", "5,,6"], "Invalid value for '--subset'"),
        (["--seed", "1,1"], "--seed names a value twice: 1,1"),
        (["--labels", "true,maybe"], "labels are 'maybe'"),
        (["--width", "0.5,1"], "mlp has no option --width"),
        (["--seed", "0,1", "-o", "a.safetensors"], "for a grid -o names a folder"),
        (["--seed", "0,1", "--force", "--skip-existing"], "exclude each other"),
    ],
)
def test_a_grid_that_is_wrongly_asked_exits_2(tmp_path, capsys, arguments, words):
    """One line on stderr, nothing on stdout, no file."""
    assert run([*DIGITS, *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not list(tmp_path.iterdir())


def test_a_grid_is_shared_out_in_units_of_networks_that_are_alike():
    """Labels and seeds may differ in a unit, sizes may not; each process has its share."""
    wanted = [
        PlannedRun(Recipe(model="mlp", subset=n, labels=labels, seed=seed), {}, None)
        for n in (10, 20)
        for labels in ("true", "random")
        for seed in range(10)
    ]
    assert [len(unit) for unit in worker_batches(wanted, 1)] == [LARGEST_STACK, 4] * 2
    assert [len(unit) for unit in worker_batches(wanted, 4)] == [10] * 4
    for unit in worker_batches(wanted, 1):
        assert len({one.recipe.subset for one in unit}) == 1
