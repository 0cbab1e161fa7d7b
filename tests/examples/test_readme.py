"""The pages are true: commands run, tables are made from the code, links resolve."""

import ast
import json
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import typer
from helpers.page_tables import SUFFIXES, filled
from helpers.pages import (
    PAGES,
    README,
    ROOT,
    anchors,
    blocks,
    commands,
    name_of,
    room,
    section,
)

from gentool.claims import CLAIMS
from gentool.cli.main import app, run
from gentool.measures import MEASURES
from gentool.sharpness.definitions import OVER_M, definitions

ROOMS = [page for page in PAGES if page.parts[-3] == "gentool"]
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=name_of)
NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"


@pytest.fixture
def _no_network(tmp_path, monkeypatch):
    """Work in an empty folder, with a data folder of its own and no network."""

    def refused(*_, **__):
        raise OSError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENTOOL_DATA", str(tmp_path / "data"))


def outcome(words, capsys):
    """Run a command with its wildcards expanded; hold that only a download may stop it."""
    words = [str(file) for word in words for file in (Path().glob(word) if "*" in word else [word])]
    code, error = run(words), capsys.readouterr().err
    if "cifar10" in words:
        assert code == 1, error
        assert "CIFAR10 is not in" in error
    else:
        assert code == 0, (words, error)


# README.md


def test_the_readme_is_short():
    """150 lines, and 1,000 words beside the tables."""
    assert len(README.splitlines()) <= 150
    assert (
        len([word for line in README.splitlines() if line[:1] != "|" for word in line.split()])
        < 1000
    )


def test_the_scripts_of_the_two_first_commands_exist():
    for script in ("examples/quickstart.sh", "tests/run.sh"):
        assert f"sh {script}\n" in README
        subprocess.run(["sh", "-n", ROOT / script], check=True)


