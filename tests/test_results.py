"""examples/results: its measure files are whole, its page says what they say."""

import json
import re
from importlib import resources
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gentool.cli import run

RESULTS = Path(__file__).parent.parent / "examples" / "results"
PAGE = (RESULTS / "README.md").read_text("utf-8")
FILES = sorted(RESULTS.glob("*/*.json"))


def judged(capsys, *folders):
    """The claims about the files of some folders, as rows of the page's table."""
    files = [str(path) for name in folders for path in sorted((RESULTS / name).glob("*.json"))]
    assert run(["claims", *files, "-o", "-", "--quiet"]) == 0
    claims = json.loads(capsys.readouterr().out)["claims"]
    return [[c["claim"], c["key"] or "", c["verdict"], c["numbers"]] for c in claims]


def rows(title):
    """The first four cells of each row of the table below a heading."""
    text = re.split(r"\n#+ ", PAGE.split(f"# {title}\n", 1)[1], maxsplit=1)[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")][:4] for line in lines]


def test_the_page_gives_the_verdicts_that_the_files_give(capsys):
    """Every claim of the paper, in the order of the command, with the numbers that decide it."""
    assert rows("Which claims hold") == judged(capsys, "vgg", "mlp")


def test_the_page_gives_those_of_the_second_run_too(capsys):
    """All that its VGGs can be judged by."""
    found = [row for row in judged(capsys, "again") if row[2] != "cannot be judged"]
    assert rows("The same commands once more") == found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_measure_file_fits_the_schema_and_names_no_place(path):
    """No path of the machine that made it: data folders are named, not located."""
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    text = path.read_text("utf-8")
    Draft202012Validator(schema).validate(json.loads(text))
    assert '"/' not in text
    assert "folder:/" not in text


def test_the_figures_are_there():
    for number in (1, 2, 3, 4):
        assert f"figure{number}.png" in PAGE
        assert (RESULTS / f"figure{number}.png").stat().st_size > 50_000
