"""Read folders of images, an ImageFolder tree, and cache the decoded images.

The trap avoided: a cache that no longer agrees with its folder. Its key is a hash over the path and
the content of every image, so that any change makes another key; hashing 60,000 small files takes
seconds, decoding them much longer.
"""

import hashlib
import io
import os
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gentool.common.console import say
from gentool.common.errors import GentoolError
from gentool.common.files import write_whole
from gentool.common.memory import available_memory, in_words
from gentool.common.paths import cache_dir
from gentool.common.progress import progress
from gentool.data.dataset import DataSet
from gentool.data.decoding import (
    AS_BEFORE,
    FLOATS,
    NOTES,
    SCALED,
    SIXTEEN_BITS,
    SMALL,
    decode,
)
from gentool.data.reading import AS_STORED, Reading

CACHE_FORMAT = 3
Arrays = tuple[Tensor, Tensor, Tensor, Tensor]
Image = tuple[Path, int]  # the file of an image, and its class
TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation", "dev")  # the first that exists


def read_folder(path: Path, show_progress: bool, reading: Reading = AS_STORED) -> DataSet:
    """Return the images of DIR/train/CLASS and DIR/test/CLASS (or val) as a data set.

    Without a folder of test images there are none, which the notes say.

    Images are of shape (N, C, H, W), RGB unless `reading` says one channel, in the order of their
    names: uint8, or floats if an image has more grey values (see `decoding`). Hidden files and
    folders are left aside.

    Raise GentoolError for a folder without train/, a test/ of other classes, an image that cannot
    be decoded, and images of several sizes.
    """
    train_folder, test_folder = _half(path, TRAIN_FOLDERS), _half(path, TEST_FOLDERS)
    if train_folder is None:
        raise GentoolError(
            f"{path / TRAIN_FOLDERS[0]} does not exist; folder:DIR needs DIR/train/CLASS and "
            "DIR/test/CLASS (or DIR/val/CLASS)"
        )
    train, classes = _list_images(train_folder)
    test, notes = [], []
    if test_folder is None:
        names = ", ".join(TEST_FOLDERS)
        notes.append(f"{path} has no test images ({names}), so that there is no test error")
    else:
        test, test_classes = _list_images(test_folder)
        if classes != test_classes:
            name = sorted(set(classes) ^ set(test_classes))[0]
            raise GentoolError(
                f"{path}: class {name!r} is not in both {train_folder.name}/ and "
                f"{test_folder.name}/; give it images in both, or remove it"
            )
        if not test_folder.name.lower().startswith("test"):
            notes.append(f"the images of {test_folder.name}/ are the test set")
    fingerprint = _fingerprint(path, [*train, *test])
    cache_file = _cache_file(fingerprint, reading)
    stored = _read_cache(cache_file, train, test)
    if stored is None:
        images, traits = _decode_all([file for file, _ in [*train, *test]], show_progress, reading)
        labels = torch.tensor([label for _, label in [*train, *test]])
        n = len(train)
        stored = (images[:n], labels[:n], images[n:], labels[n:]), traits
        _write_cache(cache_file, *stored)
    arrays, traits = stored
    notes += [NOTES[trait] for trait in traits]
    return DataSet(
        *arrays,
        classes=max(2, len(classes)),
        fingerprint=_of_reading(fingerprint, reading, traits),
        names=tuple(classes),
        notes=tuple(notes),
    )


def _half(path: Path, names: tuple[str, ...]) -> Path | None:
    """Return the folder of one half: the first of the names that exists, in any case."""
    try:
        folders = {entry.name: Path(entry) for entry in os.scandir(path) if entry.is_dir()}
    except OSError as error:
        raise GentoolError(f"{path} is not a tree of images: {error}") from error
    for name in names:
        if name in folders:
            return folders[name]
        if same := sorted(folder for folder in folders if folder.lower() == name):
            return folders[same[0]]
    return None


