"""Load torchvision's data sets from their files, by one table, or download them.

The trap avoided: damaged files that are taken for missing ones. A set is downloaded only where none
of its files is damaged; damaged files are named, with the folder where they belong.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from gentool.common.errors import GentoolError
from gentool.data.dataset import DataSet, dataset_of


def _idx_files(folder: str, train: str = "train", test: str = "t10k") -> tuple[str, ...]:
    """Return the files of a set in the format of MNIST."""
    kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
    return tuple(f"{folder}/raw/{half}-{kind}" for half in (train, test) for kind in kinds)


@dataclass(frozen=True)
class TorchvisionSet:
    """Hold how torchvision builds a data set.

    `files` are those that the data folder has to hold, all of them together below `folder`.
    `halves` are the arguments for training and test set, `options` those for both; `labels` is the
    attribute that holds the labels.
    """

    kind: str
    summary: str
    files: tuple[str, ...]
    halves: tuple[dict, dict] = ({"train": True}, {"train": False})
    options: dict = field(default_factory=dict)
    labels: str = "targets"

    @property
    def folder(self) -> str:
        """Return the folder of the files below the data folder, `.` for itself."""
        return os.path.dirname(self.files[0]) or "."


_CIFAR10 = tuple(f"data_batch_{i}" for i in range(1, 6))
_EMNIST = "emnist-balanced-train", "emnist-balanced-test"

SETS = {
    "cifar10": TorchvisionSet(
        "CIFAR10",
        "Load CIFAR-10: 50,000 training and 10,000 test images of 3x32x32. Krizhevsky, 2009.",
        tuple(f"cifar-10-batches-py/{file}" for file in (*_CIFAR10, "test_batch", "batches.meta")),
    ),
    "cifar100": TorchvisionSet(
        "CIFAR100",
        "Load CIFAR-100: as CIFAR-10, with 100 classes. Krizhevsky, 2009.",
        tuple(f"cifar-100-python/{file}" for file in ("train", "test", "meta")),
    ),
    "mnist": TorchvisionSet(
        "MNIST",
        "Load MNIST: 60,000 training and 10,000 test images of 1x28x28. LeCun et al., 1998.",
        _idx_files("MNIST"),
    ),
    "fashion-mnist": TorchvisionSet(
        "FashionMNIST",
        "Load Fashion-MNIST: 60,000 training and 10,000 test images of 1x28x28. Xiao et al., 2017.",
        _idx_files("FashionMNIST"),
    ),
    "kmnist": TorchvisionSet(
        "KMNIST",
        "Load Kuzushiji-MNIST: 60,000 training and 10,000 test images of 1x28x28. "
        "Clanuwat et al., 2018.",
        _idx_files("KMNIST"),
    ),
    "emnist": TorchvisionSet(
        "EMNIST",
        "Load EMNIST's balanced split: 112,800 training and 18,800 test images of 1x28x28 in 47 "
        "classes, transposed as torchvision has them. Cohen et al., 2017.",
        _idx_files("EMNIST", *_EMNIST),
        options={"split": "balanced"},
    ),
    "svhn": TorchvisionSet(
        "SVHN",
        "Load SVHN: 73,257 training and 26,032 test images of 3x32x32. Netzer et al., 2011.",
        ("train_32x32.mat", "test_32x32.mat"),
        halves=({"split": "train"}, {"split": "test"}),
        labels="labels",
    ),
    "usps": TorchvisionSet(
        "USPS",
        "Load USPS: 7,291 training and 2,007 test images of 1x16x16. Hull, 1994.",
        ("usps.bz2", "usps.t.bz2"),
    ),
}


def load(name: str, data_dir: Path, show_progress: bool) -> DataSet:
    """Load the set of a name in SETS, after a download if its files are not in `data_dir` yet.

    Raise GentoolError if the files are damaged, or missing and not to be downloaded.
    """
    from torchvision import datasets

    source = SETS[name]
    kind: Callable = getattr(datasets, source.kind)
    arrays, classes = [], None
    for half in source.halves:
        arguments = half | source.options
        try:
            with _torchvision_output(show_progress=False):
                loaded = kind(data_dir, **arguments, download=False)
        except Exception as error:  # missing or damaged, for which torchvision has many exceptions
            _raise_if_complete(source, data_dir, error)
            with _torchvision_output(show_progress):
                loaded = _download(kind, source, data_dir, arguments)
        arrays += _images_and_labels(loaded, source, data_dir)
        classes = getattr(loaded, "classes", None)
    if arrays[0].shape[1:] != arrays[2].shape[1:]:
        raise _damaged(source, data_dir, "training and test images differ in size")
    return dataset_of(*arrays, _names(classes))


def _images_and_labels(
    loaded: object, source: TorchvisionSet, data_dir: Path
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one half as images (N, C, H, W) and labels (N,); raise GentoolError if damaged."""
    try:
        images = torch.as_tensor(loaded.data)
        labels = torch.as_tensor(getattr(loaded, source.labels), dtype=torch.int64)
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise _damaged(source, data_dir, error) from error
    if images.dim() == 3:
        images = images.unsqueeze(1)
    elif images.dim() == 4 and source.kind != "SVHN":
        images = images.permute(0, 3, 1, 2)
    if images.dim() != 4 or images.dtype != torch.uint8 or 0 in images.shape:
        raise _damaged(source, data_dir, f"images of shape {tuple(images.shape)}")
    if labels.shape != (len(images),):
        raise _damaged(source, data_dir, f"{labels.numel()} labels for {len(images)} images")
    classes = len(getattr(loaded, "classes", range(10)))
    if labels.min() < 0 or labels.max() >= classes:
        raise _damaged(source, data_dir, f"a label is not from 0 to {classes - 1}")
    return images.contiguous(), labels


