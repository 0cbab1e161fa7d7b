"""Define the data sets: one decorated function each, which returns stored images and labels.

Images of uint8 are scaled to [0, 1] and normalised when they are used (`data.examples`); images of
floats are never normalised.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from gentool.common.console import say
from gentool.common.errors import UsageError
from gentool.common.paths import path_of_recorded
from gentool.common.registry import FunctionRegistry
from gentool.data import torchvision_sets
from gentool.data.dataset import DataSet, dataset_of, unusual_values
from gentool.data.image_folder import read_folder
from gentool.data.npz import read_npz
from gentool.data.reading import AS_STORED, Reading

DATASETS = FunctionRegistry("data set")


def load_dataset(
    data: str, data_dir: Path, show_progress: bool, reading: Reading = AS_STORED
) -> DataSet:
    """Load the data set named `data`: a name in DATASETS, with `:PATH` for `folder` and `npz`.

    What is unusual about it is in its `notes` and, with `show_progress`, is said on stderr. Raise
    UsageError for an unknown name and for an option of `reading` that is not for this kind of data,
    GentoolError if the data is missing or damaged.
    """
    name, colon, path = data.partition(":")
    function = DATASETS[name]
    needs_path = name in ("folder", "npz")
    if needs_path != bool(colon and path):
        raise UsageError(
            f"--data {data}: " + (f"write {name}:PATH" if needs_path else f"write {name}")
        )
    where = path_of_recorded(path) if needs_path else data_dir
    loaded = function(where, show_progress, reading.of_kind(name))
    loaded = replace(loaded, notes=(*loaded.notes, *unusual_values(loaded)))
    if show_progress:
        for note in loaded.notes:
            say(f"warning: {data}: {note}")
    return loaded


class DataSets:
    """Load data sets from a folder and keep the last one, so that a command reads each once.

    Each command has its own object, since files may change between commands.
    """

    def __init__(self, folder: Path, show_progress: bool = False) -> None:
        self.folder, self.show_progress = folder, show_progress
        self._last: tuple[tuple[str, Reading], DataSet] | None = None

    def load(self, data: str, reading: Reading = AS_STORED) -> DataSet:
        """Return a data set as `load_dataset` does, without reading the last one again."""
        key = data, reading.of_kind(data.partition(":")[0])
        if self._last is None or self._last[0] != key:
            self._last = None  # so that there are never two in memory
            self._last = key, load_dataset(data, self.folder, self.show_progress, key[1])
        return self._last[1]


@DATASETS.register
def digits(data_dir: Path, show_progress: bool, reading: Reading = AS_STORED) -> DataSet:
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


def _register_torchvision_sets() -> None:
    """Add torchvision's data sets, one function for each entry of their table."""
    for name, source in torchvision_sets.SETS.items():

        def function(
            data_dir: Path, show_progress: bool, reading: Reading = AS_STORED, name: str = name
        ) -> DataSet:
            return torchvision_sets.load(name, data_dir, show_progress)

        function.__doc__ = source.summary
        DATASETS.add(name, function)


_register_torchvision_sets()


@DATASETS.register
def folder(path: Path, show_progress: bool, reading: Reading = AS_STORED) -> DataSet:
    """Load images of one size from PATH/train/CLASS/*.jpg and PATH/test/CLASS/*.jpg (or val)."""
    return read_folder(path, show_progress, reading)


@DATASETS.register
def npz(path: Path, show_progress: bool, reading: Reading = AS_STORED) -> DataSet:
    """Load a NumPy archive: x_train, y_train, x_test, y_test, or other usual names for them.

    Images of shape (N, H, W), (N, H, W, C), (N, C, H, W), or vectors (N, F); uint8 or floats.
    Labels are whole numbers from 0, or one-hot. x and y alone have no test set.
    """
    return read_npz(path, reading)
