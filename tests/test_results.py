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


def test_the_page_gives_those_at_the_papers_scale_too(capsys):
    """All that its VGGs of full width can be judged by, in the first table of the section."""
    found = [row for row in judged(capsys, "paper") if row[2] != "cannot be judged"]
    assert rows("At the paper's scale, on a GPU")[: len(found)] == found


def test_the_gaps_at_the_papers_scale_are_those_of_the_files():
    """Epochs, and log10 with random less log10 with true labels, at each size."""
    keys = ("l2", "l1_path", "l2_path", "spectral")
    keys += ("spectral_complexity_distance", "distance_frobenius")
    table = PAGE.split("At the paper's scale, on a GPU", 1)[1].split("| images | epochs", 1)[1]
    for line in table.splitlines()[2:8]:
        size, epochs, *gaps = [cell.strip() for cell in line.strip("|").split("|")]
        records = [
            json.loads(
                (
                    RESULTS / f"paper/vgg-width1.0-cifar10-jpeg-{labels}-{size.replace(',', '')}"
                    "-seed0.measures.json"
                ).read_text("utf-8")
            )
            for labels in ("true", "random")
        ]
        true, random = records
        assert epochs == ", ".join(str(record["outcome"]["epochs"]) for record in records)
        assert gaps == [f"{random['log10'][key] - true['log10'][key]:.2f}" for key in keys]
        for record in records:
            assert record["outcome"]["train_error"] == 0
            assert record["outcome"]["stop_rule_met"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_measure_file_fits_the_schema_and_names_no_place(path):
    """No path of the machine that made it: data folders are named, not located."""
    schema = json.loads(resources.files("gentool").joinpath("measures.schema.json").read_text())
    text = path.read_text("utf-8")
    Draft202012Validator(schema).validate(json.loads(text))
    assert '"/' not in text
    assert "folder:/" not in text


def test_the_figures_are_there():
    for name in ("figure1", "figure2", "figure3", "figure4", "figure1-paper", "figure3-paper"):
        assert f"({name}.png)" in PAGE
        assert (RESULTS / f"{name}.png").stat().st_size > 50_000
