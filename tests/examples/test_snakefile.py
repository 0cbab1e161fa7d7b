"""The Snakefile runs with Snakemake's local executor. Skipped where Snakemake is not installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SNAKEFILE = Path(__file__).parents[2] / "examples" / "Snakefile"
SNAKEMAKE = os.environ.get("SNAKEMAKE") or shutil.which("snakemake")


@pytest.mark.skipif(
    SNAKEMAKE is None, reason="Snakemake is not installed, and SNAKEMAKE does not name it"
)
def test_the_snakefile_trains_measures_and_plots_a_grid_and_does_nothing_twice(tmp_path):
    """Two sizes, true and random labels; run again, there is nothing to be done."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [SNAKEMAKE, "--snakefile", SNAKEFILE, "--directory", tmp_path, "--cores", "2"]
    for _ in range(2):
        done = subprocess.run(
            [*command, "--config", "sizes=30,60"], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr
    assert len(list(tmp_path.glob("*.safetensors"))) == 4
    assert len(list(tmp_path.glob("*.measures.json"))) == 4
    assert (tmp_path / "figure.png").stat().st_size > 10_000
