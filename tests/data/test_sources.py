"""The data sets: their arrays, their normalisation, and the errors for damaged data."""

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from gentool.cli.main import run
from gentool.common.errors import GentoolError, UsageError
from gentool.common.paths import default_data_dir
from gentool.data import image_folder
from gentool.data.dataset import DataSet
from gentool.data.npz import NPZ_KEYS
from gentool.data.reading import Reading
from gentool.data.sources import DATASETS, load_dataset
from gentool.data.torchvision_sets import SETS
from gentool.records.recipe import describe_source


def test_there_are_eleven_data_sets():
    assert DATASETS.names == [
        *("digits", "cifar10", "cifar100", "mnist", "fashion-mnist"),
        *("kmnist", "emnist", "svhn", "usps", "folder", "npz"),
    ]


def test_digits_have_a_fixed_stratified_split(tmp_path):
    """Every fifth image of a class is a test image: 355 of 1,797, 34 to 36 of each digit."""
    data = load_dataset("digits", tmp_path, show_progress=False)
    assert data.train_images.shape == (1442, 1, 8, 8)
    assert data.test_images.shape == (355, 1, 8, 8)
    assert data.test_labels.bincount().tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    assert data.train_images.dtype == torch.uint8
    assert data.train_images.max() == 240


def test_normalisation_is_computed_from_the_training_images_alone():
    """A channel with as many 0 as 255: mean 1/2, deviation 1/2; a constant channel: deviation 1."""
    images = torch.zeros(4, 2, 1, 1, dtype=torch.uint8)
    images[:2, 0] = 255
    data = DataSet(images, torch.zeros(4), images[:1], torch.zeros(1), 2, "")
    assert data.normalisation() == ((0.5, 0.0), (0.5, 1.0))


def test_float_images_are_not_normalised():
    images = torch.randn(4, 3, 2, 2)
    data = DataSet(images, torch.zeros(4), images, torch.zeros(4), 2, "")
    assert data.normalisation() == ((0.0,) * 3, (1.0,) * 3)


def write_mnist(folder):
    """Six images of MNIST's form, in its uncompressed IDX files."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for half, n in (("train", 4), ("t10k", 2)):
        images = np.arange(n * 28 * 28, dtype=np.uint8)
        header = np.array([0x803, n, 28, 28], dtype=">i4").tobytes()
        (raw / f"{half}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        labels = np.arange(n, dtype=np.uint8)
        header = np.array([0x801, n], dtype=">i4").tobytes()
        (raw / f"{half}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())


def test_mnist_is_read_from_a_folder_that_is_read_only(tmp_path):
    """In torchvision's layout, without a download and without writing anything."""
    write_mnist(tmp_path)
    tmp_path.chmod(0o555)
    data = load_dataset("mnist", tmp_path, show_progress=False)
    tmp_path.chmod(0o755)
    assert data.train_images.shape == (4, 1, 28, 28)
    assert data.train_images[0, 0, 0, :3].tolist() == [0, 1, 2]
    assert data.test_labels.tolist() == [0, 1]


@pytest.mark.parametrize("name", list(SETS))
def test_the_error_of_a_failed_download_names_the_remedies(tmp_path, monkeypatch, capfd, name):
    """In one line the reason, the folder and two other kinds of data; nothing on stdout."""

    def no_network(*_, **__):
        raise OSError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(GentoolError) as error:
        load_dataset(name, tmp_path / "data", show_progress=True)
    for words in ("no network here", str(tmp_path / "data"), "folder:DIR", "--data digits"):
        assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def write_images(folder, n=3, size=(5, 4), suffix="png"):
    """Train and test folders of two classes; images of one grey value each."""
    value = 0
    for half in ("train", "test"):
        for kind in ("cat", "dog"):
            (folder / half / kind).mkdir(parents=True)
            for i in range(n):
                value += 10
                path = folder / half / kind / f"{i}.{suffix}"
                Image.new("L", size, value).save(path)
    return folder


