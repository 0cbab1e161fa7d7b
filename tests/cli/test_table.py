"""Test `gentool table`: rows on stdout, files, exit codes, no torch, and time."""

import csv
import io
import json
import subprocess
import sys
import time

import pytest
from helpers.claim_records import network
from helpers.records import whole

from gentool.cli.main import run
from gentool.records.measure_file import write


@pytest.fixture
def folder(tmp_path):
    """Four measure files and two of sharpness: two labels, two seeds."""
    records = tmp_path / "records"
    records.mkdir()
    for labels in ("true", "random"):
        for seed in (0, 1):
            record = network(labels=labels, seed=seed, l2=float(seed), test_error=0.5)
            write(records / f"{labels}{seed}.measures.json", whole(record))
        searched = network(labels=labels, seed=0, sharpness=0.25)
        write(records / f"{labels}0.sharpness.json", whole(searched))
    return records


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_table_is_on_stdout_and_its_explanations_on_stderr(folder, capsys, monkeypatch):
    """A line a network under the heads; each column is explained once."""
    monkeypatch.setenv("COLUMNS", "100")
    assert run(["table", str(folder)]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[1].split()[:2] == ["labels", "seed"]
    assert [line.split()[:2] for line in lines[3:]] == [
        ["random", "0"],
        ["random", "1"],
        ["true", "0"],
        ["true", "1"],
    ]
    for words in ("test error less training error", "γ⁻² ∏ᵢ ‖Wᵢ‖_F²"):
        assert captured.err.count(words) == 1
    assert "sharpness not measured in 2 of 4 rows" in captured.err


@pytest.mark.parametrize("width", [40, 80, 140])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(
    folder, capsys, monkeypatch, width
):
    """A table that is too wide is cut into parts, each with the columns that name the rows."""
    monkeypatch.setenv("COLUMNS", str(width))
    assert run(["table", str(folder), "--columns", "recipe.labels,recipe.seed,gap,measures"]) == 0
    captured = capsys.readouterr()
    assert max(map(len, captured.out.splitlines())) <= width
    assert len([line for line in captured.out.splitlines() if line.startswith("random  1")]) >= 1
    tables = [line for line in captured.err.splitlines() if not line.startswith("gentool: ")]
    assert max(map(len, tables)) <= width
    assert "0.25" in captured.out


def test_a_pipe_gets_whole_lines(folder, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert run(["table", str(folder), "-q", "--columns", "all"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    names = "modelvgg-datacifar10-labels"
    assert [names in row for row in captured.out.splitlines()[-5:]] == [False] + [True] * 4


@pytest.mark.parametrize("ending", ["csv", "md", "tex", "jsonl", "parquet"])
def test_a_file_is_written_and_its_path_printed(folder, tmp_path, capsys, ending):
    path = str(tmp_path / f"table.{ending}")
    assert run(["table", str(folder), "-o", path, "-q"]) == 0
    assert capsys.readouterr() == (f"{path}\n", "")
    assert run(["table", str(folder), "-o", path]) == 1
    assert "exists; replace it with --force" in capsys.readouterr().err
    assert run(["table", str(folder), "-o", path, "-q", "--skip-existing"]) == 0
    assert capsys.readouterr().out == f"{path}\n"


def test_columns_conditions_and_order_may_be_repeated_or_listed(folder, capsys):
    """`--where` twice means both; commas are alternatives."""
    options = ["--columns", "recipe.labels,l2", "--columns", "gap", "--format", "csv"]
    where = ["--where", "recipe.labels=true,random", "--where", "l2>5"]
    assert run(["table", str(folder), *options, *where, "--sort", "-recipe.labels"]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [row["recipe.labels"] for row in rows] == ["true", "random"]
    assert [float(row["l2"]) for row in rows] == [10.0, 10.0]
    assert list(rows[0]) == ["recipe.labels", "l2", "gap"]


def test_groups_are_averaged(folder, capsys):
    assert run(["table", str(folder), "--group-by", "recipe.labels", "--format", "csv"]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [row["n"] for row in rows] == ["2", "2"]
    assert [float(row["l2_mean"]) for row in rows] == [5.5, 5.5]
    assert [row["sharpness_n"] for row in rows] == ["1", "1"]


def test_json_lines_go_in_and_out(folder, tmp_path, capsys):
    """`-o -` prints JSON Lines of rows; records as JSON Lines are taken, from stdin too."""
    assert run(["table", str(folder), "-o", "-", "-q"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["recipe.seed"] for row in rows] == [0, 1, 0, 1]
    assert "sharpness" not in rows[1]
    lines = "\n".join(json.dumps(json.loads(path.read_text())) for path in sorted(folder.iterdir()))
    command = [sys.executable, "-m", "gentool", "table", "-", "-q", "-o", "-"]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, cwd=tmp_path)
    assert [json.loads(line) for line in done.stdout.splitlines()] == rows


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_shown(folder, capsys):
    (folder / "broken.json").write_text("{")
    assert run(["table", str(folder), "--format", "csv", "-q"]) == 1
    captured = capsys.readouterr()
    assert len(rows_of(captured.out)) == 4
    assert "broken.json is not JSON" in captured.err
    assert "1 of 7 files cannot be read" in captured.err


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        (["--columns", "l3"], "unknown key 'l3' (did you mean 'l2'?)", 2),
        (["--where", "recipe.labels"], "write KEY=VALUE", 2),
        (["--where", "recipe.labels=0.3"], "its values are random, true", 1),
        (["--columns", "l2,,gap"], "values with commas between them", 2),
        (["-o", "a.xlsx"], "a table is written as .csv", 2),
        (["-o", "a.csv", "--digits", "3"], "--digits has no meaning for .csv", 2),
    ],
)
def test_a_wrong_option_is_an_error_of_one_line(folder, capsys, options, words, code):
    assert run(["table", str(folder), *options]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1


def test_control_characters_of_names_are_shown_escaped(folder, capsys):
    r"""As \x1b[2J, which would clear the screen. Files for programs keep them."""
    record = network(labels="true", seed=5, l2=1.0)
    record["checkpoint"]["file"] = "evil\x1b[2J\n\u202e.pt"
    write(folder / "evil.measures.json", whole(record))
    columns = ["--columns", "checkpoint.file,l2"]
    assert run(["table", str(folder), *columns]) == 0
    shown = capsys.readouterr()
    assert r"evil\x1b[2J\n\u202e.pt" in shown.out
    assert "\x1b" not in shown.out + shown.err
    assert run(["table", str(folder), *columns, "--format", "csv", "-q"]) == 0
    files = [row["checkpoint.file"] for row in rows_of(capsys.readouterr().out)]
    assert "evil\x1b[2J\n\u202e.pt" in files


def test_list_prints_the_keys_with_their_meaning(folder, capsys):
    assert run(["table", str(folder), "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"l2", "gap", "recipe.subset", "log10.l2"} <= {line.split()[0] for line in lines}
    assert any(line.startswith("gap ") and "test error less" in line for line in lines)


def test_table_does_not_import_torch(folder):
    """Nor NumPy, Matplotlib, pandas."""
    code = (
        "import sys; from gentool.cli.main import run; code = run(sys.argv[1:]); "
        "sys.exit(code or bool({'torch', 'numpy', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "table", str(folder)]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_table_of_1000_records_takes_little_longer_than_reading_their_json(tmp_path, capsys):
    """On any machine: at most ten times json.loads of the same files, in the same process.

    Two seconds are twenty times that on two slow cores.
    """
    for seed in range(1000):
        record = network(seed=seed, **{f"measure{i}": float(i) for i in range(55)}, l2=1.0)
        histogram = {"edges": [0.1 * i for i in range(300)], "counts": [1] * 299}
        record["margin"] = {"histogram": histogram}
        record["outcome"]["history"] = {"loss": [0.1 * i for i in range(300)]}
        (tmp_path / f"{seed}.measures.json").write_text(json.dumps(whole(record), indent=1))

    def seconds(work):
        times = []
        for _ in range(3):  # the shortest is the one that other programs disturb least
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
        return min(times)

    reading = seconds(lambda: [json.loads(path.read_text()) for path in tmp_path.iterdir()])
    making = seconds(lambda: run(["table", str(tmp_path), "-q"]))
    assert len(capsys.readouterr().out.splitlines()) > 1000
    assert making < 10 * reading
