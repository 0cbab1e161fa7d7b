"""Damaged and hostile files of every kind end in a result or in one line of an error.

A slice of seconds; `sh tests/run.sh -m attack` tries GENTOOL_INPUTS of them a reader (20,000), with
other inputs for another GENTOOL_SEED. A file that escapes is kept, and its place is in the message.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.attacks import running
from helpers.attacks.readers import READERS

SCRIPT = Path(__file__).parents[1] / "helpers" / "attacks" / "running.py"
INPUTS = os.environ.get("GENTOOL_INPUTS", "20000")
SEED = os.environ.get("GENTOOL_SEED", "0")
FEW = 60


def attacked(folder: Path, inputs: str, seconds: float) -> dict:
    """Return the results of an attack, made in another process: this one may have threads."""
    tests = str(SCRIPT.parents[2])
    paths = [str(SCRIPT.parents[3]), tests, *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, SCRIPT, folder, inputs, SEED, "all", str(seconds)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def escapes_of(results: dict) -> list[str]:
    return [
        f"{name}: {where}, {escape['count']} times; kept as {escape['input']}"
        for name, result in results.items()
        for where, escape in result["escapes"].items()
    ]


def test_few_damaged_files_of_every_kind_do_no_harm(tmp_path):
    """Each reader gets some, so that no reader can be left out of the long run unseen."""
    results = attacked(tmp_path / "few", str(FEW), 10)
    assert escapes_of(results) == []
    assert results.keys() == READERS.keys()
    for result in results.values():
        assert result["outcomes"]["refused" if "refused" in result["outcomes"] else "read"] > 0


@pytest.mark.attack
def test_many_damaged_files_of_every_kind_do_no_harm(tmp_path):
    results = attacked(tmp_path / "many", INPUTS, 3600)
    print(json.dumps({name: result["outcomes"] for name, result in results.items()}))
    assert escapes_of(results) == []
    assert {result["inputs"] for result in results.values()} == {int(INPUTS)}


def _raise() -> None:
    raise KeyError("x")


def _loop() -> None:
    while True:
        pass


FAULTS = {
    "KeyError": _raise,
    "SIGABRT": os.abort,
    "FileWritten": lambda: Path("written").write_text("x"),
    "Effect": lambda: os.system("true"),
    "Hang": _loop,
    "MemoryError": lambda: bytearray(3 * running.MEMORY),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_reader_with_a_fault_is_found_out(kind, tmp_path, monkeypatch):
    """So the attack can fail; the input that did it is kept."""
    monkeypatch.setattr(running, "SECONDS", 0.5)
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "a.json").write_text('{"a": 1}')
    faulty = running.Reader(
        ("a.json",), lambda content, chance: content, lambda *_: FAULTS[kind](), ""
    )
    monkeypatch.setitem(running.READERS, "faulty", faulty)
    result = running.attack("faulty", whole, tmp_path, 2, "0", 60)
    [escape] = result["escapes"].values()
    assert result["outcomes"] == {kind: 2}
    assert Path(escape["input"]).read_text() == '{"a": 1}'
