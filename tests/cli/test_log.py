"""`--log` has one object an epoch or step, whatever trains and however often it is interrupted."""

import ast
import json
import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from gentool.cli.main import run

PAGE = Path(__file__).parents[2] / "gentool" / "training" / "README.md"
TRAIN = ["train", "--model", "mlp", "--data", "digits", "--subset", "50", "-q"]
LONG = [*TRAIN, "--epochs", "20", "--stop-loss", "1e-30", "--patience", "0", "--log", "log.jsonl"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def log():
    return [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]


def test_training_logs_each_epoch_with_loss_error_rate_and_time(capsys):
    assert run([*LONG, "--hidden", "8", "-o", "a.safetensors"]) == 0
    from gentool.checkpoints import checkpoint

    history = checkpoint.read(Path("a.safetensors")).outcome.history
    entries = log()
    assert [entry["epoch"] for entry in entries] == history["epoch"] == list(range(1, 21))
    assert [entry["loss"] for entry in entries] == history["loss"]
    assert [entry["error"] for entry in entries] == history["error"]
    assert {entry["lr"] for entry in entries} == {0.01}
    assert all(entry["seconds"] > 0 and entry["network"] == "a" for entry in entries)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_grid_logs_each_epoch_once(jobs, monkeypatch):
    """Also where its networks are trained by several processes."""
    grid = [*LONG, "--hidden", "8,9", "--seed", "0,1", "--jobs", jobs, "-o", "grid"]
    if jobs == "1":
        import gentool.training.stacked_mlps as module

        function, calls = module.losses_and_errors, []

        def stopped(*arguments, **options):
            calls.append(1)
            if len(calls) == 25:
                os.kill(os.getpid(), signal.SIGTERM)
            return function(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(module, "losses_and_errors", stopped)
            assert run(grid) == 143
        assert 20 < len(log()) < 80
    assert run(grid) == 0
    counts = Counter((entry["network"], entry["epoch"]) for entry in log())
    assert set(counts.values()) == {1}
    assert len(counts) == 80
    assert run([*grid, "--force"]) == 0
    assert len(log()) == 80


def test_searches_log_their_steps(saved):
    """The rise never falls; --expected counts its precise points."""
    options = ["--log", "log.jsonl", "-q", "--force"]
    for _ in range(2):
        few = ["--restarts", "2", "--steps", "2", "--alpha", "0.001", "--alpha", "0.002"]
        assert run(["sharpness", str(saved), *few, *options]) == 0
    assert run(["sharpness", str(saved), "--expected", "--precision", "0.3", *options]) == 0
    steps = [entry for entry in log() if entry["command"] == "sharpness"]
    assert [entry["step"] for entry in steps] == list(range(1, len(steps) + 1))
    for alpha in (0.001, 0.002):
        rises = [entry["rise"] for entry in steps if entry["alpha"] == alpha]
        assert rises == sorted(rises)
        assert rises[-1] > 0
    rounds = [entry for entry in log() if entry["command"] == "expected"]
    assert rounds[-1]["precise_points"] <= rounds[-1]["points"]
    assert rounds[-1]["draws"] > 0


def test_a_log_of_a_wrong_name_is_a_usage_error_before_any_work(capsys):
    assert run([*TRAIN, "--log", "log.txt", "-o", "a.safetensors"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert os.listdir() == []


def test_the_recipes_of_the_page_read_the_log(monkeypatch):
    """pandas is run; the others have five lines of code and parse."""
    assert run([*LONG, "--hidden", "8,9", "-o", "grid"]) == 0
    section = PAGE.read_text().split("## Logs")[1].split("\n## ")[0]
    pandas_code, *others = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(others) == 2
    for code in others:
        ast.parse(code)
        assert set(re.findall(r'row\["(\w+)"\]', code)) <= set(log()[0])
    pd = pytest.importorskip("pandas")
    monkeypatch.setattr(pd.DataFrame, "plot", lambda self, **_: None)
    names = {}
    exec(pandas_code, names)
    assert names["log"].groupby("network")["epoch"].max().to_dict().keys() == {
        "mlp-hidden8-digits-true-50-seed0",
        "mlp-hidden9-digits-true-50-seed0",
    }
