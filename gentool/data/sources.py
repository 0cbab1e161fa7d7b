"""Define the data sets: one decorated function each, which returns stored images and labels.

Images of uint8 are scaled to [0, 1] and normalised when they are used (`data.examples`); images of
floats are never normalised.
"""

import contextlib
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from gentool.common.errors import GentoolError, UsageError
from gentool.common.registry import FunctionRegistry
from gentool.data.dataset import DataSet, dataset_of
from gentool.data.npz import NPZ_KEYS, images_of, labels_of

DATASETS = FunctionRegistry("data set")


def load_dataset(data: str, data_dir: Path, show_progress: bool) -> DataSet:
    """Load the data set named `data`: a name in DATASETS, with `:PATH` for `folder` and `npz`.

    Raise UsageError for an unknown name, GentoolError if the data is missing or damaged.
    """
    name, colon, path = data.partition(":")
    function = DATASETS[name]
    needs_path = name in ("folder", "npz")
    if needs_path != bool(colon and path):
        raise UsageError(
            f"--data {data}: " + (f"write {name}:PATH" if needs_path else f"write {name}")
        )
    return function(Path(path) if needs_path else data_dir, show_progress)


class DataSets:
    """Load data sets from a folder and keep the last one, so that a command reads each once.

    Each command has its own object, since files may change between commands.
    """

    def __init__(self, folder: Path, show_progress: bool = False) -> None:
        self.folder, self.show_progress = folder, show_progress
        self._last: tuple[str, DataSet] | None = None

    def load(self, data: str) -> DataSet:
        """Return a data set as `load_dataset` does, without reading the last one again."""
        if self._last is None or self._last[0] != data:
            self._last = None  # so that there are never two in memory
            self._last = data, load_dataset(data, self.folder, self.show_progress)
        return self._last[1]


@DATASETS.register
def digits(data_dir: Path, show_progress: bool) -> DataSet:
    """Load scikit-learn's embedded digits: 1,442 training and 355 test images of 1x8x8.

    The split is fixed and stratified: within each class, in scikit-learn's order, every fifth image
    is a test image. Grey values 0 to 16 are stored times 15, which normalisation reverses.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    images = torch.from_numpy((source.images * 15).astype(np.uint8)).unsqueeze(1)
    labels = torch.from_numpy(source.target.astype(np.int64))
    is_test = torch.zeros(len(labels), dtype=torch.bool)
    for digit in range(10):
        is_test[(labels == digit).nonzero().flatten()[4::5]] = True
    return dataset_of(images[~is_test], labels[~is_test], images[is_test], labels[is_test])


@DATASETS.register
def cifar10(data_dir: Path, show_progress: bool) -> DataSet:
    """Load CIFAR-10: 50,000 training and 10,000 test images of 3x32x32. Krizhevsky, 2009."""
    return _of_torchvision("CIFAR10", data_dir, show_progress)


@DATASETS.register
def mnist(data_dir: Path, show_progress: bool) -> DataSet:
    """Load MNIST: 60,000 training and 10,000 test images of 1x28x28. LeCun et al., 1998."""
    return _of_torchvision("MNIST", data_dir, show_progress)


@DATASETS.register
def fashion_mnist(data_dir: Path, show_progress: bool) -> DataSet:
    """Load Fashion-MNIST: 60,000 training and 10,000 test images of 1x28x28. Xiao et al., 2017."""
    return _of_torchvision("FashionMNIST", data_dir, show_progress)


@DATASETS.register
def folder(path: Path, show_progress: bool) -> DataSet:
    """Load images of one size from PATH/train/CLASS/*.jpg and PATH/test/CLASS/*.jpg."""
    from gentool.data.image_folder import read_folder

    return DataSet(*read_folder(path, show_progress))


@DATASETS.register
def npz(path: Path, show_progress: bool) -> DataSet:
    """Load a NumPy archive with Keras's keys: x_train, y_train, x_test, y_test.

    Images of shape (N, H, W) or (N, H, W, C), channels last, or vectors (N, F); uint8 or floats.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in NPZ_KEYS if name in archive}
    except FileNotFoundError:
        raise GentoolError(f"{path} does not exist") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, TypeError, AttributeError) as error:
        raise GentoolError(f"{path} is not a complete npz archive of numbers ({error})") from error
    if missing := [name for name in NPZ_KEYS if name not in arrays]:
        raise GentoolError(f"{path} has no {missing[0]}; it needs {', '.join(NPZ_KEYS)}")
    train = images_of(arrays["x_train"], f"{path}: x_train")
    test = images_of(arrays["x_test"], f"{path}: x_test")
    if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
        raise GentoolError(
            f"{path}: x_train and x_test differ in the shape or type of their images"
        )
    train_labels = labels_of(arrays["y_train"], len(train), f"{path}: y_train")
    test_labels = labels_of(arrays["y_test"], len(test), f"{path}: y_test")
    return dataset_of(train, train_labels, test, test_labels)


def _of_torchvision(name: str, data_dir: Path, show_progress: bool) -> DataSet:
    """Load a data set of torchvision, which downloads it if it is not in `data_dir` yet."""
    from torchvision import datasets

    kind: Callable = getattr(datasets, name)
    halves = []
    for train in (True, False):
        try:
            halves.append(kind(data_dir, train=train, download=False))
        except Exception:  # missing or damaged, for which torchvision has many exceptions
            with _download_output(show_progress):
                halves.append(_download(kind, name, data_dir, train))
    arrays = []
    for half in halves:
        images = torch.as_tensor(half.data)
        images = images.unsqueeze(1) if images.dim() == 3 else images.permute(0, 3, 1, 2)
        arrays += [images.contiguous(), torch.as_tensor(half.targets, dtype=torch.int64)]
    has_names = not all(name[:1].isdigit() for name in half.classes)  # MNIST's are "0 - zero"
    return dataset_of(*arrays, tuple(half.classes) if has_names else None)


def _download(kind: Callable, name: str, data_dir: Path, train: bool) -> torch.utils.data.Dataset:
    """Download one half of a data set of torchvision; raise GentoolError with the ways out."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        return kind(data_dir, train=train, download=True)
    except Exception as error:  # the remedies are the same for all of them
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GentoolError(
            f"{name} is not in {data_dir} and cannot be downloaded ({reason}); put torchvision's "
            "files there or name their folder with --data-dir, use your own images with "
            "--data folder:DIR, or the embedded --data digits"
        ) from error


@contextlib.contextmanager
def _download_output(show_progress: bool) -> contextlib.AbstractContextManager:
    """Redirect torchvision's progress bar to stderr, or to nowhere without a terminal."""
    with contextlib.ExitStack() as stack:
        output = sys.stderr
        if not (show_progress and sys.stderr.isatty()):
            output = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stderr(output))
        stack.enter_context(contextlib.redirect_stdout(output))
        yield
