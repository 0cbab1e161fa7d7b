"""The script that ranks measures on a grid, at a tiny scale."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

from helpers.pages import ROOT


def test_the_script_trains_measures_and_ranks_a_grid(tmp_path):
    """Eight MLPs of 8 units on 60 digits; the table has a row for each that fits."""
    sizes = {"DATA": "digits", "SUBSET": "60", "SEEDS": "0", "DEPTHS": "1", "UNITS": "8"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = os.environ | sizes | {"PATH": path, "VENV": sys.prefix, "OMP_NUM_THREADS": "1"}
    command = ["sh", "ranking.sh", str(tmp_path / "ranking")]
    done = subprocess.run(
        command, cwd=ROOT / "examples", env=settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "ranking" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert 4 <= len(rows) <= 8
    assert all(row["outcome.stop_rule_met"] == "true" for row in rows)
    judged = json.loads((tmp_path / "ranking" / "claims.json").read_text())
    assert {row["networks"] for row in judged["kendall"]} == {len(rows)}
    assert (tmp_path / "ranking" / "ranking.png").stat().st_size > 10_000
