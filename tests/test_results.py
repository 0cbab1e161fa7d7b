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


def report(capsys, *patterns):
    """What `gentool claims` says of the files that fit some patterns."""
    files = [str(path) for pattern in patterns for path in sorted(RESULTS.glob(pattern))]
    assert run(["claims", *files, "-o", "-", "--quiet"]) == 0
    return json.loads(capsys.readouterr().out)


def judged(capsys, *patterns):
    """The claims about some files, as rows of the page's table."""
    claims = report(capsys, *patterns)["claims"]
    return [[c["claim"], c["key"] or "", c["verdict"], c["numbers"]] for c in claims]


def cells(text):
    """The rows of a table, but its first."""
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def section(title):
    """The text below a heading."""
    return re.split(r"\n#+ ", PAGE.split(f"# {title}\n", 1)[1], maxsplit=1)[0]


def rows(title):
    """The first four cells of each row of the tables below a heading."""
    return [row[:4] for row in cells(section(title))]


def test_the_page_gives_the_verdicts_that_the_files_give(capsys):
    """Every claim of the paper, in the order of the command, with the numbers that decide it."""
    found = judged(capsys, "vgg/*.json", "seeds/*.json", "mlp/*.json")
    assert rows("Which claims hold") == found


RUNS = (
    *("vgg/*.json", "vgg-again/*.json", "seeds/*seed1*.json", "seeds/*seed2*.json"),
    *("default/*.json", "default-again/*.json", "default-seed1/*.json"),
    *("batch64/*.json", "batch64-again/*.json"),
)


def test_the_page_gives_the_verdicts_of_each_run(capsys):
    """A column for each, a row for each claim about VGGs."""
    words = {"holds": "holds", "fails": "**fails**", "cannot be told": "?", "cannot be judged": "-"}
    runs = [
        {(claim, key): words[verdict] for claim, key, verdict, _ in judged(capsys, pattern)}
        for pattern in RUNS
    ]
    names = [name for name in runs[0] if not name[0].startswith("5")]
    expected = [[*name, *(run.get(name, "-") for run in runs)] for name in names]
    table = section("How much a run tells, and a rate").split("\nThe gap, ", 1)[0]
    assert cells(table) == expected


def log10_of(folder, labels, size, seed):
    name = f"vgg-width0.25-cifar10-jpeg-{labels}-{size}-seed{seed}.measures.json"
    return json.loads((RESULTS / folder / name).read_text("utf-8"))["log10"]


def test_the_page_gives_the_gaps_of_all_runs():
    """From the lowest to the highest, log10 with random less log10 with true labels."""
    runs = {
        "0.06": [("vgg", 0), ("vgg-again", 0), ("seeds", 1), ("seeds", 2)],
        "0.04": [("default", 0), ("default-again", 0), ("default-seed1", 1)],
        "before": [("batch64", 0), ("batch64-again", 0)],
    }
    table = section("How much a run tells, and a rate").split("\nThe gap, ", 1)[1]
    for size, rate, count, *ranges in cells(table):
        n = int(size.replace(",", ""))
        assert int(count) == len(runs[rate])
        for key, text in zip(("l2", "l1_path", "l2_path", "spectral"), ranges, strict=True):
            gaps = [
                log10_of(folder, "random", n, seed)[key] - log10_of(folder, "true", n, seed)[key]
                for folder, seed in runs[rate]
            ]
            assert text == f"{min(gaps):.2f} to {max(gaps):.2f}"


def test_the_page_gives_kendalls_tau(capsys):
    """Of the measures in its table, with interval, granulated coefficient and counts."""
    found = report(capsys, "vgg/*.json", "seeds/*.json", "mlp/*.json")["kendall"]
    taus = {f"`{one['measure']}`": one for one in found}
    for name, tau, interval, granulated, *counts in cells(
        section("Kendall's tau with the generalization gap")
    ):
        one = taus[name]
        assert tau == f"{one['tau']:.2f}"
        assert interval == "{:.2f} to {:.2f}".format(*one["interval"])
        assert granulated == f"{one['granulated']:.2f}"
        assert counts == [str(one["networks"]), str(one["pairs"])]


def test_the_page_gives_those_at_the_papers_scale_too(capsys):
    """All that its VGGs of full width can be judged by, in the first table of the section."""
    found = [row for row in judged(capsys, "paper/*.json") if row[2] != "cannot be judged"]
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
