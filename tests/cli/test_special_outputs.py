"""Test outputs that are no plain files: devices, FIFOs, sockets, links, and names too long."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from gentool.cli.main import run

QUICK = ["--model", "mlp", "--hidden", "4", "--data", "digits", "--subset", "30"]
QUICK += ["--epochs", "3", "--quiet"]


@pytest.fixture
def measured(saved):
    """The record of a network."""
    assert run(["measure", str(saved), "--only", "l2", "--quiet"]) == 0
    return saved.with_name("mlp.measures.json")


def commands(saved, measured):
    """Return the arguments of each command that writes a file, up to -o, by the file's ending."""
    return {
        "measure": ([str(saved), "--only", "l2"], ".json"),
        "sharpness": ([str(saved), "--budget", "0.01"], ".json"),
        "inspect": ([str(saved)], ".json"),
        "plot": ([str(measured), "--x", "recipe.subset", "--y", "l2"], ".svg"),
        "table": ([str(measured)], ".csv"),
        "claims": ([str(measured)], ".json"),
        "train": (QUICK, ".safetensors"),
    }


def told(capsys, *words):
    """Return the only line on stderr, which must have some words."""
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert all(word in error for word in words), error
    return error


NAMES = ["measure", "sharpness", "inspect", "plot", "table", "claims", "train"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "train"])
def test_a_fifo_is_written_into_and_stays(name, saved, measured, tmp_path, capsys):
    """The reader at its other end gets the whole content; the path is not printed."""
    arguments, ending = commands(saved, measured)[name]
    fifo = tmp_path / f"fifo{ending}"
    os.mkfifo(fifo)
    content = []
    reader = threading.Thread(target=lambda: content.append(fifo.read_bytes()))
    reader.start()
    assert run([name, *arguments, "--quiet", "--force", "-o", str(fifo)]) == 0
    reader.join(timeout=10)
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert len(content[0]) > 50
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_devices_are_written_into(force, saved, capsys):
    """/dev/null stays a device, with --force and without it."""
    before = os.stat("/dev/null")
    assert run(["measure", str(saved), "--only", "l2", "--quiet", *force, "-o", "/dev/null"]) == 0
    assert os.stat("/dev/null").st_ino == before.st_ino
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert capsys.readouterr().out == ""


def test_dev_stdout_is_stdout(saved, tmp_path):
    """Of a pipe, and of a file that the shell opened, after what that file holds."""
    command = [sys.executable, "-m", "gentool", "measure", saved, "--only", "l2", "--quiet"]
    done = subprocess.run([*command, "-o", "/dev/stdout"], capture_output=True, check=True)
    assert json.loads(done.stdout)["measures"]["l2"]
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("ab") as file:
        subprocess.run([*command, "-o", "/dev/fd/1"], stdout=file, check=True)
    before, record = log.read_text().splitlines()
    assert before == "before"
    assert json.loads(record)["measures"]["l2"]


@pytest.mark.parametrize("name", NAMES)
def test_a_socket_is_never_replaced(name, saved, measured, tmp_path, capsys):
    arguments, ending = commands(saved, measured)[name]
    path = tmp_path / f"s{ending}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert run([name, *arguments, "--quiet", "--force", "-o", str(path)]) == 1
        told(capsys, "socket", "-o")
        assert stat.S_ISSOCK(path.stat().st_mode)


def test_training_needs_a_file(tmp_path, capsys):
    """The state of a run lies beside its checkpoint: no device and no FIFO, and nothing is left."""
    fifo = tmp_path / "fifo.safetensors"
    os.mkfifo(fifo)
    for path in (fifo, "/dev/null", "/dev/stdout"):
        assert run(["train", *QUICK, "--force", "-o", str(path)]) == 1
        told(capsys, "is no file", "-o")
    assert [path.name for path in tmp_path.iterdir()] == ["fifo.safetensors"]
    assert not [name for name in os.listdir("/dev") if "gentool" in name]


@pytest.mark.parametrize("name", NAMES)
def test_links_are_followed(name, saved, measured, tmp_path):
    """The link stays; the file that it names is written, which need not exist before."""
    arguments, ending = commands(saved, measured)[name]
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target, link = folder / f"target{ending}", tmp_path / f"link{ending}"
    link.symlink_to(f"elsewhere/target{ending}")
    for _ in range(2):
        assert run([name, *arguments, "--quiet", "--force", "-o", str(link)]) == 0
        assert link.is_symlink()
        assert target.stat().st_size > 50
    left = [path.name for path in folder.iterdir() if "gentool" in path.name]
    assert not left


def test_links_in_a_circle_and_to_nowhere(saved, tmp_path, capsys):
    circle, nowhere = tmp_path / "circle.json", tmp_path / "nowhere.json"
    circle.symlink_to("circle.json")
    nowhere.symlink_to("missing/target.json")
    assert run(["measure", str(saved), "--force", "-o", str(circle)]) == 1
    told(capsys, "circle")
    assert run(["measure", str(saved), "--force", "-o", str(nowhere)]) == 1
    told(capsys, "missing", "links", "does not exist")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_too_long_is_refused_before_the_work(name, saved, measured, tmp_path, capsys):
    """256 bytes and more; the longest name that is allowed is written."""
    arguments, ending = commands(saved, measured)[name]
    before = sorted(tmp_path.iterdir())
    most = "a" * (255 - len(ending) - 11 * (name == "train"))  # with the state beside it
    assert run([name, *arguments, "-o", str(tmp_path / f"{most}aé{ending}")]) == 1
    told(capsys, "bytes", "255")
    deep = tmp_path / "/".join(["b" * 200] * 25) / f"x{ending}"
    assert run([name, *arguments, "-o", str(deep)]) in (1, 2)
    told(capsys, "too long")
    assert sorted(tmp_path.iterdir()) == before
    assert run([name, *arguments, "--quiet", "-o", str(tmp_path / f"{most}{ending}")]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    name, saved, measured, capsys, monkeypatch
):
    """One that does not exist, and one that takes no files, as /proc; no work is begun."""
    arguments, ending = commands(saved, measured)[name]
    for folder in ("/missing/folder", "/proc/self"):
        assert run([name, *arguments, "-o", f"{folder}/x{ending}"]) == 1
        told(capsys, folder, "-o")


def test_force_says_what_it_replaced(saved, tmp_path, capsys):
    """A network with another recipe, a record of other settings or with more measures."""
    assert run(["train", *QUICK[:-1], "--lr", "0.03", "--force", "-o", str(saved)]) == 0
    error = capsys.readouterr().err
    assert "note: " in error
    assert "is replaced, which had" in error
    assert "hidden 16, not 4" in error
    run(["train", *QUICK[:-1], "--lr", "0.03", "--force", "-o", str(saved)])
    assert "is replaced" not in capsys.readouterr().err
    run(["measure", str(saved)])
    capsys.readouterr()
    run(["measure", str(saved), "--epsilon", "0.1", "--only", "l2", "--force"])
    error = capsys.readouterr().err
    assert "epsilon 0.05, not 0.1" in error
    assert "measures more" in error
    run(["measure", str(saved), "--epsilon", "0.1", "--only", "l2", "--force"])
    assert "is replaced" not in capsys.readouterr().err
