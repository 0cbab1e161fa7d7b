"""Training data that a checkpoint names is found again, or the error says how to name it."""

import numpy as np
import pytest

from gentool.cli.main import run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with a network that was trained in it, on an archive with a relative name."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    images = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
    np.savez("small.npz", x_train=images, y_train=np.arange(12) % 3)
    train = ["train", "--data", "npz:small.npz", "--model", "mlp", "--hidden", "4"]
    assert run([*train, "--epochs", "1", "-q", "-o", "net.safetensors"]) == 0
    return home


def measure(capsys, path, *options):
    code = run(["measure", str(path), "--only", "l2_path", "-q", *options])
    return code, capsys.readouterr().err


def test_an_archive_with_a_relative_name_is_found_beside_the_checkpoint(
    folder, monkeypatch, capsys
):
    monkeypatch.chdir(folder.parent)
    assert measure(capsys, folder / "net.safetensors") == (0, "")


def test_an_archive_that_is_gone_is_an_error_that_names_the_option(folder, monkeypatch, capsys):
    (folder / "small.npz").rename(folder.parent / "moved.npz")
    code, error = measure(capsys, "net.safetensors")
    assert code == 1
    assert error == (
        "gentool: net.safetensors: its training data npz:small.npz does not exist here or beside "
        "it; say where it is with --data npz:PATH\n"
    )
    assert measure(capsys, "net.safetensors", "--data", "npz:../moved.npz") == (0, "")
