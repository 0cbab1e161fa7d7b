"""Provide the fixtures that tests share: a small trained network, and a cache of their own."""

import os
import shutil
from pathlib import Path

import pytest

from gentool.cli.main import SPIN_COUNT, run

# As the command line does, before torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Point every test to an empty cache, not to that of the user who runs it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("GENTOOL_DATA", raising=False)


@pytest.fixture
def _float64():
    """Train networks of this process in float64."""
    from helpers.small_sets import in_float64

    with in_float64():
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """Train an MLP of 16 hidden units that fits 100 digits with random labels; return its file."""
    path = tmp_path_factory.mktemp("trained") / "mlp.safetensors"
    options = "--model mlp --hidden 16 --data digits --labels random --subset 100 --lr 0.1 --quiet"
    assert run(["train", *options.split(), "-o", str(path)]) == 0
    return path


@pytest.fixture
def saved(trained, tmp_path) -> Path:
    """Return a copy of the trained checkpoint in a folder of its own."""
    return Path(shutil.copy(trained, tmp_path / "mlp.safetensors"))