def shell(script, folder):
    """Run a script in a folder where `gentool` and `python` are those of the test."""
    tools = folder / ".venv" / "bin"
    tools.mkdir(parents=True, exist_ok=True)
    (tools / "activate").touch()
    for name, words in (("python", ""), ("gentool", " -m gentool")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{words} "$@"\n')
        (tools / name).chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        ["sh", "-eu"], input=script, cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def is_shown(line, output):
    """Find a line of the page in an output: the same words, numbers within a fifth.

    Training on random labels takes some hundred epochs, and is rounded otherwise on other machines.
    """
    words, numbers = normal(line)
    return any(
        other == words and np.allclose(values, numbers, rtol=0.2)
        for other, values in map(normal, output.splitlines())
    )


def normal(line):
    """Return the words of a line with # for each number, and the numbers."""
    line = " ".join(line.split())
    return re.sub(NUMBER, "#", line), [float(number) for number in re.findall(NUMBER, line)]


def hold_shown(title, output):
    """Hold that all that a section of the page shows is in an output."""
    for shown in blocks(section(README, title), "text"):
        for line in shown.splitlines():
            assert is_shown(line, output), (line, output)


@pytest.mark.slow
def test_the_quickstart_prints_what_the_readme_shows_and_draws_its_picture(tmp_path):
    """A minute: continuous integration runs it, in the environment that the script makes."""
    script = ROOT / "examples" / "quickstart.sh"
    subprocess.run(["sh", "-eu", "-c", ". examples/environment.sh"], cwd=ROOT, check=True)
    done = subprocess.run(["sh", script, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len((done.stdout + done.stderr).splitlines()) <= 40  # one screen
    hold_shown("Install, and a first picture", done.stdout + done.stderr)
    assert (tmp_path / "quickstart.png").stat().st_size > 10_000


@pytest.mark.parametrize("title", ["A tour on digits", "I have checkpoints of my own"])
def test_the_readme_pasted_into_a_shell_prints_what_it_shows(title, tmp_path):
    """As written, in an empty folder, one block after the other."""
    if title != "A tour on digits":
        train = "gentool train --data digits --model mlp --subset 50,100 --lr 0.1 -o tour"
        shell(f"{train}\ngentool measure tour\n", tmp_path)
    [script] = blocks(section(README, title), "sh")
    hold_shown(title, shell(script, tmp_path))


def test_every_command_stands_in_the_table():
    for command in app.registered_commands:
        if not command.hidden:  # an earlier name of another command
            name = command.name or command.callback.__name__
            assert f"`gentool {name}`" in section(README, "The commands")


# The pages of the rooms


@pytest.mark.usefixtures("_no_network")
def test_the_commands_of_the_pages_run_one_after_the_other(tmp_path, capsys):
    """As written: train, draw, measure, search, tabulate, judge. Nothing else makes their files."""
    for name in (
        "training",
        "data",
        "cli",
        "measures",
        "sharpness",
        "figures",
        "records",
        "claims",
    ):
        for code in blocks(room(name), "python") if name in ("data", "records") else ():
            subprocess.run([sys.executable, "-c", code], check=True)
        for words in commands(room(name)):
            outcome(words, capsys)
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.usefixtures("_no_network")
def test_the_commands_on_a_foreign_checkpoint_run(capsys):
    """On a thin VGG-16 of torchvision's; the command that needs CIFAR-10 stops at the download."""
    import torch
    from torch import nn
    from torchvision.models import vgg

    plan = [c if c == "M" else c // 16 for c in vgg.cfgs["D"]]
    model = vgg.VGG(vgg.make_layers(plan))
    model.classifier = nn.Sequential(
        nn.Linear(32 * 49, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 1000)
    )
    torch.save(model.state_dict(), "vgg16.pth")
    assert len(commands(room("checkpoints"))) == 4
    for words in commands(room("checkpoints")):
        outcome(words, capsys)


@pytest.mark.parametrize("page", ROOMS, ids=name_of)
def test_a_page_begins_with_the_command_that_most_readers_came_for(page):
    """A title, and then the command."""
    assert re.match(r"# .*\n\n```sh\ngentool ", page.read_text("utf-8"))


@EVERY_PAGE
def test_no_line_of_python_is_wrong_grammar(page):
    for code in blocks(page.read_text("utf-8"), "python"):
        ast.parse(code)


@pytest.mark.parametrize("text", [README, room("measures")], ids=["README.md", "measures"])
def test_the_python_examples_run(text, tmp_path):
    """They write no file. Other blocks are run with their page, or in tests of their own."""
    [code] = [block for block in blocks(text, "python") if block.startswith("import gentool")]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


@EVERY_PAGE
def test_every_command_of_a_page_is_understood(page):
    """Its options exist, also where the command is not run here."""
    group = typer.main.get_command(app)
    for command, *words in commands(page.read_text("utf-8")):
        if command != "--help":
            parameters = group.commands[command].params
            names = {name for p in parameters for name in (*p.opts, *p.secondary_opts)}
            for word in words:
                assert word[:1] != "-" or word.split("=")[0] in names, (command, word)


# What is made from the code


@pytest.mark.parametrize("page", ROOMS, ids=name_of)
def test_the_tables_of_a_page_are_those_of_the_code(page):
    """`PYTHONPATH=. python tests/helpers/page_tables.py` writes them."""
    assert filled(page.read_text("utf-8")) == page.read_text("utf-8")


def test_every_measure_and_every_claim_has_its_row():
    """Those that differ by a suffix are explained by it."""
    for measure in MEASURES:
        suffix = next((end for end in SUFFIXES if measure.name.endswith(end)), None)
        assert f"| `{suffix or measure.name}` |" in room("measures")
    for definition in definitions():
        is_divided = definition.name.endswith(OVER_M)
        row = f"- `{OVER_M}` is" if is_divided else f"| `{definition.name}` |"
        assert row in room("sharpness")
    for claim in CLAIMS:
        assert f"| {claim.id} | {claim.statement} |" in room("claims")


def test_every_field_of_a_measure_file_is_described():
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    fields = section(room("records"), "Measure files")
    for name in (*schema["required"], *schema["properties"]["layers"]["items"]["required"]):
        assert f"`{name}`" in fields, name


@EVERY_PAGE
def test_no_link_of_a_page_is_broken(page):
    """The files exist, and so do the headings after a #."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text("utf-8")), target
