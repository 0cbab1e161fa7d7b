"""Torchvision's data sets: their forms, and damaged files, on small files of the same formats."""

import bz2

import numpy as np
import pytest

from gentool.common.errors import GentoolError
from gentool.data.sources import load_dataset
from gentool.data.torchvision_sets import SETS


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def write_idx(folder, name):
    """Write images of MNIST's format under the names that torchvision wants: 4 and 2 images."""
    for file in SETS[name].files:
        n = 4 if "train" in file else 2
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if "images" in file:
            numbers = np.arange(n * 28 * 28, dtype=np.uint8)
            path.write_bytes(np.array([0x803, n, 28, 28], ">i4").tobytes() + numbers.tobytes())
        else:
            labels = np.arange(n, dtype=np.uint8)
            path.write_bytes(np.array([0x801, n], ">i4").tobytes() + labels.tobytes())


IDX_SETS = ["mnist", "fashion-mnist", "kmnist", "emnist"]


@pytest.mark.parametrize("name", IDX_SETS)
def test_sets_in_the_format_of_mnist_are_read(tmp_path, name):
    write_idx(tmp_path, name)
    data = load_dataset(name, tmp_path, show_progress=False)
    assert data.train_images.shape == (4, 1, 28, 28)
    assert data.test_labels.tolist() == [0, 1]


def write_usps(folder):
    for file, n in (("usps.bz2", 4), ("usps.t.bz2", 2)):
        pixels = " ".join(f"{i}:{-1 + i / 128:.4f}" for i in range(1, 257))
        lines = "".join(f"{label + 1} {pixels}\n" for label in range(n))
        (folder / file).write_bytes(bz2.compress(lines.encode()))


def write_svhn(folder):
    from scipy.io import savemat

    for half, n in (("train", 4), ("test", 2)):
        images = np.arange(32 * 32 * 3 * n).reshape(32, 32, 3, n).astype(np.uint8)
        labels = np.array([10, 1, 2, 3])[:n, None]
        savemat(folder / f"{half}_32x32.mat", {"X": images, "y": labels.astype(np.uint8)})


def write_cifar(name):
    """Return a function that writes CIFAR's files with one or two images each."""
    import pickle

    def write(folder):
        for file in SETS[name].files:
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072)
            names = [f"class {i}" for i in range(100)]
            content = {"data": pixels, "labels": [0, 1], "fine_labels": [0, 1]}
            if "meta" in file:
                content = {"label_names": names[:10], "fine_label_names": names}
            path.write_bytes(pickle.dumps(content))

    return write


WRITERS = {
    "usps": (write_usps, (1, 16, 16), [0, 1, 2, 3]),
    "svhn": (write_svhn, (3, 32, 32), [0, 1, 2, 3]),
    "cifar10": (write_cifar("cifar10"), (3, 32, 32), [0, 1] * 5),
    "cifar100": (write_cifar("cifar100"), (3, 32, 32), [0, 1]),
}


@pytest.mark.parametrize("name", list(WRITERS))
def test_the_other_sets_are_read(tmp_path, monkeypatch, name):
    """Their files are known to torchvision by checksums, which small files do not have."""
    write, shape, labels = WRITERS[name]
    write(tmp_path)
    for module in ("svhn", "cifar", "usps"):
        monkeypatch.setattr(
            f"torchvision.datasets.{module}.check_integrity",
            lambda path, md5=None: True,
            raising=False,
        )
    monkeypatch.setattr("torchvision.datasets.usps.download_url", lambda *_: None)
    data = load_dataset(name, tmp_path, show_progress=False)
    assert data.input_shape == shape
    assert data.train_labels.tolist() == labels
    assert (data.names is None) == (name in ("usps", "svhn"))


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn"])
def test_files_with_another_checksum_are_damaged(tmp_path, name):
    """Not missing: no download is tried, and the folder where they belong is named."""
    WRITERS[name][0](tmp_path)
    with pytest.raises(GentoolError, match="are damaged") as error:
        load_dataset(name, tmp_path, show_progress=False)
    assert str(tmp_path / SETS[name].folder) in str(error.value)
    assert "no network" not in str(error.value)


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def wrong_label(path):
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def html(path):
    path.write_text("<html>404</html>")


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("name", IDX_SETS)
@pytest.mark.parametrize(
    ("damage", "kind"),
    [(cut, "images"), (wrong_label, "labels"), (html, "images"), (empty, "images")],
)
def test_damaged_files_in_the_format_of_mnist_are_called_damaged(tmp_path, name, damage, kind):
    write_idx(tmp_path, name)
    damage(next(tmp_path / file for file in SETS[name].files if kind in file))
    with pytest.raises(GentoolError, match="are damaged") as error:
        load_dataset(name, tmp_path, show_progress=False)
    assert str(tmp_path / SETS[name].folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_incomplete_set_is_told_by_its_missing_file(tmp_path):
    write_idx(tmp_path, "mnist")
    missing = tmp_path / SETS["mnist"].files[1]
    missing.unlink()
    with pytest.raises(GentoolError, match=f"is incomplete in .*{missing.name} is missing"):
        load_dataset("mnist", tmp_path, show_progress=False)
