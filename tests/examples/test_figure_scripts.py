"""The scripts that redraw the paper's figures: run at a tiny scale, once and again."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = [f"figure{number}.sh" for number in (1, 2, 3, 4)]
TINY = {
    "WIDTH": "0.05",
    "SIZES": "20",
    "SUBSET": "20",
    "CONFUSION": "0,10",
    "MLP_DATA": "digits",
    "HIDDEN": "64",
    "PRECISION": "0.5",
    "TRAIN": "--seed 3 --stop-loss 0.02",
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Write two classes of noise: 60 training and 4 test images of 32x32."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 2)):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{i}.png")
    return folder


def call(script, folder, images):
    """Run a script with the virtual environment of these tests."""
    setting = {"VENV": sys.prefix, "EXTRAS": "[dev]", "DATA": f"folder:{images}"}
    return subprocess.run(
        ["sh", EXAMPLES / script, folder],
        env=os.environ | TINY | setting,
        capture_output=True,
        text=True,
    )


def modification_times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if path.suffix != ".png"}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_draws_its_figure_and_does_nothing_twice(script, tmp_path, images):
    """The last line is the figure's path; run again, only the figure is made anew."""
    first = call(script, tmp_path / "out", images)
    assert first.returncode == 0, first.stderr
    figure = Path(first.stdout.splitlines()[-1])
    assert figure.name == script.replace(".sh", ".png")
    assert figure.stat().st_size > 10_000
    before = modification_times(tmp_path / "out")
    assert len(before) > 2
    assert all("seed3." in path.name for path in before)
    assert call(script, tmp_path / "out", images).returncode == 0
    assert modification_times(tmp_path / "out") == before


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unknown_scale_is_refused(script, tmp_path):
    done = subprocess.run(
        ["sh", EXAMPLES / script, tmp_path / "out"],
        env=os.environ | {"SCALE": "huge"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == "SCALE is small or paper, not huge\n"
    assert not (tmp_path / "out").exists()
