"""Read the images and labels of a NumPy archive, under the names and in the forms in use.

The trap avoided: a guess that would make a wrong number. A shape that can be read in two ways,
labels that are not 0 to k-1 and classes without images are errors that say what to do.
"""

import math
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gentool.common.errors import GentoolError
from gentool.common.memory import available_memory, in_words
from gentool.data.dataset import DataSet, dataset_of
from gentool.data.reading import AS_STORED, Reading

NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")
MOST_CLASSES = 100_000
LARGEST = 1e15  # beyond it the logits of a network may overflow float32
_VALIDATION = ("val", "valid", "validation", "dev")
_HALVES = {"train": ("train", "training", "tr"), "test": ("test", "testing", "te", *_VALIDATION)}
_CONTENTS = {
    "x": ("x", "images", "image", "imgs", "data", "inputs", "features"),
    "y": ("y", "labels", "label", "targets", "target"),
}
_RELABEL = "number them from 0 in both halves, as with numpy.searchsorted(numpy.unique(y_train), y)"


def read_npz(path: Path, reading: Reading) -> DataSet:
    """Return the data set of an archive; without a test set, `test_images` is empty.

    Raise GentoolError if the file is damaged, or if its arrays are not images with labels.
    """
    keys, arrays = _arrays(path)
    train = images_of(arrays["x_train"], f"{path}: {keys['x_train']}", reading)
    train_labels, classes = labels_of(arrays["y_train"], len(train), f"{path}: {keys['y_train']}")
    notes = []
    if "x_test" in arrays:
        test = images_of(arrays["x_test"], f"{path}: {keys['x_test']}", reading)
        if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
            raise GentoolError(
                f"{path}: {keys['x_train']} and {keys['x_test']} differ in the shape or type of "
                "their images"
            )
        if any(word in _plain(keys["x_test"]) for word in _VALIDATION):
            notes.append(f"the images of {keys['x_test']} are the test set")
        test_labels, test_classes = labels_of(
            arrays["y_test"], len(test), f"{path}: {keys['y_test']}"
        )
        classes = max(filter(None, (classes, test_classes)), default=None)
    else:
        test, test_labels = train[:0], train_labels[:0]
        notes.append(f"{path} has no test images, so that there is no test error")
    classes = reading.classes or classes
    if not reading.is_recorded:
        _check_classes(train_labels, test_labels, classes, f"{path}: {keys['y_train']}")
    largest = int(torch.cat([train_labels, test_labels]).max())
    if reading.is_recorded and classes is not None:
        classes = max(classes, largest + 1)  # the draw compares it with the checkpoint's
    if classes is not None and largest >= classes:
        raise GentoolError(
            f"{path} has label {largest}, but there are {classes} classes, 0 to {classes - 1}; "
            f"{_RELABEL}"
        )
    return dataset_of(train, train_labels, test, test_labels, classes=classes, notes=tuple(notes))