def test_a_folder_of_images_is_read_in_the_order_of_names(tmp_path):
    """As RGB, (N, 3, H, W), labelled by the order of the class names."""
    data = load_dataset(f"folder:{write_images(tmp_path)}", tmp_path, show_progress=False)
    assert data.train_images.shape == (6, 3, 4, 5)
    assert data.train_images[:, 0, 0, 0].tolist() == [10, 20, 30, 40, 50, 60]
    assert data.test_labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_folder_is_decoded_once(tmp_path, monkeypatch):
    """The second time the arrays come from the cache and are the same to the bit."""
    spec = f"folder:{write_images(tmp_path / 'images')}"
    first = load_dataset(spec, tmp_path, show_progress=False)
    monkeypatch.setattr(image_folder, "decode", None)
    second = load_dataset(spec, tmp_path, show_progress=False)
    assert torch.equal(first.train_images, second.train_images)
    assert first.fingerprint == second.fingerprint


def test_a_changed_image_is_decoded_again_even_with_the_same_size_and_time(tmp_path):
    """The key of the cache is a hash of the content, so that it cannot be stale."""
    folder = write_images(tmp_path / "images", suffix="bmp")
    before = load_dataset(f"folder:{folder}", tmp_path, show_progress=False)
    path = folder / "train" / "cat" / "0.bmp"
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    Image.new("L", (5, 4), 99).save(path)
    os.utime(path, ns=times)
    after = load_dataset(f"folder:{folder}", tmp_path, show_progress=False)
    assert before.train_images[0, 0, 0, 0] == 10
    assert after.train_images[0, 0, 0, 0] == 99
    assert before.fingerprint != after.fingerprint


def test_a_damaged_cache_is_reported_and_the_images_are_decoded_again(tmp_path, capsys):
    spec = f"folder:{write_images(tmp_path / 'images', n=2)}"
    before = load_dataset(spec, tmp_path, show_progress=False)
    image_folder._cache_file(before.fingerprint).write_bytes(b"damaged")
    after = load_dataset(spec, tmp_path, show_progress=False)
    assert torch.equal(before.train_images, after.train_images)
    assert "is damaged; the images are decoded again" in capsys.readouterr().err


def _other_size(folder):
    Image.new("RGB", (7, 7)).save(folder / "train" / "dog" / "1.png")


def _cut(folder):
    path = folder / "test" / "dog" / "1.png"
    path.write_bytes(path.read_bytes()[:-30])


def _other_classes(folder):
    (folder / "test" / "dog").rename(folder / "test" / "wolf")


def _no_train(folder):
    (folder / "train").rename(folder / "more")


def _loop(folder):
    (folder / "train" / "dog" / "loop").symlink_to(folder / "train")


def _animations_alone(folder):
    for path in (folder / "train" / "dog").iterdir():
        path.rename(path.with_suffix(".gif"))


def _empty_class(folder):
    for path in (folder / "train" / "dog").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_other_size, r"dog/1\.png is 7x7, but .*cat/0\.png is 4x5; resize them"),
        (_cut, r"test/dog/1\.png cannot be decoded"),
        (_other_classes, "class 'dog' is not in both train/ and test/"),
        (_no_train, "train does not exist; folder:DIR needs"),
        (_loop, "loop links to a folder that it is in"),
        (_animations_alone, r"class 'dog' has none \(.*\) but \.gif; add images"),
        (_empty_class, "is not a tree of images"),
    ],
)
def test_a_folder_that_cannot_be_used_is_an_error_of_one_line(tmp_path, damage, words):
    folder = write_images(tmp_path)
    damage(folder)
    with pytest.raises(GentoolError, match=words) as error:
        load_dataset(f"folder:{folder}", tmp_path, show_progress=False)
    assert "\n" not in str(error.value)


def write_npz(path, **changes):
    """Four training and two test images of 2x3 with three channels, labels 0 to 2."""
    arrays = {
        "x_train": np.arange(4 * 18, dtype=np.uint8).reshape(4, 2, 3, 3),
        "y_train": np.array([0, 1, 2, 0]),
        "x_test": np.zeros((2, 2, 3, 3), dtype=np.uint8),
        "y_test": np.array([[0], [1]]),
    }
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return f"npz:{path}"


def test_the_channels_of_an_npz_come_last_as_in_keras(tmp_path):
    """(N, H, W, C) becomes (N, C, H, W); labels of shape (N, 1) become (N,)."""
    data = load_dataset(write_npz(tmp_path / "a.npz"), tmp_path, show_progress=False)
    assert data.input_shape == (3, 2, 3)
    assert data.train_images[0, :, 0, 0].tolist() == [0, 1, 2]
    assert data.test_labels.tolist() == [0, 1]
    assert data.classes == 3


