"""The wheel: it is built, installed apart from the clone, and holds all that a user needs."""

import email
import os
import shutil
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path

import pytest
import yaml

import gentool

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel of a copy of the clone, without network."""
    folder = tmp_path_factory.mktemp("build")
    ignored = shutil.ignore_patterns("__pycache__", "results", "benchmarks")
    for name in ("gentool", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([*PIP, "wheel", *options, str(folder)], check=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Install the wheel into a folder of its own; return a function that runs Python with it."""
    folder = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*PIP, "install", *options, str(wheel)], check=True)

    def python(*arguments, cwd):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return python


def test_the_wheel_holds_every_file_of_the_package(wheel):
    files = set(zipfile.ZipFile(wheel).namelist())
    of_package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "gentool").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert of_package <= files
    assert {"gentool/py.typed", "gentool/measures.schema.json"} <= files
    assert not any("results/" in name or "tests/" in name for name in files)
    assert wheel.stat().st_size < 1_000_000


def test_the_metadata_describe_the_project(wheel):
    archive = zipfile.ZipFile(wheel)
    [name] = [name for name in archive.namelist() if name.endswith("METADATA")]
    metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Version"] == gentool.__version__
    assert metadata["License-Expression"] == "MIT"
    assert "Typing :: Typed" in metadata.get_all("Classifier")
    assert "sharpness" in metadata["Keywords"]
    assert any(url.startswith("Paper, https://") for url in metadata.get_all("Project-URL"))


def test_an_installed_package_finds_its_examples_and_its_functions(installed, tmp_path):
    place = installed("-c", "import gentool; print(gentool.__file__)", cwd=tmp_path)
    assert str(ROOT) not in place
    printed = installed("-m", "gentool", "examples", "copy", "--quiet", cwd=tmp_path)
    assert "copy/quickstart.sh" in printed.split()
    assert (tmp_path / "copy" / "figure1.sh").read_bytes() == (
        ROOT / "examples" / "figure1.sh"
    ).read_bytes()
    code = "import gentool; print(all(callable(gentool.sharpness) for _ in dir(gentool)))"
    assert installed("-c", code, cwd=tmp_path) == "True\n"


def test_an_installed_package_trains_and_measures(installed, tmp_path):
    options = "--data digits --model mlp --hidden 8 --subset 50 --epochs 2 --quiet -o n.safetensors"
    assert installed("-m", "gentool", "train", *options.split(), cwd=tmp_path)
    assert installed("-m", "gentool", "measure", "n.safetensors", "--quiet", cwd=tmp_path)
    plot = ("plot", "n.measures.json", "--y", "l2_unnormalized", "--quiet")
    assert installed("-m", "gentool", *plot, cwd=tmp_path) == "figure.png\n"


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == gentool.__version__
    assert citation["license"] == "MIT"
    assert date(2026, 1, 1) < citation["date-released"] <= date.today()
    assert citation["preferred-citation"]["title"] == "Exploring Generalization in Deep Learning"
    needed = {"cff-version", "message", "title", "authors", "type", "version", "date-released"}
    assert needed <= set(citation)
