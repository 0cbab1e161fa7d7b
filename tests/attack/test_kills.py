"""Commands that are killed at random moments leave whole files, and end as if undisturbed.

A short slice; more kills with GENTOOL_KILLS=40 and another seed with GENTOOL_SEED.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "helpers" / "kills.py"
KILLS = os.environ.get("GENTOOL_KILLS", "4")
SEED = os.environ.get("GENTOOL_SEED", "0")
SLICE, OTHERS = "single,grid,sharpness", "measure,expected,plot,jobs"


@pytest.mark.parametrize("names", [SLICE, pytest.param(OTHERS, marks=pytest.mark.slow)])
def test_killed_commands_leave_whole_files_and_end_as_undisturbed_ones(names, tmp_path):
    """By SIGKILL, SIGTERM, Ctrl-C and SIGHUP: the bytes of a whole run, and no temporary file."""
    command = [sys.executable, SCRIPT, tmp_path / "kills", KILLS, SEED, names]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert [(name, result["wrong"]) for name, result in results.items() if result["wrong"]] == []
    for result in results.values():
        assert sum(result["ended"].values()) == int(KILLS)
