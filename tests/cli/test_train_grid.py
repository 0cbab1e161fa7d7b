"""Test grids: a checkpoint per combination; existing ones are kept, interrupted runs continue."""

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch
from helpers.small_sets import ROUNDING, difference
from safetensors.torch import save_file

from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.records.recipe import Recipe
from gentool.training.plan import LARGEST_STACK, PlannedRun, worker_batches
from gentool.training.state_file import parse

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


def wait_for(condition, seconds=300):  # a bound for a hang, on a busy machine too
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_a_grid_has_a_checkpoint_for_each_combination(tmp_path, capsys):
    """The path of each is on stdout, and each has the recipe of its combination."""
    assert run(GRID) == 0
    assert sorted(capsys.readouterr().out.split()) == sorted(f"grid/{name}" for name in NAMES)
    assert sorted(path.name for path in (tmp_path / "grid").glob("*.safetensors")) == sorted(NAMES)
    recipes = [checkpoint.read(tmp_path / "grid" / name).recipe for name in NAMES]
    assert [(r.labels, r.seed) for r in recipes] == [
        ("true", 0),
        ("true", 1),
        ("random", 0),
        ("random", 1),
    ]
    assert all(r.subset == 50 for r in recipes)


@pytest.mark.usefixtures("_float64")
def test_a_network_of_a_grid_equals_the_one_trained_alone(tmp_path):
    """Same recipe, same weights up to rounding: in the grid it is trained in a stack of four.

    In float64, because the order of sums differs.
    """
    assert run(GRID) == 0
    options = ["--labels", "random", "--seed", "1", "--epochs", "20", "-o", "a.safetensors"]
    assert run([*DIGITS, *options]) == 0
    in_grid, alone = (checkpoint.read(Path(path)) for path in (f"grid/{NAMES[3]}", "a.safetensors"))
    assert in_grid.recipe == alone.recipe
    assert difference(in_grid.tensors, alone.tensors) < ROUNDING


def test_every_list_is_an_axis(tmp_path):
    """Sizes, confusion sets and hidden units, in all combinations."""
    lists = ["--subset", "20,30", "--confusion", "0,10", "--hidden", "4,5", "-o", "grid"]
    command = ["train", "--model", "mlp", "--data", "digits", "--epochs", "1", "-q", *lists]
    assert run(command) == 0
    recipes = [checkpoint.read(path).recipe for path in tmp_path.glob("grid/*.safetensors")]
    values = {(recipe.subset, recipe.confusion, recipe.hidden) for recipe in recipes}
    assert values == {(n, k, h) for n in (20, 30) for k in (0, 10) for h in (4, 5)}


def test_existing_networks_of_a_grid_are_kept_and_their_paths_printed(tmp_path, capsys):
    """A second run trains only the network whose file was removed; with --force it trains all."""
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


def test_an_existing_network_with_other_training_options_is_reported(capsys):
    """Options that were not given are in no name: one warning for each network that is kept.

    `--init he` is what an MLP has without it.
    """
    assert run([*GRID, "--lr", "0.5", "--recipe", "paper", "--init", "he"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert run(GRID) == 0
    again, err = capsys.readouterr()
    assert sorted(again.split()) == sorted(set(out.split()))
    assert sorted(err.splitlines()) == sorted(
        f"gentool: grid/{name} has lr 0.5, not 0.01; schedule constant, not on-stall; "
        "warmup 0.0, not 1.0; patience None, not 30; the file is kept (--force replaces it)"
        for name in NAMES
    )


def test_another_epoch_limit_is_reported_only_if_training_reached_it(capsys):
    """A network that fits is the same with more epochs; one that was cut short is not."""
    command = [*DIGITS, "--skip-existing", "-o", "one.safetensors"]
    for epochs, other, words in (("3", "4", "has epochs 3, not 4"), ("400", "500", "")):
        assert run([*command, "--epochs", epochs]) == 0
        capsys.readouterr()
        assert run([*command, "--epochs", other]) == 0
        assert words in capsys.readouterr().err
        assert run([*command, "--epochs", epochs]) == 0
        assert capsys.readouterr() == ("one.safetensors\n", "")
        Path("one.safetensors").unlink()


DIGEST = "0" * 64
FACTS = {"input_shape": (3, 32, 32), "classes": 10, "subset": 50, "mean": (0.5,) * 3}
FACTS |= {"std": (0.2,) * 3, "digest": DIGEST, "fingerprint": DIGEST}
TRAINED = Recipe(**FACTS).to_json()


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (None, "one.safetensors is damaged"),
        ({}, "one.safetensors does not describe its training"),
        ({"recipe": {"seed": "x"}, "outcome": None}, "one.safetensors: recipe.seed is 'x'"),
        ({"recipe": TRAINED, "outcome": None}, "one.safetensors has model vgg, not mlp"),
        ({"recipe": TRAINED, "outcome": []}, "outcome is []; it has to be a JSON object"),
    ],
)
def test_an_existing_file_that_is_not_the_network_is_reported(metadata, words, capsys):
    """With --skip-existing the file is kept and its path printed, with a warning."""
    path = Path("one.safetensors")
    path.write_bytes(b"nonsense")
    if metadata is not None:
        texts = {"gentool": json.dumps({"format": 1, **metadata})} if metadata else None
        save_file({"w": torch.zeros(1)}, path, texts)
    before = path.read_bytes()
    for must_fit in ([], ["--must-fit"]):
        command = [*DIGITS, "--skip-existing", "-o", "one.safetensors", *must_fit]
        assert run(command) == len(must_fit)
        out, err = capsys.readouterr()
        assert out == "one.safetensors\n"
        assert words in err.splitlines()[0]
        assert err.count("\n") == 1 + len(must_fit)
    assert path.read_bytes() == before