@pytest.mark.parametrize(
    ("shape", "input_shape"),
    [((4, 5, 6), (1, 5, 6)), ((4, 7), (1, 1, 7)), ((4, 5, 6, 1), (1, 5, 6))],
)
def test_an_npz_may_hold_grey_images_and_vectors(tmp_path, shape, input_shape):
    """float64 becomes float32; the values are not scaled."""
    x = np.random.default_rng(0).normal(size=shape)
    data = load_dataset(write_npz(tmp_path / "a.npz", x_train=x, x_test=x[:2]), tmp_path, False)
    assert data.input_shape == input_shape
    assert data.train_images.dtype == torch.float32
    assert (data.train_images.numpy().ravel() == x.astype(np.float32).ravel()).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_test": None}, "has no y_test; it needs x_train, y_train"),
        ({"x_train": np.zeros((4, 3, 4, 4), np.uint8)}, "--channels-first or --channels-last"),
        ({"x_train": np.zeros((4, 8, 9, 7), np.uint8)}, "--channels-first or --channels-last"),
        ({"x_train": np.full((4, 2, 3, 3), 256)}, "of type int64 with values from 256 to 256"),
        ({"x_train": np.zeros((4, 2, 3, 3), complex)}, "is of type complex128"),
        ({"x_train": np.full((4, 2, 3, 3), np.nan)}, "NaN, infinite"),
        ({"x_train": np.zeros((4, 5, 5, 3), np.uint8)}, "x_train and x_test differ"),
        ({"x_train": np.array([{}] * 4)}, "holds Python objects, which are not unpickled"),
        ({"y_train": np.array([0, 1])}, "one label is needed for each of 4 images"),
        ({"y_train": np.array([0, 1, 2, -1])}, "labels are whole numbers from 0"),
        ({"y_train": np.array([0.5, 1, 2, 0])}, "labels are whole numbers from 0"),
        ({"y_train": np.array([0, 1, np.nan, 0])}, "has label nan"),
        ({"y_train": np.array(["a", "b", "c", "a"])}, r"has words for labels.*numpy\.unique"),
        ({"y_train": np.array([1, 2, 3, 1])}, "no image of class 0; subtract 1 from all labels"),
        ({"y_train": np.array([3, 7, 3, 7])}, r"no image of classes 0, 1, 2.*numpy\.searchsorted"),
        ({"y_train": np.array([0, 1, 3, 0])}, "no image of class 2; .*--classes 4"),
        ({"y_test": np.array([0, 5])}, "no image of classes 3, 4, 5"),
        ({"y_train": np.zeros(4, int), "y_test": np.zeros(2, int)}, "has label 0 alone"),
        ({"y_train": np.full((4, 3), 1 / 3)}, "not one-hot"),
        ({"y_train": np.eye(4)[:3]}, "one label is needed for each of 4 images"),
        ({"y_train": None}, "has no y_train; it needs x_train, y_train"),
        ({"train_x": np.zeros((4, 2, 3, 3)), "x_train": None, "train_images": np.zeros(4)}, "both"),
        ({"y_train": np.array([0, 1, 2, 10**9])}, "labels are whole numbers from 0"),
    ],
)
def test_an_npz_that_cannot_be_used_is_an_error_of_one_line(tmp_path, changes, words):
    spec = write_npz(tmp_path / "a.npz", **changes)
    with pytest.raises(GentoolError, match=words) as error:
        load_dataset(spec, tmp_path, show_progress=False)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_channels_of_an_npz_may_come_first(tmp_path, channels):
    """As in PyTorch: (N, C, H, W) is read as it is if only one reading has 1, 3 or 4 channels."""
    x = np.arange(4 * channels * 35, dtype=np.uint8).reshape(4, channels, 5, 7)
    data = load_dataset(write_npz(tmp_path / "a.npz", x_train=x, x_test=x[:2]), tmp_path, False)
    assert (data.train_images.numpy() == x).all()


@pytest.mark.parametrize(("order", "shape"), [("first", (3, 4, 4)), ("last", (4, 3, 4))])
def test_an_option_says_where_ambiguous_channels_are(tmp_path, order, shape):
    x = np.zeros((4, 3, 4, 4), dtype=np.uint8)
    spec = write_npz(tmp_path / "a.npz", x_train=x, x_test=x[:2])
    data = load_dataset(spec, tmp_path, False, Reading(channel_order=order))
    assert data.input_shape == shape