def _names(classes: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names of the classes; None without names, and for MNIST's, as `0 - zero`."""
    if classes is None or all(name[:1].isdigit() for name in classes):
        return None
    return tuple(classes)


def _raise_if_complete(source: TorchvisionSet, data_dir: Path, error: Exception) -> None:
    """Raise GentoolError if the files are all there: what cannot be read is damaged then."""
    if all((data_dir / file).is_file() for file in source.files):
        raise _damaged(source, data_dir, error) from error


def _damaged(source: TorchvisionSet, data_dir: Path, reason: object) -> GentoolError:
    words = " ".join(str(reason).split()) or type(reason).__name__
    folder = data_dir / source.folder
    names = ", ".join(Path(file).name for file in source.files)
    return GentoolError(
        f"the files of {source.kind} in {folder} are damaged ({words}); replace them by "
        f"torchvision's, or remove them so that they are downloaded again: {names}"
    )


def _download(
    kind: Callable, source: TorchvisionSet, data_dir: Path, arguments: dict
) -> torch.utils.data.Dataset:
    """Download one half of a data set; raise GentoolError with the ways out."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        return kind(data_dir, **arguments, download=True)
    except Exception as error:  # the remedies are the same for all of them
        _raise_if_complete(source, data_dir, error)
        reason = " ".join(str(error).split()) or type(error).__name__
        there = [file for file in source.files if (data_dir / file).is_file()]
        if there:
            missing = next(file for file in source.files if file not in there)
            state = f"is incomplete in {data_dir} ({missing} is missing)"
        else:
            state = f"is not in {data_dir}"
        raise GentoolError(
            f"{source.kind} {state} and cannot be downloaded ({reason}); put torchvision's files "
            f"into {data_dir / source.folder} or name the folder above with --data-dir, use your "
            "own images with --data folder:DIR, or the embedded --data digits"
        ) from error


@contextlib.contextmanager
def _torchvision_output(show_progress: bool) -> contextlib.AbstractContextManager:
    """Redirect torchvision's progress bar to stderr, or to nowhere without a terminal."""
    with contextlib.ExitStack() as stack:
        output = sys.stderr
        if not (show_progress and sys.stderr.isatty()):
            output = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stderr(output))
        stack.enter_context(contextlib.redirect_stdout(output))
        yield