def test_a_killed_grid_continues_from_its_state(tmp_path):
    """After kill -9 in the third network two are kept, and the third continues from its state."""
    lists = ["--hidden", "8,9,10", "--subset", "500", "--epochs", "400", "--stop-loss", "1e-9"]
    arguments = [*DIGITS, *lists, "--labels", "random", "-o", "grid"]
    last = tmp_path / "grid" / "mlp-hidden10-digits-random-500-seed0.safetensors"
    state = last.with_name(f"{last.name}.state")
    process = start(arguments, tmp_path)
    wait_for(state.exists)
    process.kill()
    process.communicate(timeout=300)
    assert not last.exists()
    kept = {p: p.stat().st_mtime_ns for p in last.parent.glob("*.safetensors")}
    assert len(kept) == 2
    assert parse(Path(state).read_bytes()).epoch > 0
    assert run(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not state.exists()
    whole = [*DIGITS, "--hidden", "10", *lists[2:], "--labels", "random", "-o", "a.safetensors"]
    assert run(whole) == 0
    assert last.read_bytes() == (tmp_path / "a.safetensors").read_bytes()


def test_several_processes_write_the_same_files_as_one(tmp_path, capsys):
    """Two processes, and one that trains the same stacks of two networks, to the bit."""
    for seed in ("0", "1"):
        stack = ["--labels", "true,random", "--seed", seed, "--epochs", "20", "-o", "grid"]
        assert run([*DIGITS, *stack, "--threads", "1"]) == 0
    capsys.readouterr()
    assert run([*GRID[:-1], "shared", "--jobs", "2", "--threads", "1"]) == 0
    assert sorted(capsys.readouterr().out.split()) == sorted(f"shared/{name}" for name in NAMES)
    for name in NAMES:
        assert (tmp_path / "grid" / name).read_bytes() == (tmp_path / "shared" / name).read_bytes()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_processes_of_a_grid_share_a_gpu(tmp_path):
    """Two processes on one GPU, with dropout: the networks of one process, to the bit."""
    grid = [*DIGITS, "--seed", "0,1", "--dropout", "0.5", "--epochs", "5", "--device", "cuda"]
    assert run([*grid, "-o", "one"]) == 0
    assert run([*grid, "-o", "two", "--jobs", "2"]) == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BrokenProcessPool(), "was killed, perhaps for its memory; lower --jobs"),
        (torch.OutOfMemoryError("CUDA out of memory"), "ran out of memory; lower --jobs or"),
        (MemoryError(), "ran out of memory; lower --jobs or"),
    ],
)
def test_a_process_without_memory_ends_the_grid_with_a_remedy(monkeypatch, capsys, error, words):
    """Killed by the system, or refused memory by the GPU or the CPU."""

    def fail(pool, work, *arguments):
        future = Future()
        future.set_exception(error)
        return future

    monkeypatch.setattr("gentool.training.jobs.ProcessPoolExecutor.submit", fail)
    assert run([*DIGITS, "--seed", "0,1", "--jobs", "2", "-o", "grid"]) == 1
    assert words in capsys.readouterr().err


