"""Test `gentool claims`: tables on stderr, JSON, exit codes, no torch."""

import json
import subprocess
import sys

import pytest
from helpers.claim_records import labelled
from helpers.records import whole

from gentool.cli.main import run
from gentool.records.measure_file import write


@pytest.fixture
def files(tmp_path):
    """Six measure files; claim 1a fails for l2 at one of three sizes."""
    paths = []
    for i, record in enumerate(labelled([1, 2, 3], [2, 1, 4])):
        record["outcome"]["test_error"] = i / 10
        write(path := tmp_path / f"{i}.measures.json", whole(record))
        paths.append(str(path))
    return paths


def test_the_tables_go_to_stderr_and_fit_80_columns(files, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["claims", *files]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2 of 3 sizes larger" in captured.err
    assert "Kendall's τ with the" in captured.err
    tables = [line for line in captured.err.splitlines() if not line.startswith("gentool: ")]
    assert max(map(len, tables)) <= 80


def test_claims_that_cannot_be_judged_are_one_line_for_each_reason(files, capsys, monkeypatch):
    """Not rows that repeat a sentence; the measures of a claim stand behind it."""
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["claims", *files]) == 0
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if "cannot be judged" in line]
    assert len({line.rpartition(": ")[2] for line in lines}) == len(lines)
    [hidden] = [line for line in lines if "hidden units" in line]
    assert "5a, 5b, 5c" in hidden
    assert error.count("numbers of hidden units (--hidden)") == 1


def test_measures_without_a_tau_are_counted_and_those_of_equal_ranks_are_one_row(tmp_path, capsys):
    """l2_bound is a multiple of l2; of many measures that never vary four are named."""
    paths = []
    same = {f"constant_{letter}": 1 for letter in "abcdefgh"}
    for i, record in enumerate(labelled([1, 2, 3], [2, 1, 4], **same)):
        record["outcome"]["test_error"] = i / 10
        for part, added in (("measures", 10.0), ("log10", 1.0)):
            value = record[part]["l2"]
            record[part]["l2_bound"] = value * added if part == "measures" else value + added
        write(path := tmp_path / f"{i}.measures.json", whole(record))
        paths.append(str(path))
    assert run(["claims", *paths]) == 0
    error = capsys.readouterr().err
    assert "l2 +1" in error
    assert "l2_bound" not in error
    [note] = [line for line in error.splitlines() if "no tau of" in line]
    assert "constant_a, constant_b, constant_c, constant_d and 4 more: the measure is the" in note


def test_output_dash_prints_json_on_stdout(files, capsys):
    assert run(["claims", *files, "-o", "-", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    report = json.loads(captured.out, parse_constant=pytest.fail)
    [row] = [row for row in report["claims"] if (row["claim"], row["key"]) == ("1a", "l2")]
    assert (row["verdict"], row["numbers"]) == ("fails", "2 of 3 sizes larger")
    assert report["command"]["bootstrap"] == 1000
    assert [row["measure"] for row in report["kendall"]] == ["l2"]


def test_an_existing_output_is_replaced_kept_or_an_error(files, tmp_path, capsys):
    """Its path is on stdout. Replaced with --force, kept with --skip-existing."""
    out = str(tmp_path / "claims.json")
    assert run(["claims", *files, "-o", out, "--quiet"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert run(["claims", *files, "-o", out]) == 1
    assert "exists; replace it with --force" in capsys.readouterr().err
    for option in ("--force", "--skip-existing"):
        assert run(["claims", *files, "-o", out, "-q", option]) == 0
        assert capsys.readouterr().out == f"{out}\n"


def test_must_hold_exits_with_1_if_a_claim_fails(files, capsys):
    assert run(["claims", *files, "--quiet", "--must-hold"]) == 1
    assert "claims fail: 1a (l2)" in capsys.readouterr().err


def test_must_hold_and_skip_existing_exclude_each_other(files, tmp_path, capsys):
    options = ["-o", str(tmp_path / "a.json"), "--must-hold", "--skip-existing"]
    assert run(["claims", *files, *options]) == 2
    assert "exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"), [("{", "is not JSON"), ('{"a": 1}', "is not a measure file")]
)
def test_a_file_that_is_not_a_record_is_an_error_of_one_line(tmp_path, capsys, content, words):
    (tmp_path / "a.json").write_text(content)
    assert run(["claims", str(tmp_path / "a.json")]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_one_file_twice_and_the_other_files_of_a_checkpoint_are_merged(files, capsys):
    assert run(["claims", *files, *files, "-o", "-", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["networks"] == 6


def test_an_unknown_measure_exits_with_2(files, capsys):
    assert run(["claims", *files, "--measure", "l3"]) == 2
    assert "unknown measure 'l3' (did you mean 'l2'?)" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_intervals(files, capsys):
    outputs = []
    for seed in (1, 1, 2):
        run(["claims", *files, "-o", "-", "--quiet", "--seed", str(seed), "--bootstrap", "50"])
        outputs.append(json.loads(capsys.readouterr().out)["kendall"])
    assert outputs[0] == outputs[1] != outputs[2]


def test_claims_does_not_import_torch(files):
    code = (
        "import sys; from gentool.cli.main import run; code = run(sys.argv[1:]); "
        "sys.exit(code or bool({'torch', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, "claims", *files], capture_output=True)
    assert done.returncode == 0, done.stderr
