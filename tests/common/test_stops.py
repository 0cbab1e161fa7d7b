"""SIGTERM and SIGHUP do what Ctrl-C does, and none comes between lines that belong together."""

import os
import signal
import subprocess
import sys

import pytest

from gentool.common import stops
from gentool.common.files import TEMPORARY, Existing, check_output, write_whole
from gentool.common.locks import lock


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_interrupts_as_ctrl_c_does(number, code):
    """The exit code is 128 and the number of the signal; the handlers from before come back."""
    before = signal.getsignal(number)
    with stops.handled():
        with pytest.raises(KeyboardInterrupt):
            send(number)
        assert stops.is_requested()
        assert stops.exit_code() == code
    assert signal.getsignal(number) == before


def test_a_signal_is_held_back_to_the_end_of_a_block():
    done = []
    with stops.handled(), pytest.raises(stops.Stopped):  # noqa: PT012
        with stops.held():
            with stops.held():
                send(signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("after")
    assert done == ["inner", "outer"]


def test_the_same_request_twice_is_one_and_a_later_one_is_not_held_back(monkeypatch):
    """`timeout` signals the process and its group, so that one request arrives as two."""
    with stops.handled():
        with pytest.raises(stops.Stopped):
            send(signal.SIGTERM)
        send(signal.SIGTERM)
        monkeypatch.setattr(stops, "AGAIN", 0.0)
        with stops.held(), pytest.raises(stops.Stopped):
            send(signal.SIGINT)
        assert stops.exit_code() == 143


def test_an_interrupt_that_was_swallowed_is_raised_at_the_next_check():
    """Python ignores exceptions in the finalizer of an object, for instance."""
    with stops.handled():
        with pytest.raises(stops.Stopped):
            send(signal.SIGTERM)
        with pytest.raises(stops.Stopped):
            stops.check()


def test_an_ignored_signal_stays_ignored():
    """As SIGHUP under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stops.handled():
            send(signal.SIGHUP)
        assert not stops.is_requested()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_while_a_file_is_written_leaves_it_whole(tmp_path, monkeypatch):
    """The file is written to its end, the process stops then, and no temporary file stays."""
    monkeypatch.setattr("os.fsync", lambda _: send(signal.SIGTERM))
    with stops.handled(), pytest.raises(stops.Stopped):
        write_whole(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.json"]


def test_temporary_files_of_killed_processes_are_removed_by_the_next_command(tmp_path):
    """Not one that a process still writes to, and no hidden file of others."""
    script = (
        "import os, signal, sys; from pathlib import Path; from gentool.common import files\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_whole(Path(sys.argv[1]), b'x')"
    )
    killed = subprocess.run([sys.executable, "-c", script, tmp_path / "a.json"])
    assert killed.returncode == -signal.SIGKILL
    [left] = os.listdir(tmp_path)
    assert left.startswith(".a.json.")
    (tmp_path / ".hidden").touch()
    held = tmp_path / f".b.json.x{TEMPORARY}"
    with held.open("w") as file:
        assert lock(file.fileno(), wait=False)
        assert check_output(tmp_path / "a.json", Existing.ERROR)
        assert sorted(os.listdir(tmp_path)) == sorted([held.name, ".hidden"])
    assert check_output(tmp_path / "a.json", Existing.ERROR)
    assert os.listdir(tmp_path) == [".hidden"]
