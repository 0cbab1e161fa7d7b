r"""Test what a terminal sees of text from outside, and names and locales that are not UTF-8.

A file may be named `\x1b[2J`, which clears the screen, or hold such a text in its metadata.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import safetensors.torch
import torch

from gentool.cli.main import run

DECEIVING = "a\x1b[31m\x07\x9b2J\u202eb\u2066c\u200bd\ne\tf[red]$x_1$:smile:"
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
BYTES = b"\xff\xe9"  # no UTF-8
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}
LATIN = {"PYTHONIOENCODING": "latin-1"}


@pytest.fixture
def deceiving(trained, tmp_path):
    """A folder with a network whose file has a deceiving name."""
    shutil.copy(trained, tmp_path / f"{DECEIVING}.safetensors")
    return tmp_path


def foreign(path, name):
    """Save a network of another program whose tensors have a name."""
    tensors = {f"{name}.0.weight": torch.ones(5, 64), f"{name}.2.weight": torch.ones(10, 5)}
    tensors |= {f"{name}.0.bias": torch.ones(5), f"{name}.2.bias": torch.ones(10)}
    safetensors.torch.save_file(tensors, path)
    return str(path)


def seen(capsys):
    """Return what a terminal would have got, and check that it is escaped."""
    captured = capsys.readouterr()
    text = captured.out + captured.err
    assert UNSEEN.search(text) is None, text
    return text


def test_names_of_files_are_escaped_in_tables_notes_and_errors(deceiving, capsys, monkeypatch):
    """Control characters, reversed text, no width, markup and emoji codes are shown as typed."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")  # no bold letters
    for command in (
        ["inspect"],
        ["measure"],
        ["sharpness", "--budget", "0"],
        ["table"],
        ["claims"],
        ["table", "--format", "csv"],
        ["measure"],  # exists: an error with the name
    ):
        run([*command, str(deceiving)])
        text = seen(capsys)
        assert r"a\x1b[31m" in text or "table" in command or "claims" in command
        assert "\N{SMILING FACE WITH OPEN MOUTH}" not in text


def test_names_of_tensors_are_escaped(tmp_path, capsys):
    """In the table of layers, in what was inferred, and in errors about them."""
    plain = foreign(tmp_path / "plain.safetensors", "[red]:smile:$x$")
    assert run(["inspect", plain, "--input-shape", "1x8x8"]) == 0
    assert "[red]:smile:$x$.0" in seen(capsys)
    assert run(["inspect", foreign(tmp_path / "other.safetensors", DECEIVING)]) == 1
    assert r"\x1b[31m" in seen(capsys)
    run(["measure", plain, "--input-shape", "1x8x8", "--order", f"{DECEIVING}.9"])
    assert r"\x1b[31m" in seen(capsys)


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_figures_show_names_as_typed(deceiving, ending, capsys, recwarn):
    """No formula is made of dollars, no letter is missing with a warning, and an SVG is XML."""
    assert run(["measure", str(deceiving), "--quiet"]) == 0
    records = sorted(map(str, deceiving.glob("*.measures.json")))
    other = json.loads(Path(records[0]).read_text("utf-8"))
    other["checkpoint"] = {"file": f"{DECEIVING}2\N{PILE OF POO}", "sha256": "b" * 64}
    other["recipe"]["data"] = f"npz:{DECEIVING}"
    changed = deceiving / "other.measures.json"
    changed.write_text(json.dumps(other), "utf-8")
    path = deceiving / f"figure.{ending}"
    options = ["--x", "recipe.data", "--y", "l2", "--by", "checkpoint.file"]
    title = ["--title", DECEIVING]
    assert run(["plot", *records, str(changed), *options, *title, "-o", str(path)]) == 0
    assert UNSEEN.search(capsys.readouterr().err) is None
    assert not [str(w.message) for w in recwarn if "lyph" in str(w.message)]
    if ending == "svg":
        words = "".join(ElementTree.parse(path).getroot().itertext())
        assert UNSEEN.search(words.replace("\t", " ")) is None
        assert r"a\x1b[31m" in words
        assert "$x_1$" in words


def gentool(*arguments, cwd, **environment):
    """Run the command line in a process of its own; names are bytes."""
    command = [sys.executable, "-m", "gentool", *arguments]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, timeout=300, env={**os.environ, **environment}
    )
    assert b"Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("environment", [{}, ASCII], ids=["utf8", "ascii"])
def test_a_name_that_is_no_utf8_is_read_written_shown_and_recorded(trained, tmp_path, environment):
    r"""The pipe has its bytes, a record has \xff, and the record is read again."""
    name = BYTES + b".safetensors"
    shutil.copy(os.fsencode(trained), os.fsencode(tmp_path) + b"/" + name)
    done = gentool("measure", name, "--only", "l2", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == BYTES + b".measures.json\n"
    assert rb"\xff\xe9" in done.stderr
    record = json.loads((tmp_path / os.fsdecode(BYTES + b".measures.json")).read_bytes())
    assert record["checkpoint"]["file"] == r"\xff\xe9.safetensors"
    shown = gentool("table", BYTES + b".measures.json", cwd=tmp_path, **environment)
    assert shown.returncode == 0, shown.stderr
    dash = gentool("inspect", name, "-o", "-", cwd=tmp_path, **environment)
    assert json.loads(dash.stdout)["checkpoint"]["file"] == r"\xff\xe9.safetensors"


@pytest.mark.parametrize("environment", [{}, ASCII], ids=["utf8", "ascii"])
def test_data_with_a_name_that_is_no_utf8_is_found_again(tmp_path, environment):
    r"""The checkpoint records npz:\xff.npz, and later commands open that file."""
    import numpy as np

    generator = np.random.default_rng(0)
    with open(os.fsencode(tmp_path) + b"/" + BYTES + b".npz", "wb") as file:
        np.savez(
            file,
            x_train=generator.integers(0, 255, (20, 4, 4), dtype=np.uint8),
            y_train=np.arange(20) % 2,
        )
    options = b"--model mlp --hidden 4 --epochs 2 --force -o n.safetensors --data npz:".split()
    options[-1] += BYTES + b".npz"
    done = gentool("train", *options, cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    again = [b"--skip-existing" if o == b"--force" else o for o in options]
    assert b"differ" not in gentool("train", *again, cwd=tmp_path, **environment).stderr
    done = gentool("measure", "n.safetensors", "-o", "-", "--only", "l2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["recipe"]["data"] == r"npz:\xff\xe9.npz"
    assert record["margin"] is not None


@pytest.mark.parametrize("environment", [ASCII, LATIN], ids=["ascii", "latin"])
def test_an_ascii_terminal_gets_escapes_not_a_crash(trained, tmp_path, environment):
    """A letter that the locale lacks is escaped on stdout and stderr; JSON stays UTF-8."""
    name = "é\N{GREEK SMALL LETTER ALPHA}.safetensors"
    shutil.copy(trained, tmp_path / name)
    for command in (["measure"], ["table"]):
        source = name if command == ["measure"] else "."
        done = gentool(*command, source, cwd=tmp_path, **environment)
        assert done.returncode == 0, done.stderr
    [path] = tmp_path.glob("*.json")
    assert json.loads(path.read_text("utf-8"))["checkpoint"]["file"] == name
    dash = gentool("inspect", name, "-o", "-", cwd=tmp_path, **environment)
    assert json.loads(dash.stdout.decode("utf-8"))["checkpoint"]["file"] == name
    assert gentool("sharpness", "--help", cwd=tmp_path, **environment).returncode == 0
