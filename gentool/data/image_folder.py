"""Read folders of images, an ImageFolder tree, and cache the decoded images.

The trap avoided: a cache that no longer agrees with its folder. Its key is a hash over the path and
the content of every image, so that any change makes another key; hashing 60,000 small files takes
seconds, decoding them much longer.
"""

import hashlib
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gentool.common.console import progress, say
from gentool.common.errors import GentoolError
from gentool.common.files import write_whole
from gentool.common.paths import cache_dir

CACHE_FORMAT = 1
Arrays = tuple[Tensor, Tensor, Tensor, Tensor]
Image = tuple[Path, int]  # the file of an image, and its class


def read_folder(
    path: Path, show_progress: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, int, str, tuple[str, ...]]:
    """Return the fields of a DataSet: arrays, number of classes, fingerprint and class names.

    Images are RGB, uint8, of shape (N, 3, H, W), in the order of their names.

    Raise GentoolError for a folder without train/ and test/ of the same classes, an image that
    cannot be decoded, and images of several sizes.
    """
    train, train_classes = _list_images(path / "train")
    test, test_classes = _list_images(path / "test")
    if train_classes != test_classes:
        name = sorted(set(train_classes) ^ set(test_classes))[0]
        raise GentoolError(f"{path}: class {name!r} is not in both train/ and test/")
    fingerprint = _fingerprint(path, [*train, *test])
    arrays = _read_cache(fingerprint)
    if arrays is None:
        images = _decode_all([file for file, _ in [*train, *test]], show_progress)
        labels = torch.tensor([label for _, label in [*train, *test]])
        n = len(train)
        arrays = (images[:n], labels[:n], images[n:], labels[n:])
        _write_cache(fingerprint, arrays)
    return *arrays, max(2, len(train_classes)), fingerprint, tuple(train_classes)


def _list_images(path: Path) -> tuple[list[Image], list[str]]:
    """Return the images below a folder of classes, and the names of the classes."""
    from torchvision.datasets import ImageFolder

    if not path.is_dir():
        raise GentoolError(
            f"{path} does not exist; folder:DIR needs DIR/train/CLASS and DIR/test/CLASS"
        )
    try:
        listing = ImageFolder(path)
    except (FileNotFoundError, OSError) as error:
        raise GentoolError(f"{path} is not a tree of images: {error}") from error
    return [(Path(file), label) for file, label in listing.samples], listing.classes


def _fingerprint(path: Path, images: Iterable[Image]) -> str:
    """Return the SHA-256 over the path below the folder and the content of every image."""
    digest = hashlib.sha256()
    for file, _ in images:
        name = file.relative_to(path).as_posix()
        try:
            content = file.read_bytes()
        except OSError as error:
            raise GentoolError(f"cannot read {file}: {error.strerror}") from error
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _decode_all(files: list[Path], show_progress: bool) -> Tensor:
    """Decode all images in several threads, to shape (N, 3, H, W)."""
    with ThreadPoolExecutor() as pool, progress(not show_progress) as bar:
        task = bar.add_task("decoding images", total=len(files))
        decoded: np.ndarray | None = None
        for i, image in enumerate(pool.map(_decode, files)):
            if decoded is None:
                decoded = np.empty((len(files), *image.shape), dtype=np.uint8)
            if image.shape != decoded.shape[1:]:
                size, first = _size(image.shape), _size(decoded.shape[1:])
                raise GentoolError(f"{files[i]} is {size}, but {files[0]} is {first}; resize them")
            decoded[i] = image
            bar.update(task, completed=i + 1)
    return torch.from_numpy(np.ascontiguousarray(decoded.transpose(0, 3, 1, 2)))


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape[:2]))


def _decode(file: Path) -> np.ndarray:
    """Decode one image, to shape (H, W, 3)."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise GentoolError(f"{file} cannot be decoded ({error}); replace or remove it") from error


def _cache_file(fingerprint: str) -> Path:
    """Return the cache file of a folder, another one for each version of the decoder."""
    import PIL

    key = hashlib.sha256(f"{fingerprint} {PIL.__version__} {CACHE_FORMAT}".encode()).hexdigest()
    return cache_dir() / "decoded" / f"{key}.npz"


def _read_cache(fingerprint: str) -> Arrays | None:
    """Return the decoded arrays, or None if they are not in the cache or damaged there."""
    file = _cache_file(fingerprint)
    if not file.exists():
        return None
    try:
        with np.load(file, allow_pickle=False) as archive:
            return tuple(torch.from_numpy(archive[f"arr_{i}"]) for i in range(4))
    except Exception as error:  # a damaged zip raises anything
        say(f"{file} is damaged; the images are decoded again ({error})")
        return None


def _write_cache(fingerprint: str, arrays: Arrays) -> None:
    """Write the decoded arrays to the cache; if that fails, say so and go on without it."""
    file = _cache_file(fingerprint)
    content = io.BytesIO()
    np.savez(content, *(array.numpy() for array in arrays))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.getvalue())
    except (OSError, GentoolError) as error:
        say(f"the decoded images are not cached: {error}")
