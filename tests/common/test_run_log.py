"""A log has one line an epoch or step, whoever writes it and however often it is begun."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gentool.common.errors import GentoolError, UsageError
from gentool.common.run_log import RunLog, steps_of

NET = Path("grid/a.safetensors")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def lines(path="log.jsonl"):
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def test_an_object_names_command_network_and_file():
    RunLog(Path("log.jsonl")).series("train", NET).append(epoch=1, loss=0.5)
    [entry] = lines()
    assert list(entry) == ["command", "network", "file", "epoch", "loss", "time"]
    assert (entry["command"], entry["network"], entry["file"]) == ("train", "a", str(NET))


def test_a_resumed_run_keeps_the_epochs_behind_it_and_a_new_one_none():
    """Those of other networks and commands stay."""
    log = RunLog(Path("log.jsonl"))
    for command, name in (("train", "a"), ("train", "b"), ("sharpness", "a")):
        series = log.series(command, Path(f"{name}.safetensors"))
        for epoch in (1, 2, 3):
            series.append(epoch=epoch)
    log.series("train", Path("a.safetensors"), after=2).append(epoch=3)
    epochs = [(e["command"], e["network"], e["epoch"]) for e in lines()]
    assert epochs == [
        *(("train", "a", 1), ("train", "a", 2)),
        *(("train", "b", i) for i in (1, 2, 3)),
        *(("sharpness", "a", i) for i in (1, 2, 3)),
        ("train", "a", 3),
    ]
    log.series("train", Path("a.safetensors"))
    assert [e["command"] for e in lines() if e["network"] == "a"] == ["sharpness"] * 3


def test_half_a_line_of_a_killed_process_is_removed():
    log = RunLog(Path("log.jsonl"))
    log.series("train", NET).append(epoch=1)
    with Path("log.jsonl").open("a") as file:
        file.write('{"command": "tra')
    log.series("train", NET, after=1).append(epoch=2)
    assert [entry["epoch"] for entry in lines()] == [1, 2]


def test_several_processes_write_whole_lines_and_lose_none():
    """Each of four begins anew, which replaces the file, while the others append."""
    script = (
        "import sys; from pathlib import Path; from gentool.common.run_log import RunLog\n"
        "name = Path(sys.argv[1])\n"
        "for after in range(0, 100, 20):\n"
        "    series = RunLog(Path('log.jsonl')).series('train', name, after=after - 5)\n"
        "    for epoch in range(max(1, after - 4), after + 21): series.append(epoch=epoch)\n"
    )
    names = "abcd"
    processes = [
        subprocess.Popen([sys.executable, "-c", script, f"{name}.safetensors"]) for name in names
    ]
    assert [process.wait(timeout=120) for process in processes] == [0] * 4
    for name in names:
        epochs = [entry["epoch"] for entry in lines() if entry["network"] == name]
        assert epochs == list(range(1, 101))


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("log.txt", None, UsageError, "has to end in .jsonl"),
        (".jsonl", None, UsageError, "has to end in .jsonl"),
        ("folder.jsonl", "folder", UsageError, "not a regular file"),
        ("no/log.jsonl", None, GentoolError, "missing or not writable"),
        ("log.jsonl", '{"a": 1}\n', GentoolError, "is no log of gentool"),
        ("log.jsonl", "text\n", GentoolError, "is no log of gentool"),
    ],
)
def test_another_file_is_refused_before_any_work(name, content, error, words):
    if content == "folder":
        Path(name).mkdir()
    elif content:
        Path(name).write_text(content)
    with pytest.raises(error, match=words):
        RunLog(Path(name))
    assert not content or content == "folder" or Path(name).read_text() == content


def test_a_log_on_a_full_disk_is_given_up_with_one_warning(monkeypatch, capsys):
    """Half a line is taken back; the run is worth more than its log."""
    series = RunLog(Path("log.jsonl")).series("train", NET)
    series.append(epoch=1)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:10]))
    series.append(epoch=2)
    series.append(epoch=3)
    err = capsys.readouterr().err
    assert err.startswith("gentool: warning: cannot write the log log.jsonl: No space left")
    assert err.count("\n") == 1
    assert [entry["epoch"] for entry in lines()] == [1]


def test_a_step_that_says_the_same_is_left_out():
    step = steps_of(RunLog(Path("log.jsonl")), "sharpness", NET)
    for rise in (0.0, 0.0, 0.5):
        step(rise=rise)
    assert [(entry["step"], entry["rise"]) for entry in lines()] == [(1, 0.0), (2, 0.5)]
    steps_of(None, "sharpness", NET)(rise=1.0)
