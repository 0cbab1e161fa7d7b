"""On a full disk each command ends in one line, and leaves no file torn, changed or forgotten.

More with `-m attack`, GENTOOL_DISKS and another GENTOOL_SEED.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "helpers" / "full_disk.py"
SEED = os.environ.get("GENTOOL_SEED", "0")
DISKS = os.environ.get("GENTOOL_DISKS", "20")
ALL = "single,grid,measure,sharpness,expected,plot"


@pytest.mark.parametrize(
    ("names", "times"),
    [("single,measure", "2"), pytest.param(ALL, DISKS, marks=pytest.mark.attack)],
)
def test_a_full_disk_leaves_whole_files_and_says_why(names, times, tmp_path):
    """With room again, the command ends with the bytes of an undisturbed run."""
    paths = [str(SCRIPT.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, SCRIPT, tmp_path / "disk", times, SEED, names]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(done.stdout.splitlines()[-1])
    assert [(name, result["wrong"]) for name, result in results.items() if result["wrong"]] == []
    assert all(result["ended"].get("1") for result in results.values())
