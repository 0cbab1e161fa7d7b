"""One progress line fits every terminal; a log gets a line every 30 seconds."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time

import pytest

from gentool.common import progress as module
from gentool.common.progress import ProgressState, clock, layout, progress, shortened

LONG = "mlp-hidden128-mnist-random-2000-first-lr0.05-seed0"
FIELDS = {"epoch": "17", "loss": "0.0103", "error": "0.1250", "images_per_second": "12,345"}


def state(**fields):
    made = ProgressState(LONG, "3 of 18")
    made.update(0.25, **(fields or FIELDS))
    return made


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 140, 200])
def test_the_line_has_bar_percent_and_time_at_every_width(width):
    """It never is longer than the terminal; fields and the name take what is left."""
    line = layout(state(), width)
    assert line.bar >= min(module.SHORTEST_BAR, width - 14)
    assert " 25% -:--:--" in line.after
    assert len(line.before) + line.bar + len(line.after) + 2 <= width


def test_at_80_columns_the_name_is_short_and_the_count_whole():
    line = layout(state(), 80)
    assert line.before == "3 of 18 mlp-hidd…5-seed0"
    assert line.after.endswith("epoch 17  loss 0.0103")


def test_a_wide_terminal_shows_all_fields_and_the_whole_name():
    assert layout(state(), 140).after.endswith("images per second 12,345")
    assert layout(state(), 160).before == f"3 of 18 {LONG}"


@pytest.mark.parametrize(
    ("width", "short"), [(50, LONG), (9, "mlp-…eed0"), (4, "ml…0"), (1, "…"), (0, "")]
)
def test_names_lose_their_middle(width, short):
    """Names of one command agree there; they differ at the end."""
    assert shortened(LONG, width) == short


def test_the_time_left_follows_from_the_speed(monkeypatch):
    """A quarter in 10 seconds: 10 more for each other quarter. A resumed run counts from there."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    resumed = ProgressState("a")
    resumed.update(0.5)
    assert resumed.seconds_left() is None
    now[0] += 10
    resumed.update(0.75, loss="1.0")
    assert resumed.seconds_left() == pytest.approx(10)
    assert resumed.in_words() == "a: 75%, loss 1.0, 0:00:10 left"
    resumed.update(0.1)
    assert resumed.seconds_left() is None
    assert [clock(3_725), clock(1e9)] == ["1:02:05", "9:59:59"]


def test_without_a_terminal_there_is_a_line_every_some_seconds(monkeypatch, capsys):
    """Also where nothing new is shown; none if quiet."""
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.05)
    for quiet in (True, False):
        with progress(quiet, "net", "1 of 2") as show:
            show(0.5, loss="0.1")
            time.sleep(0.3)
        lines = capsys.readouterr().err.splitlines()
        assert (len(lines) == 0) == quiet
    assert 2 <= len(lines) <= 6
    assert all(line.startswith("gentool: 1 of 2, net: 50%, loss 0.1") for line in lines)


SHOWN = """
import time
from gentool.common.progress import progress
with progress(False, {name!r}, "3 of 18") as show:
    for i in range(4):
        show(0.1 * i, loss="0.0103", error="0.1250")
        print("path", i, flush=True)
        time.sleep(0.2)
"""


@pytest.mark.parametrize("columns", [80, 140])
def test_a_terminal_shows_the_line_and_a_pipe_gets_the_paths(columns):
    """Stdout goes to the pipe, as in $(gentool train ...), and not to the terminal of the bar."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = os.environ | {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    environment.pop("COLUMNS", None)
    command = [sys.executable, "-c", SHOWN.format(name=LONG)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, stdin=theirs, env=environment
    )
    out, _ = process.communicate(timeout=300)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.returncode == 0
    assert out.split() == b"path 0 path 1 path 2 path 3".split()
    text = shown.decode()
    for words in ("3 of 18 mlp-", "━", "30%", "0:00:0", "loss 0.0103"):
        assert words in text
