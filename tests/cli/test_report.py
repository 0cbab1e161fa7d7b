"""Test `gentool report`: a page from files and folders, exit codes, one line of errors."""

import pytest
from helpers.claim_records import network
from helpers.records import whole

from gentool.cli.main import run
from gentool.records.measure_file import write


@pytest.fixture
def folder(tmp_path):
    """Two measure files and a log, in a folder."""
    records = tmp_path / "records"
    records.mkdir()
    for seed in (0, 1):
        write(records / f"{seed}.measures.json", whole(network(seed=seed, l2=float(seed))))
    (records / "log.jsonl").write_text(
        '{"command": "train", "network": "a", "file": "a", "time": "T", "epoch": 1}\n'
    )
    return records


def test_a_page_is_written_and_its_path_printed(folder, tmp_path, capsys):
    output = tmp_path / "report.html"
    assert run(["report", str(folder), "-o", str(output)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{output}\n"
    assert captured.err == ""
    first = output.read_bytes()
    assert first.startswith(b"<!DOCTYPE html>")
    assert run(["report", str(folder), "-o", str(output), "--force"]) == 0
    assert output.read_bytes() == first


def test_the_page_may_go_to_stdout_with_a_title_and_chosen_networks(folder, capfdbinary):
    arguments = ["--title", "A & B", "--where", "recipe.seed=1", "--columns", "recipe.seed,l2"]
    assert run(["report", str(folder), *arguments, "-o", "-"]) == 0
    page = capfdbinary.readouterr().out
    assert b"<title>A &amp; B</title>" in page
    assert b"Networks with recipe.seed=1." in page


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-o", "report.pdf"], 2, "its name ends in .html"),
        (["--columns", "l3"], 2, "unknown key 'l3'"),
        (["--sort", "l3"], 2, "unknown key 'l3'"),
        (["--where", "recipe.seed=7"], 1, "no network has recipe.seed=7"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    folder, tmp_path, monkeypatch, capsys, arguments, code, words
):
    monkeypatch.chdir(tmp_path)
    assert run(["report", str(folder), *arguments]) == code
    [line] = capsys.readouterr().err.splitlines()
    assert words in line
    assert not list(tmp_path.glob("*.html"))


def test_a_file_that_cannot_be_read_is_left_out_with_a_word_and_exit_1(folder, tmp_path, capsys):
    (folder / "damaged.json").write_text("{")
    assert run(["report", str(folder), "-o", str(tmp_path / "report.html")]) == 1
    assert "damaged.json is not JSON" in capsys.readouterr().err
    assert (tmp_path / "report.html").exists()