@pytest.mark.parametrize(
    "labels", [np.array([0.0, 1, 2, 0]), np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[0, 1, 2, 0]] == 1]
)
def test_labels_of_an_npz_may_be_floats_or_one_hot(tmp_path, labels):
    data = load_dataset(write_npz(tmp_path / "a.npz", y_train=labels), tmp_path, False)
    assert data.train_labels.tolist() == [0, 1, 2, 0]
    assert data.classes == 3


@pytest.mark.parametrize(
    "keys",
    [
        ("X_train", "y_train", "X_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("trainX", "trainY", "testX", "testY"),
        ("train_data", "train_targets", "val_data", "val_targets"),
    ],
)
def test_an_npz_may_have_other_usual_keys(tmp_path, keys):
    """The same arrays have the same fingerprint under any names."""
    expected = load_dataset(write_npz(tmp_path / "a.npz"), tmp_path, False)
    with np.load(tmp_path / "a.npz") as archive:
        arrays = [archive[name] for name in NPZ_KEYS]
    np.savez(tmp_path / "b.npz", **dict(zip(keys, arrays, strict=True)), other=np.zeros(3))
    data = load_dataset(f"npz:{tmp_path / 'b.npz'}", tmp_path, False)
    assert data.fingerprint == expected.fingerprint


@pytest.mark.parametrize("keys", [("x", "y"), ("X", "Y"), ("images", "labels"), NPZ_KEYS[:2]])
def test_an_npz_may_hold_one_pair_without_a_test_set(tmp_path, keys):
    """There are no test images then, and a note says so."""
    np.savez(tmp_path / "a.npz", **{keys[0]: np.zeros((4, 5, 5)), keys[1]: np.arange(4) % 2})
    data = load_dataset(f"npz:{tmp_path / 'a.npz'}", tmp_path, False)
    assert (len(data.train_labels), len(data.test_labels)) == (4, 0)
    assert "no test images" in data.notes[0]


def test_a_validation_set_stands_for_a_missing_test_set_and_is_named(tmp_path):
    """In an npz as in a folder."""
    images, labels = np.arange(4 * 36, dtype=np.uint8).reshape(4, 6, 6), np.array([0, 1, 0, 1])
    arrays = {"train_x": images, "train_y": labels, "validation_x": images[:2]}
    np.savez(tmp_path / "a.npz", **arrays, validation_y=labels[:2])
    data = load_dataset(f"npz:{tmp_path / 'a.npz'}", tmp_path, show_progress=False)
    assert len(data.test_labels) == 2
    assert data.notes == ("the images of validation_x are the test set",)


def test_classes_without_images_may_be_said(tmp_path):
    """Labels 3 and 7 of ten classes; and labels beyond them are an error still."""
    labels = np.array([3, 7, 3, 7])
    spec = write_npz(tmp_path / "a.npz", y_train=labels, y_test=labels[:2])
    assert load_dataset(spec, tmp_path, False, Reading(classes=10)).classes == 10
    with pytest.raises(GentoolError, match="has label 7, but there are 5 classes"):
        load_dataset(spec, tmp_path, False, Reading(classes=5))


def test_what_earlier_versions_read_is_read_as_they_did_once_it_is_recorded(tmp_path):
    """Checkpoints of users hold its fingerprint: gaps in the labels, channels last."""
    x, labels = np.zeros((4, 3, 4, 4), dtype=np.uint8), np.array([3, 7, 3, 7])
    spec = write_npz(tmp_path / "a.npz", x_train=x, x_test=x[:2], y_train=labels)
    data = load_dataset(spec, tmp_path, False, Reading(classes=8, is_recorded=True))
    assert (data.input_shape, data.classes) == ((4, 3, 4), 8)
    assert data.fingerprint.startswith("85701854f1bc7cfc8ef4d3b869113598")


def test_whole_numbers_of_8_bits_may_have_any_type(tmp_path):
    x = np.arange(72).reshape(4, 2, 3, 3)
    data = load_dataset(write_npz(tmp_path / "a.npz", x_train=x), tmp_path, False)
    expected = load_dataset(write_npz(tmp_path / "b.npz"), tmp_path, False)
    assert data.fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.arange(72.0).reshape(4, 2, 3, 3), "floats up to 71 in absolute value"),
        (np.full((4, 2, 3, 3), 0.5), "all equal"),
    ],
)
def test_unusual_images_are_warned_of(tmp_path, capsys, images, words):
    """On stderr, unless the command is quiet, and in the notes of the data."""
    spec = write_npz(tmp_path / "a.npz", x_train=images, x_test=images[:2] / 8)
    assert words in load_dataset(spec, tmp_path, show_progress=True).notes[0]
    assert words in capsys.readouterr().err
    load_dataset(spec, tmp_path, show_progress=False)
    assert capsys.readouterr().err == ""


