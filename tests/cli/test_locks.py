"""Two commands do not train one network at a time, and a finished one is not trained again."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gentool.cli import train_runs
from gentool.cli.main import run
from gentool.common.locks import OutputLock, lock_output, lock_path
from gentool.training import output_locks

TRAIN = ["train", "--model", "mlp", "--data", "digits", "--subset", "50", "--epochs", "3"]
ONE = [*TRAIN, "--hidden", "8", "-o", "a.safetensors"]
NAMES = [f"mlp-hidden8-digits-true-50-seed{seed}.safetensors" for seed in (0, 1, 2)]
GRID = [*TRAIN, "--hidden", "8", "--seed", "0,1,2", "-o", "grid"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def held_by_a_run(path, arguments):
    """Lock an output as a run with these arguments does that is in its first epoch."""
    import gentool.cli.train_runs as module

    plans = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_train_one", lambda planned, *_: plans.append(planned))
        assert run([*arguments, "-o", path]) == 0
    from gentool.training.output_locks import try_to_lock

    return try_to_lock(plans[0])


def hidden_files():
    return sorted(str(path) for path in Path().rglob(".*"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "is being trained by process"),
        (["--lr", "0.5"], "is being trained with other options by process"),
        (["--lr", "0.5", "--wait"], "is being trained with other options by process"),
        (["--lr", "0.5", "--force"], "name another file with -o, or stop it first"),
    ],
)
def test_a_second_run_into_one_file_is_refused_at_once(options, words, capsys):
    """Its state is left alone, --force or not."""
    with held_by_a_run("a.safetensors", ONE[:-2]):
        state = Path("a.safetensors.state")
        state.write_bytes(b"of the first run")
        assert run([*ONE, *options]) == 1
        err = capsys.readouterr().err
        assert words in err
        assert str(os.getpid()) in err
        assert err.count("\n") == 1
        assert state.read_bytes() == b"of the first run"
    assert hidden_files() == []


def test_a_run_that_waits_keeps_the_result_of_the_other(capsys, monkeypatch):
    """Or trains the network itself, if the other has ended without it."""
    assert run([*ONE, "-q"]) == 0
    whole = Path("whole").absolute()
    shutil.move("a.safetensors", whole)
    waits = threading.Event()
    wait = output_locks.wait_for_output
    monkeypatch.setattr(train_runs, "wait_for_output", lambda p: (waits.set(), wait(p))[1])
    for is_finished in (True, False):
        capsys.readouterr()
        held = held_by_a_run("a.safetensors", ONE[:-2])
        waits.clear()

        def end(held=held, is_finished=is_finished):
            waits.wait(timeout=300)
            if is_finished:
                shutil.copy(whole, "a.safetensors")
            held.release()

        thread = threading.Thread(target=end)
        thread.start()
        assert run([*ONE, "--wait"]) == 0
        thread.join()
        out, err = capsys.readouterr()
        assert out == "a.safetensors\n"
        assert "waiting for it" in err
        assert ("stop rule" in err) != is_finished
        assert Path("a.safetensors").read_bytes() == whole.read_bytes()
        Path("a.safetensors").unlink()


def test_a_grid_is_refused_or_trains_the_others_first_and_waits(capsys):
    Path("grid").mkdir()
    one = [*GRID[:-3], "0", "-q"]
    held = held_by_a_run(f"grid/{NAMES[0]}", one)
    assert run(GRID) == 1
    err = capsys.readouterr().err
    assert f"grid/{NAMES[0]}: in training by another process; wait for it with --wait" in err
    assert not list(Path("grid").glob("*.safetensors"))

    def end():
        deadline = time.monotonic() + 300
        while not Path("grid", NAMES[2]).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        held.release()

    thread = threading.Thread(target=end)
    thread.start()
    assert run([*GRID, "--wait", "-q"]) == 0
    thread.join()
    assert capsys.readouterr().out.split()[-1] == f"grid/{NAMES[0]}"
    assert sorted(path.name for path in Path("grid").glob("*.safetensors")) == NAMES


def test_the_lock_of_a_killed_process_is_taken_over():
    script = (
        "import os, sys; from pathlib import Path; from gentool.common.locks import lock_output\n"
        "lock_output(Path('a.safetensors'), {'recipe': {}})\n"
        "os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", script])
    assert killed.returncode == -signal.SIGKILL
    assert hidden_files() == [str(lock_path(Path("a.safetensors")))]
    assert run([*ONE, "-q"]) == 0
    assert hidden_files() == []


def test_a_lock_is_held_until_it_is_released():
    first = lock_output(Path("a"), {"x": 1})
    assert isinstance(first, OutputLock)
    assert lock_output(Path("a"), {})["x"] == 1
    first.release()
    with lock_output(Path("a"), {}) as second:
        assert isinstance(second, OutputLock)
    assert hidden_files() == []


def test_resume_of_a_finished_run_says_so_and_prints_its_path(capsys):
    """Exit code 0; nothing is written. With other options it is still an error."""
    assert run([*ONE, "-q"]) == 0
    before = Path("a.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    assert run([*ONE, "--resume"]) == 0
    out, err = capsys.readouterr()
    assert out == "a.safetensors\n"
    assert "a.safetensors is finished, nothing to resume: stop rule" in err
    assert Path("a.safetensors").stat().st_mtime_ns == before
    assert run([*ONE, "--lr", "0.5", "--resume"]) == 1


def test_the_state_beside_a_finished_checkpoint_goes_if_it_is_of_the_same_run(capsys):
    """It was killed between writing one and removing the other. One of other options stays."""
    fits = ["--lr", "0.1", "--epochs", "400", "--stop-loss", "0.5", "-q"]
    one = [*TRAIN[:-2], "--hidden", "8", *fits, "-o", "a.safetensors"]
    from gentool.training import jobs

    state = Path("a.safetensors.state")
    write = jobs.checkpoint.write

    def killed(*arguments, **options):
        write(*arguments, **options)
        shutil.copy(state, "kept.state")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.checkpoint, "write", killed)
        assert run(one) == 0
    assert not state.exists()
    shutil.copy("kept.state", state)
    assert run([*one, "--skip-existing"]) == 0
    assert not state.exists()
    shutil.copy("kept.state", state)
    assert run([*one, "--resume"]) == 0
    assert not state.exists()
    shutil.copy("kept.state", state)
    other = [option if option != "0.1" else "0.05" for option in one]
    assert run([*other, "--skip-existing"]) == 0
    assert state.exists()


def test_an_interrupted_run_of_force_goes_on_with_the_command_that_was_told(monkeypatch, capsys):
    """The checkpoint that --force would replace is there until the run has ended."""
    import gentool.training.stacked_mlps as module

    assert run([*ONE, "-q"]) == 0
    old = Path("a.safetensors").read_bytes()
    function = module.losses_and_errors

    def stopped(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        return function(*arguments, **options)

    other = [*ONE, "--lr", "0.05", "--force"]
    with monkeypatch.context() as patch:
        patch.setattr(module, "losses_and_errors", stopped)
        patch.setattr("gentool.training.loop.SHORT_EPOCH", float("inf"))
        assert run(other) == 143
    assert Path("a.safetensors").read_bytes() == old
    told = capsys.readouterr().err.strip().rpartition("continue with: gentool ")[2].split()
    assert told == [*other[:-1], "--resume"]
    assert run([*told, "-q"]) == 0
    assert Path("a.safetensors").read_bytes() != old
    assert not Path("a.safetensors.state").exists()