def _list_images(path: Path) -> tuple[list[Image], list[str]]:
    """Return the images below a folder of classes, and the names of the classes.

    The order is that of torchvision's ImageFolder.
    """
    from torchvision.datasets.folder import IMG_EXTENSIONS

    try:
        classes = sorted(
            entry.name
            for entry in os.scandir(path)
            if entry.is_dir() and not _is_hidden(entry.name)
        )
        images: list[Image] = []
        for label, name in enumerate(classes):
            there = list(_files(path / name))
            files = [file for file in there if file.name.lower().endswith(IMG_EXTENSIONS)]
            if not files:
                kinds = sorted({file.suffix.lower() for file in there if file.suffix})[:5]
                has = f" but {', '.join(kinds)}" if kinds else ""
                raise GentoolError(
                    f"{path} is not a tree of images: class {name!r} has none "
                    f"({', '.join(IMG_EXTENSIONS)}){has}; add images or remove the folder"
                )
            images += [(file, label) for file in files]
    except OSError as error:
        raise GentoolError(f"{path} is not a tree of images: {error}") from error
    if not classes:
        raise GentoolError(
            f"{path} is not a tree of images: it has no folders; put the images of each class into "
            "a folder of their own"
        )
    return images, classes


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that are not hidden, in the order of torchvision."""
    for root, _, names in sorted(os.walk(folder, followlinks=True)):
        hidden = Path(root).relative_to(folder).parts
        if any(map(_is_hidden, hidden)):
            continue
        target = os.path.realpath(root)
        if any(target == os.path.realpath(above) for above in Path(root).parents):
            raise GentoolError(f"{root} links to a folder that it is in; remove the link")
        yield from (Path(root, name) for name in sorted(names) if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    """Return whether a name is that of a hidden file or folder, or of a Mac's archive folder."""
    return name.startswith(".") or name == "__MACOSX"


def _of_reading(fingerprint: str, reading: Reading, traits: tuple[str, ...]) -> str:
    """Return the fingerprint of a folder read in some way.

    It is that of the files alone for images of 8 bits read as they are, as in earlier versions.
    """
    options = {"channels": reading.channels, "resize": reading.resize}
    ways = [f"{name}={value}" for name, value in options.items() if value is not None]
    ways += [trait for trait in traits if trait not in AS_BEFORE]
    if not ways:
        return fingerprint
    return hashlib.sha256(f"{fingerprint} {' '.join(ways)}".encode()).hexdigest()


def _fingerprint(path: Path, images: Iterable[Image]) -> str:
    """Return the SHA-256 over the path below the folder and the content of every image."""
    digest, above = hashlib.sha256(), len(path.parts)
    for file, _ in images:
        name = "/".join(file.parts[above:])  # relative_to takes longer than the file itself
        try:
            content = file.read_bytes()
        except OSError as error:
            raise GentoolError(f"cannot read {file}: {error.strerror}") from error
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _decode_all(
    files: list[Path], show_progress: bool, reading: Reading
) -> tuple[Tensor, tuple[str, ...]]:
    """Decode all images in several threads, to shape (N, C, H, W), and tell what is unusual.

    If some images are floats, those of 8 bits are scaled to [0, 1].
    """
    first_with: dict[str, Path] = {}  # the first file of each trait, "" for none
    with ThreadPoolExecutor() as pool, progress(not show_progress, "decoding images") as show:
        decoded: np.ndarray | None = None
        for i, image in enumerate(pool.map(lambda file: decode(file, reading), files)):
            pixels = image.pixels
            for trait in image.traits or ("",):
                first_with.setdefault(trait, files[i])
            if decoded is None:
                _check_memory(files, pixels)
                decoded = np.empty((len(files), *pixels.shape), dtype=pixels.dtype)
            if pixels.shape != decoded.shape[1:]:
                size, first = _size(pixels.shape), _size(decoded.shape[1:])
                raise GentoolError(
                    f"{files[i]} is {size}, but {files[0]} is {first}; resize them, as with "
                    f"--resize {decoded.shape[1]}"
                )
            if pixels.dtype != decoded.dtype:
                decoded, pixels = map(_scaled, (decoded, pixels))
            decoded[i] = pixels
            show((i + 1) / len(files))
    others = [trait for trait in first_with if trait != FLOATS]
    if FLOATS in first_with and others:
        raise GentoolError(
            f"{first_with[FLOATS]} is an image of floats, but {first_with[others[0]]} is not; "
            "save all images in one format"
        )
    traits = tuple(sorted(filter(None, first_with)))
    if SCALED in traits and set(first_with) <= {SCALED, SIXTEEN_BITS}:
        values = np.rint(decoded * np.float64(65535))
        if values.max() <= 255:  # of all images, since one dark image does not show it
            decoded, traits = values.astype(np.uint8), (SMALL,)
    return torch.from_numpy(np.ascontiguousarray(decoded.transpose(0, 3, 1, 2))), traits


