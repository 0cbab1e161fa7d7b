"""Files of one record or several: JSON Lines, records in a row, the standard input."""

import io
import json
import sys
from pathlib import Path

import pytest
from helpers.records import record

from gentool.cli.main import run
from gentool.common.errors import GentoolError
from gentool.records import frame
from gentool.records.reading import read_each, read_records

RECORDS = [record(sha256=letter * 64, l2=float(i)) for i, letter in enumerate("abc", 1)]
LINES = [json.dumps(each) for each in RECORDS]
WHOLE = [json.dumps(each, indent=1) for each in RECORDS]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(LINES),
        "\n\n".join(LINES) + "\n\n",
        "\r\n".join(LINES),
        "\n".join(WHOLE),
        "".join(WHOLE),
        " ".join(LINES),
        "\ufeff" + "\n".join(LINES),
    ],
    ids=["lines", "blank lines", "CRLF", "cat", "no space between", "one line", "mark"],
)
def test_all_records_of_a_file_are_read_in_their_order(tmp_path, text):
    (tmp_path / "all.jsonl").write_text(text, encoding="utf-8", newline="")
    assert read_records(tmp_path / "all.jsonl") == RECORDS


@pytest.mark.parametrize(
    ("damaged", "words"),
    [(LINES[1][:-9], "line 2 is not JSON"), ('{"epoch": 1}', "line 2 is not a measure file")],
)
def test_a_line_that_cannot_be_read_does_not_end_the_others(tmp_path, damaged, words):
    """Its number is said; without `report` it is an error."""
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join([LINES[0], damaged, LINES[2]]))
    reports = []
    assert read_records(path, reports.append) == [RECORDS[0], RECORDS[2]]
    [report] = reports
    assert words in report
    with pytest.raises(GentoolError, match=words):
        read_records(path)


def test_the_first_line_may_be_the_damaged_one(tmp_path):
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join(["{", *LINES]))
    assert read_records(path, lambda _: None) == RECORDS


def test_a_log_of_a_training_is_one_error_and_not_one_a_line(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"epoch": 1, "loss": 2.3}\n' * 50)
    (tmp_path / "a.json").write_text(WHOLE[0])
    reports = []
    assert read_each([log, tmp_path / "a.json"], reports.append) == [RECORDS[0]]
    assert len(reports) == 1


def test_a_checkpoint_is_called_one(saved):
    with pytest.raises(GentoolError, match=r"mlp.safetensors is a checkpoint, not a measure file"):
        read_records(saved)


def test_the_standard_input_is_read_as_a_file(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(LINES).encode())))
    assert read_records(Path("-")) == RECORDS


def test_what_measure_prints_is_taken_by_plot_and_claims(saved, capsys, tmp_path):
    """`measure -o - > all.jsonl`, as a file, in a folder."""
    assert run(["measure", str(saved), "-o", "-", "--quiet"]) == 0
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "all.jsonl").write_text(capsys.readouterr().out)
    for source in (folder, folder / "all.jsonl"):
        assert run(["claims", str(source), "-o", "-", "--quiet"]) == 0
        assert json.loads(capsys.readouterr().out)["networks"] == 1
        figure = str(tmp_path / "figure.png")
        keys = ["--x", "recipe.subset", "--y", "l2", "-o", figure, "--force", "-q"]
        assert run(["plot", str(source), *keys]) == 0
        capsys.readouterr()


OTHER_OUTPUTS = {
    "claims.json": '{"command": {"name": "claims"}, "networks": 1, "claims": [], "kendall": []}',
    "log.jsonl": '{"command": "train", "network": "a", "file": "a", "time": "T", "epoch": 1}\n' * 3,
    "table.jsonl": '{"recipe.labels": "true", "n": 3, "l2_mean": 1.5}\n',
    "measures.jsonl": '{"l2": 1.5}\n{"l2": 2.5}\n',
    "layers.json": '{"input_shape": [1, 8, 8], "layers": [{"type": "flatten"}]}',
    "a.inspect.json": '{"format": 1, "command": {"name": "inspect"}, "checkpoint": {}}',
}


@pytest.fixture
def results(tmp_path):
    """A folder with one record and each other output of gentool."""
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "z.json").write_text(WHOLE[0])
    for name, text in OTHER_OUTPUTS.items():
        (folder / name).write_text(text)
    return folder


def test_other_outputs_of_gentool_in_a_folder_are_passed_over(results, capsys, tmp_path):
    for command in ("claims", "table", "plot"):
        keys = ["--x", "checkpoint.file", "--y", "l2", "-o", str(tmp_path / "figure.png")]
        assert run([command, str(results), *(keys if command == "plot" else [])]) == 0
        assert not [name for name in OTHER_OUTPUTS if name in capsys.readouterr().err]
    assert frame(results, "l2").to_dict("list") == {"l2": [1.0]}


@pytest.mark.parametrize("name", OTHER_OUTPUTS)
def test_another_output_that_is_named_is_an_error_that_says_what_it_is(results, name, capsys):
    assert run(["table", str(results / name), str(results / "z.json")]) == 1
    first, *_ = capsys.readouterr().err.splitlines()
    assert name in first
    assert "not a measure file" in first


def test_a_file_of_a_folder_that_is_not_known_is_left_out_with_a_word(results, capsys):
    """So is one that holds a damaged record beside the lines of a log."""
    (results / "foreign.json").write_text('{"accuracy": 0.5}')
    (results / "mixed.jsonl").write_text(OTHER_OUTPUTS["log.jsonl"] + LINES[1][:-9])
    assert run(["table", str(results), "--quiet"]) == 1
    errors = capsys.readouterr().err
    assert "foreign.json is not a measure file" in errors
    assert "mixed.jsonl, line 4 is not JSON" in errors
    assert "2 of 3 files cannot be read" in errors


def test_a_folder_of_other_outputs_alone_is_an_error(results, capsys):
    (results / "z.json").unlink()
    assert run(["claims", str(results)]) == 1
    assert "no measure file is among the 6 files of the folder" in capsys.readouterr().err


def test_verdicts_name_the_files_that_hold_records(results, capsys):
    assert run(["claims", str(results), "-o", "-", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["z.json"]