def test_a_truncated_npz_is_an_error(tmp_path):
    spec = write_npz(path := tmp_path / "a.npz")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(GentoolError, match="not a complete npz archive"):
        load_dataset(spec, tmp_path, show_progress=False)


def test_an_unknown_data_set_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(UsageError, match=r"unknown data set 'cifar' \(did you mean 'cifar10'\?\)"):
        load_dataset("cifar", tmp_path, show_progress=False)
    with pytest.raises(UsageError, match="write mnist"):
        load_dataset("mnist:here", tmp_path, show_progress=False)


def test_a_data_set_has_a_short_name():
    assert describe_source("cifar10") == "cifar10"
    assert describe_source("folder:/a/cifar10-jpeg/") == "cifar10-jpeg"
    assert describe_source("npz:b/faces.npz") == "faces"


def test_the_data_folder_is_the_one_that_the_user_names(monkeypatch, tmp_path):
    monkeypatch.setenv("GENTOOL_DATA", str(tmp_path))
    assert default_data_dir() == tmp_path
    monkeypatch.delenv("GENTOOL_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / "gentool" / "data"


def test_a_command_reads_a_data_set_once(saved, monkeypatch):
    """Two commands in one process, two networks each: two reads."""
    reads = []

    def counted(data, *rest):
        reads.append(data)
        return load_dataset(data, *rest)

    monkeypatch.setattr("gentool.data.sources.load_dataset", counted)
    other = shutil.copy(saved, saved.with_name("other.safetensors"))
    for _ in range(2):
        assert run(["measure", str(saved), str(other), "--only", "l2", "--force", "--quiet"]) == 0
    assert reads == ["digits", "digits"]


def test_data_that_changed_since_the_last_command_is_read_again(tmp_path, capsys):
    """In one process: a network trained on the old images is refused with the new ones."""
    archive, trained = tmp_path / "a.npz", str(tmp_path / "a.safetensors")

    def write(seed):
        images = np.random.default_rng(seed).integers(0, 256, (20, 4, 4), dtype=np.uint8)
        labels = np.arange(20) % 2
        np.savez(archive, x_train=images, y_train=labels, x_test=images, y_test=labels)

    write(seed=0)
    options = ["--model", "mlp", "--hidden", "4", "--epochs", "1", "--quiet"]
    assert run(["train", *options, "--data", f"npz:{archive}", "-o", trained]) == 0
    assert run(["measure", trained, "--only", "l2", "--quiet"]) == 0
    write(seed=1)
    assert run(["measure", trained, "--only", "l2", "--quiet", "--force"]) == 1
    assert "the data differs from what the network was trained on" in capsys.readouterr().err


def _write_member(path, content):
    """Write an archive whose x_train is not an array of NumPy but other bytes."""
    import zipfile

    write_npz(path, x_train=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", content)
    return f"npz:{path}"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"\x93NUMPY\x01\x00\x06\x00{'a':\n",
        b"\x93NUMPY\x01\x00\x03\x00(((",
        b"\x80\x04N.",
    ],
)
def test_a_member_that_is_no_array_is_an_error(tmp_path, content):
    with pytest.raises(GentoolError, match="not a complete npz archive") as error:
        load_dataset(_write_member(tmp_path / "a.npz", content), tmp_path, False)
    assert "\n" not in str(error.value)


def test_floats_that_would_overflow_are_an_error(tmp_path):
    """In the test images too."""
    x = np.zeros((4, 2, 3, 3))
    spec = write_npz(tmp_path / "a.npz", x_train=x, x_test=x[:2] + 3e38)
    with pytest.raises(GentoolError, match="x_test has values that are NaN, infinite or too large"):
        load_dataset(spec, tmp_path, False)