def test_ctrl_c_stops_all_processes_of_a_grid(tmp_path):
    """Exit code 130, one line with the command to resume, states kept, no partial file."""
    lists = ["--hidden", "8,9", "--epochs", "100000", "--stop-loss", "1e-30", "--patience", "0"]
    process = start([*DIGITS, *lists, "--jobs", "2", "-o", "grid"], tmp_path)
    wait_for(lambda: len(list(tmp_path.glob("grid/*.state"))) == 2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=300)
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


def test_a_diverging_network_does_not_stop_the_others_of_its_stack(tmp_path, monkeypatch, capsys):
    """One of two gets a loss that is NaN; the other is trained to its end."""
    from gentool.training.run import Run

    book = Run.after_epoch

    def diverge(self, loss, error, seconds):
        book(self, float("nan") if self.recipe.seed == 1 else loss, error, seconds)

    monkeypatch.setattr(Run, "after_epoch", diverge)
    assert run([*DIGITS, "--seed", "0,1", "--epochs", "3", "-o", "grid"]) == 1
    captured = capsys.readouterr()
    assert captured.out.split() == [f"grid/{NAMES[0]}"]
    assert "seed1.safetensors: training diverged in epoch 1" in captured.err


def test_must_fit_names_the_networks_of_a_grid_that_do_not_fit(capsys):
    assert run([*GRID, "--epochs", "1", "--must-fit"]) == 1
    error = capsys.readouterr().err
    assert all(name in error for name in NAMES)


def test_must_fit_includes_existing_networks(capsys):
    """Otherwise a script that stopped at a network that does not fit would pass when run again."""
    single = [*DIGITS, "--epochs", "1", "-o", "one.safetensors", "--skip-existing"]
    for command, names in ((GRID, NAMES), (single, ["one.safetensors"])):
        with_must_fit = [*command, "--epochs", "1", "--must-fit"]
        assert run(with_must_fit) == 1
        capsys.readouterr()
        assert run(with_must_fit) == 1
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
        (["--labels", "true,maybe"], "--labels is 'maybe'"),
        (["--width", "0.5,1"], "mlp has no option --width"),
        (["--seed", "0,1", "-o", "a.safetensors"], "for a grid -o names a folder"),
        (["--seed", "0,1", "--force", "--skip-existing"], "exclude each other"),
    ],
)
def test_wrong_usage_of_a_grid_exits_with_2(tmp_path, capsys, arguments, words):
    """One line on stderr, nothing on stdout, no file."""
    assert run([*DIGITS, *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not list(tmp_path.iterdir())


def test_worker_batches_hold_networks_that_can_be_stacked():
    """Labels and seeds may differ in a batch, sizes may not; each process has its share."""
    planned = [
        PlannedRun(Recipe(model="mlp", subset=n, labels=labels, seed=seed), {}, None)
        for n in (10, 20)
        for labels in ("true", "random")
        for seed in range(10)
    ]
    assert [len(batch) for batch in worker_batches(planned, 1)] == [LARGEST_STACK, 4] * 2
    assert [len(batch) for batch in worker_batches(planned, 4)] == [10] * 4
    for batch in worker_batches(planned, 1):
        assert len({network.recipe.subset for network in batch}) == 1


def test_a_grid_over_batch_norm_and_dropout_names_its_networks_by_them(tmp_path, capsys):
    """An MLP's batch norm is on or off; the recipes have the combinations."""
    options = ["--batch-norm", "none,hidden", "--dropout", "0,0.2", "--epochs", "2", "-o", "grid"]
    assert run([*DIGITS, *options]) == 0
    recipes = [checkpoint.read(Path(path)).recipe for path in capsys.readouterr().out.split()]
    combinations = [(recipe.batch_norm, recipe.dropout) for recipe in recipes]
    assert combinations == [(False, 0.0), (False, 0.2), (True, 0.0), (True, 0.2)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--batch-norm", "some"], "it takes one of none, conv, hidden, all"),
        (["--batch-norm", "conv"], "for convolutions, which an mlp does not have"),
        (["--model", "vgg16", "--batch-norm", "hidden"], "which vgg16 has not"),
        (["--last-pool", "max"], "mlp has no option --last-pool"),
        (["--model", "vgg", "--last-pool", "min"], "it has to be max or average"),
        (["--stop-on", "test"], "it has to be evaluation or training"),
        (["--keep-at", "0.1,-1"], "--keep-at is -1; it has to be from 0 to"),
        (["--keep-at", "0.1,0"], "losses are positive numbers"),
    ],
)
def test_a_variant_that_a_model_does_not_have_is_a_usage_error(options, words, capsys):
    assert run(["train", "--model", "mlp", "--data", "digits", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1
