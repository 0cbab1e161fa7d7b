"""Two commands that write one record at the same time lose nothing, and replace nothing unasked."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gentool.cli.main import run
from gentool.common.files import locked, sha256
from gentool.common.locks import lock_output

TRAIN = ["train", "--model", "mlp", "--data", "digits", "--subset", "50", "--epochs", "2", "-q"]
SEARCH = ["sharpness", "--restarts", "1", "--steps", "2", "-q"]
MEETING = """
import sys, time
from pathlib import Path
import gentool.measures.measure as module
from gentool.cli.main import run

compute = module.measure_checkpoint
def computed(*arguments, **options):
    record = compute(*arguments, **options)
    Path(f"{sys.argv[1]}.computed").touch()
    while not Path("go").exists():
        time.sleep(0.01)
    return record
module.measure_checkpoint = computed
raise SystemExit(run(sys.argv[2:]))
"""
COUNTING = """
import sys
from pathlib import Path
from gentool.common.files import locked, write_whole
path = Path("count")
for _ in range(100):
    with locked(path):
        write_whole(path, b"%d" % (int(path.read_bytes()) + 1))
"""


@pytest.fixture(autouse=True)
def _in_a_folder_with_two_networks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, hidden in (("a", "4"), ("b", "5")):
        assert run([*TRAIN, "--hidden", hidden, "-o", f"{name}.safetensors"]) == 0


def record_in(path):
    return json.loads(Path(path).read_bytes())


def commands_that_meet(*commands):
    """Run commands that all compute before any of them writes; return their exit codes."""
    processes = [
        subprocess.Popen([sys.executable, "-c", MEETING, str(i), *arguments])
        for i, arguments in enumerate(commands)
    ]
    signs = [Path(f"{i}.computed") for i in range(len(commands))]
    while not all(s.exists() or p.poll() for s, p in zip(signs, processes, strict=True)):
        time.sleep(0.05)
    Path("go").touch()
    return [process.wait(timeout=300) for process in processes]


@pytest.mark.parametrize("before", [[], ["parameters"]])
def test_measures_that_two_commands_add_are_all_kept(before):
    """Whether the file was there before or not: each adds to what the other has written."""
    only = ["measure", "-q", "a.safetensors", "--only"]
    for name in before:
        assert run([*only, name]) == 0
    added = ["l2", "spectral_sum"]
    assert commands_that_meet(*([*only, name] for name in added)) == [0, 0]
    record = record_in("a.measures.json")
    assert set(record["measures"]) == {*before, *added}
    assert sorted(record["command"]["only"]) == sorted([*before, *added])
    assert run([*only, "l2,spectral_sum", "-o", "at-once.json"]) == 0
    assert record["measures"].items() >= record_in("at-once.json")["measures"].items()
    assert not list(Path().glob(".*"))  # no lock and no temporary file is left


def test_a_lock_is_held_by_one_process_at_a_time(tmp_path):
    """Three processes count to a hundred in one file, each reading and writing it every time."""
    Path("count").write_bytes(b"0")
    processes = [subprocess.Popen([sys.executable, "-c", COUNTING]) for _ in range(3)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0, 0]
    assert Path("count").read_bytes() == b"300"
    assert not list(Path().glob(".*"))


def test_a_link_and_its_file_are_one_output():
    Path("link").symlink_to("file")
    with locked(Path("link")):
        assert isinstance(lock_output(Path("file"), {}), dict)


@pytest.fixture
def meanwhile(monkeypatch):
    """Return a function that lets a file come into being while a command computes."""

    def lets(function, source, path):
        module, _, name = function.rpartition(".")
        __import__(module)
        compute = getattr(sys.modules[module], name)

        def computed(*arguments, **options):
            record = compute(*arguments, **options)
            shutil.copy(source, path)
            return record

        monkeypatch.setattr(sys.modules[module], name, computed)

    return lets


MEASURE = "gentool.measures.measure.measure_checkpoint"
WORST_CASE = "gentool.sharpness.worst_case_record.worst_case_record"


def test_a_record_that_came_meanwhile_is_kept_and_the_new_one_is_written_beside_it(
    meanwhile, capsys
):
    """Nobody said --force, and a long search is not for nothing."""
    assert run([*SEARCH, "b.safetensors", "-o", "other.json"]) == 0
    meanwhile(WORST_CASE, "other.json", "x.json")
    assert run([*SEARCH, "a.safetensors", "-o", "x.json"]) == 1
    assert capsys.readouterr().err == (
        "gentool: x.json was written by another command meanwhile, and is kept; the result of "
        "this one is in x-2.json\n"
    )
    assert record_in("x.json") == record_in("other.json")
    assert record_in("x-2.json")["checkpoint"]["sha256"] == sha256(Path("a.safetensors"))


def test_a_command_that_was_started_twice_says_so(meanwhile, capsys):
    """Its record is there once."""
    assert run(["measure", "a.safetensors", "-q", "-o", "first"]) == 0
    meanwhile(MEASURE, "first", "a.measures.json")
    assert run(["measure", "a.safetensors", "-q"]) == 1
    assert "is kept; it is of the same checkpoint and options" in capsys.readouterr().err
    assert [str(path) for path in Path().glob("*.json")] == ["a.measures.json"]


def test_what_came_meanwhile_is_kept_or_replaced_where_that_was_asked_for(meanwhile, capsys):
    """--force says what it replaces, which was not there when the command began."""
    assert run(["measure", "a.safetensors", "-q", "--epsilon", "0.2", "-o", "first"]) == 0
    meanwhile(MEASURE, "first", "a.measures.json")
    assert run(["measure", "a.safetensors", "--skip-existing"]) == 0
    assert record_in("a.measures.json") == record_in("first")
    assert "replaced" not in capsys.readouterr().err
    Path("a.measures.json").unlink()
    assert run(["measure", "a.safetensors", "--force"]) == 0
    assert record_in("a.measures.json")["command"]["epsilon"] == 0.05
    assert "a.measures.json is replaced, which had epsilon 0.2" in capsys.readouterr().err


def test_measures_are_not_added_to_a_record_of_other_settings_that_came_meanwhile(
    meanwhile, capsys
):
    """As to one that was there before."""
    only = ["measure", "a.safetensors", "-q", "--only", "margin"]
    assert run([*only, "--epsilon", "0.2", "-o", "first"]) == 0
    meanwhile(MEASURE, "first", "a.measures.json")
    assert run(only) == 1
    assert "a.measures.json exists, made with epsilon 0.2, not 0.05" in capsys.readouterr().err
    assert record_in("a.measures.json") == record_in("first")