def _arrays(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Return the keys that the archive has in place of Keras's, and the arrays by Keras's keys."""
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of Python, on the text of a damaged header
            path.open("rb") as file,
            np.load(file, allow_pickle=False) as archive,
        ):
            keys = _keys(path, archive.files)
            _check_memory(path, archive, keys.values())
            arrays = {role: archive[key] for role, key in keys.items()}
    except FileNotFoundError:
        raise GentoolError(f"{path} does not exist") from None
    except GentoolError:
        raise
    except Exception as error:  # a damaged archive raises anything
        reason = " ".join(str(error).split()) or type(error).__name__
        if "allow_pickle" in reason:
            raise GentoolError(
                f"{path} holds Python objects, which are not unpickled; save numbers alone, as "
                "with array.astype(float)"
            ) from error
        raise GentoolError(f"{path} is not a complete npz archive of numbers ({reason})") from error
    for role, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise GentoolError(
                f"{path} is not a complete npz archive of numbers ({keys[role]} is no array)"
            )
    return keys, arrays


def _check_memory(path: Path, archive: np.lib.npyio.NpzFile, keys: Iterable[str]) -> None:
    """Raise GentoolError, before anything is unpacked, for arrays that memory cannot hold.

    A small archive may declare any size: zeros are compressed a thousand times.
    """
    sizes = {}
    for key in keys:
        members = [name for name in (f"{key}.npy", key) if name in archive.zip.NameToInfo]
        if not members:
            continue
        with archive.zip.open(members[0]) as member:
            header = _READERS.get(np.lib.format.read_magic(member))
            if header is None:
                continue  # numpy tells of it
            shape, _, dtype = header(member)
        sizes[key] = math.prod(shape) * dtype.itemsize, shape, dtype
    free = available_memory()
    if sum(size for size, _, _ in sizes.values()) <= free:
        return
    key = max(sizes, key=lambda name: sizes[name][0])
    size, shape, dtype = sizes[key]
    raise GentoolError(
        f"{path}: {key} has shape {shape} of {dtype}, which is {in_words(size)}, and "
        f"{in_words(free)} of memory are free; save fewer images, or as uint8"
    )


_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _keys(path: Path, names: list[str]) -> dict[str, str]:
    """Return the key of the archive for each of NPZ_KEYS; no test keys if it has no test set.

    Raise GentoolError if a key is missing, or if two keys have the same meaning.
    """
    keys: dict[str, str] = {}
    for role in NPZ_KEYS:
        content, half = role.split("_")
        words = [(h, c) for h in _HALVES[half] for c in _CONTENTS[content]]
        of_both = {h + c for h, c in words} | {c + h for h, c in words}
        if keyed := _only_key(path, role, names, of_both):
            keys[role] = keyed
    if not keys:  # one pair without a test set
        for role, content in (("x_train", "x"), ("y_train", "y")):
            if keyed := _only_key(path, content, names, set(_CONTENTS[content])):
                keys[role] = keyed
    has_test = bool({"x_test", "y_test"} & set(keys))
    needed = NPZ_KEYS if has_test or not keys else NPZ_KEYS[:2]
    if missing := [role for role in needed if role not in keys]:
        there = ", ".join(names[:8]) + (" and more" if len(names) > 8 else "") or "nothing"
        raise GentoolError(
            f"{path} has no {missing[0]}; it needs {', '.join(NPZ_KEYS)}, or x and y alone without "
            f"a test set (it has {there})"
        )
    return keys


def _only_key(path: Path, role: str, names: list[str], spellings: set[str]) -> str | None:
    """Return the key with the given meaning, None if there is none; Keras's own name is first.

    A test set goes before a validation set. Raise GentoolError if two keys are left.
    """
    if role in names:
        return role
    matching = [name for name in names if _plain(name) in spellings]
    if len(matching) > 1 and role.endswith("test"):
        proper = [
            name for name in matching if not any(word in _plain(name) for word in _VALIDATION)
        ]
        matching = proper or matching
    if len(matching) > 1:
        raise GentoolError(
            f"{path} has both {matching[0]} and {matching[1]}, either of which may be {role}; "
            f"name the right one {role}"
        )
    return matching[0] if matching else None


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def images_of(images: np.ndarray, name: str, reading: Reading = AS_STORED) -> Tensor:
    """Return images as (N, C, H, W), uint8 or float32; raise GentoolError for another form.

    Whole numbers from 0 to 255 of any type are taken as uint8.
    """
    if images.ndim not in (2, 3, 4) or 0 in images.shape:
        raise GentoolError(
            f"{name} has shape {images.shape}; it needs (N, H, W, C), (N, C, H, W), (N, H, W) or "
            "(N, F)"
        )
    if images.dtype == np.bool_:
        images = images.astype(np.uint8) * np.uint8(255)
    elif np.issubdtype(images.dtype, np.integer) and images.dtype != np.uint8:
        low, high = int(images.min()), int(images.max())
        if low < 0 or high > 255:
            raise GentoolError(
                f"{name} is of type {images.dtype} with values from {low} to {high}; save whole "
                "numbers from 0 to 255 as uint8, or others as floats on the scale that the network "
                "takes"
            )
        images = images.astype(np.uint8)
    if images.dtype != np.uint8:
        if not np.issubdtype(images.dtype, np.floating):
            raise GentoolError(f"{name} is of type {images.dtype}; images are uint8 or floats")
        with np.errstate(over="ignore"):
            images = images.astype(np.float32)
        if not (np.abs(images) < LARGEST).all():  # NaN is not below anything
            raise GentoolError(f"{name} has values that are NaN, infinite or too large for float32")
    if images.ndim == 2:
        images = images[:, None, None, :]
    elif images.ndim == 3:
        images = images[:, None]
    elif _channel_order(images.shape, name, reading) == "last":
        images = images.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(images))


def _channel_order(shape: tuple[int, ...], name: str, reading: Reading) -> str:
    """Return whether channels come `first` or `last` in a shape of four numbers.

    1, 3 or 4 channels prove it where only one of both readings has them. Raise GentoolError where
    both or none has.
    """
    if reading.channel_order is not None:
        return reading.channel_order
    _, first, _, last = shape
    if shape[1:] == (1, 1, 1):
        return "last"  # the same either way
    may_be_first, may_be_last = first in (1, 3, 4), last in (1, 3, 4)
    if may_be_last and not may_be_first:
        return "last"
    if may_be_first and last > 4:
        return "first"
    if reading.is_recorded:  # earlier versions took the channels as last
        return "last"
    sizes = "x".join(map(str, shape[1:]))
    raise GentoolError(
        f"{name} has images of {sizes}, which may be {_channels(first)} of {shape[2]}x{last} "
        f"or {_channels(last)} of {first}x{shape[2]}; say which with --channels-first or "
        "--channels-last"
    )


def _channels(count: int) -> str:
    return f"{count} channel{'s' * (count > 1)}"


def labels_of(labels: np.ndarray, images: int, name: str) -> tuple[Tensor, int | None]:
    """Return labels as (N,), and the number of classes where the labels are one-hot, else None.

    Floats that are whole numbers are labels too. Raise GentoolError unless each image has a whole
    number from 0.
    """
    classes = None
    if labels.ndim == 2 and labels.shape[0] == images and labels.shape[1] > 1:
        labels, classes = _of_one_hot(labels, name), labels.shape[1]
    if labels.shape not in ((images,), (images, 1)):
        raise GentoolError(
            f"{name} has shape {labels.shape}; one label is needed for each of {images} images"
        )
    if labels.dtype == np.bool_:
        labels = labels.astype(np.int64)
    if labels.dtype.kind in "US":
        raise GentoolError(
            f"{name} has words for labels; labels are whole numbers from 0: {_RELABEL}"
        )
    if labels.dtype.kind not in "iuf":
        raise GentoolError(f"{name} is of type {labels.dtype}; labels are whole numbers from 0")
    if labels.dtype.kind == "f":  # float16 cannot be compared with the largest label
        with np.errstate(over="ignore"):
            labels = labels.astype(np.float64)
    wrong = labels[~np.isfinite(labels) | (labels != np.floor(labels))]
    wrong = wrong if wrong.size else labels[(labels < 0) | (labels >= MOST_CLASSES)]
    if wrong.size:
        raise GentoolError(
            f"{name} has label {wrong.ravel()[0]}; labels are whole numbers from 0: {_RELABEL}"
        )
    return torch.from_numpy(labels.reshape(-1).astype(np.int64)), classes


def _of_one_hot(labels: np.ndarray, name: str) -> np.ndarray:
    """Return the places of the ones; raise GentoolError unless each row has a single one."""
    if labels.dtype.kind not in "biuf":
        raise GentoolError(f"{name} is of type {labels.dtype}; labels are whole numbers from 0")
    is_one = labels == 1
    if not ((is_one.sum(axis=1) == 1) & ((labels == 0).sum(axis=1) == labels.shape[1] - 1)).all():
        raise GentoolError(
            f"{name} has shape {labels.shape}, but its rows are not one-hot (a single 1, the rest "
            "0); give each image one whole number from 0"
        )
    return is_one.argmax(axis=1)


def _check_classes(train: Tensor, test: Tensor, classes: int | None, name: str) -> None:
    """Raise GentoolError, with the remedy, if a class has no training images."""
    if classes is not None:  # said, or the width of one-hot rows
        return
    present = train.unique().tolist()
    count = int(torch.cat([train, test]).max()) + 1
    missing = sorted(set(range(count)) - set(present))
    if not missing and count > 1:
        return
    if count == 1:
        raise GentoolError(
            f"{name} has label 0 alone; classes are needed: give the images of each class another "
            "label, or say how many there are with --classes 10"
        )
    named = ", ".join(map(str, missing[:5])) + (" and more" if len(missing) > 5 else "")
    shown = ", ".join(map(str, present[:5])) + (" and more" if len(present) > 5 else "")
    what = "class" if len(missing) == 1 else "classes"
    from_one = missing == [0]
    remedy = "subtract 1 from all labels, which begin at 0" if from_one else _RELABEL
    raise GentoolError(
        f"{name} has labels {shown}, but no image of {what} {named}; {remedy}; or, if these are "
        f"some classes of a larger set, say how many that has with --classes {count}"
    )