def _check_memory(files: list[Path], pixels: np.ndarray) -> None:
    """Raise GentoolError, before all images are decoded, if memory cannot hold them."""
    size, free = len(files) * pixels.nbytes, available_memory()
    if size > free:
        raise GentoolError(
            f"{len(files)} images as {files[0]} ({_size(pixels.shape)}) are {in_words(size)}, and "
            f"{in_words(free)} of memory are free; make them smaller, as with --resize 64"
        )


def _scaled(pixels: np.ndarray) -> np.ndarray:
    """Return floats from 0 to 1 of pixels of 8 bits, and floats as they are."""
    return pixels.astype(np.float32) / np.float32(255) if pixels.dtype == np.uint8 else pixels


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape[:2]))


def _cache_file(fingerprint: str, reading: Reading = AS_STORED) -> Path:
    """Return the cache file of a folder, another for each reading and version of the decoder."""
    import PIL

    way = f"{reading.channels} {reading.resize} {PIL.__version__} {CACHE_FORMAT}"
    key = hashlib.sha256(f"{fingerprint} {way}".encode()).hexdigest()
    return cache_dir() / "decoded" / f"{key}.npz"


def _read_cache(
    file: Path, train: list[Image], test: list[Image]
) -> tuple[Arrays, tuple[str, ...]] | None:
    """Return the decoded arrays and their traits, None if they are not in the cache or damaged."""
    if not file.exists():
        return None
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of Python, on the text of a damaged header
            file.open("rb") as content,
            np.load(content, allow_pickle=False) as archive,
        ):
            arrays = tuple(np.asarray(archive[f"arr_{i}"]) for i in range(4))
            traits = tuple(np.ravel(archive["traits"]).tolist())
    except Exception as error:  # a damaged zip raises anything
        fault = str(error)
    else:
        fault = _fault_of_cache(arrays, traits, train, test)
    if fault is not None:
        say(f"{file} is damaged; the images are decoded again ({fault})")
        return None
    return tuple(map(torch.from_numpy, arrays)), traits


def _fault_of_cache(
    arrays: tuple[np.ndarray, ...], traits: tuple[str, ...], train: list[Image], test: list[Image]
) -> str | None:
    """Return what is wrong with decoded arrays; None if they are of the images of a folder."""
    images, labels = arrays[::2], arrays[1::2]
    for part, of_part, listed in zip(images, labels, (train, test), strict=True):
        if part.ndim != 4 or len(part) != len(listed) or part.dtype not in (np.uint8, np.float32):
            return f"images are {part.dtype} {part.shape}, of {len(listed)} files"
        if part.dtype == np.float32 and not np.isfinite(part).all():
            return "images are not finite"
        if of_part.dtype != np.int64 or of_part.tolist() != [label for _, label in listed]:
            return "labels are others than those of the folders"
    if images[0].dtype != images[1].dtype or images[0].shape[1:] != images[1].shape[1:]:
        return "training and test images differ in shape or type"
    unknown = sorted(set(traits) - set(NOTES), key=str)
    return f"the trait {unknown[0]!r} is unknown" if unknown else None


def _write_cache(file: Path, arrays: Arrays, traits: tuple[str, ...]) -> None:
    """Write decoded arrays and traits to the cache; if that fails, say so and go on without it."""
    content = io.BytesIO()
    np.savez(content, *(array.numpy() for array in arrays), traits=np.array(traits, dtype=np.str_))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.getvalue())
    except (OSError, GentoolError) as error:
        say(f"the decoded images are not cached: {error}")
