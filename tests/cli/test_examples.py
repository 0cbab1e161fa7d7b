"""`gentool examples` copies the scripts and the notebook, and keeps what exists."""

import os
import subprocess
import sys

import pytest

from gentool.cli import examples
from gentool.cli.main import run

COPIED = {
    "README.md",
    "Snakefile",
    "environment.sh",
    "figure1.sh",
    "figure2.sh",
    "figure3.sh",
    "figure4.sh",
    "figures.sh",
    "paper-scale-gpu.sh",
    "paper-scale.sh",
    "quickstart.sh",
    "ranking.sh",
    "tour.ipynb",
}


def test_the_paths_of_all_copies_are_printed(tmp_path, capsys):
    folder = tmp_path / "new" / "examples"
    assert run(["examples", str(folder)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [str(path) for path in sorted(folder.iterdir())]
    assert {path.name for path in folder.iterdir()} == COPIED
    for source in examples.example_files():
        assert (folder / source.name).read_bytes() == source.read_bytes()


def test_an_existing_file_is_kept_or_replaced_as_asked(tmp_path, capsys):
    """Without an option nothing at all is copied."""
    (tmp_path / "quickstart.sh").write_text("mine")
    assert run(["examples", str(tmp_path)]) == 1
    assert "quickstart.sh exists; replace it with --force" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["quickstart.sh"]
    assert run(["examples", str(tmp_path), "--skip-existing"]) == 0
    assert (tmp_path / "quickstart.sh").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == COPIED
    assert run(["examples", str(tmp_path), "--force", "--quiet"]) == 0
    assert "gentool train" in (tmp_path / "quickstart.sh").read_text()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(["examples", str(tmp_path / "file")]) == 1
    assert "cannot make the folder" in capsys.readouterr().err


def test_a_package_without_examples_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(examples, "PACKAGE", tmp_path / "gentool")
    assert run(["examples", str(tmp_path / "copy")]) == 1
    assert "installed without its examples; install it again" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("script", ["quickstart.sh", "figure1.sh"])
def test_copied_scripts_use_the_gentool_on_the_path(tmp_path, script):
    """A stand-in that writes down how it is called; without one the script says what is missing."""
    folder = tmp_path / "my examples"
    assert run(["examples", str(folder), "--quiet"]) == 0
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "gentool").write_text(f'#!/bin/sh\necho "$1" >>"{tmp_path}/calls"\n')
    (commands / "gentool").chmod(0o755)
    path = {"PATH": f"{commands}:{os.environ['PATH']}"}
    call = ["sh", str(folder / script), str(tmp_path / "out")]
    done = subprocess.run(call, env=os.environ | path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    called = (tmp_path / "calls").read_text().split()
    assert called[0] == "train"
    assert called[-1] == "plot"
    (commands / "gentool").unlink()
    bare = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(call, env=os.environ | bare, capture_output=True, text=True)
    assert done.returncode != 0
    assert "gentool is not on the PATH" in done.stderr


def test_the_command_imports_no_torch(tmp_path):
    code = (
        "import sys; from gentool.cli.main import run; "
        f"run(['examples', {str(tmp_path)!r}, '--quiet']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
