"""Open a file of torch.save (or a plain pickle) and build its tensors from the bytes stored.

Nothing that the pickle names is imported or called: see `inert_pickle`. The traps avoided: a shape
or stride that reaches beyond the numbers stored, a zip entry that unpacks to more than the file,
and a storage of another type than its tensor.
"""

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from gentool.checkpoints.foreign.inert_pickle import (
    DamagedPickle,
    Inert,
    Persistent,
    read_pickle,
)
from gentool.common.errors import GentoolError

MAGIC = 0x1950A86A20F9469CFC6C
LARGEST_SIZE = 2**62
_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
_NUMPY_TYPES = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "u1": torch.uint8,
    "b1": torch.bool,
}
_TYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in vars(torch).values()
    if isinstance(dtype, torch.dtype)
}
_WRAPPERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_VIEWS = (
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
)
_UNREADABLE = {
    "torch._utils._rebuild_sparse_tensor": "is sparse",
    "torch._utils._rebuild_sparse_csr_tensor": "is sparse",
    "torch._utils._rebuild_qtensor": "is quantised",
    "torch._utils._rebuild_nested_tensor": "is a nested tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "is without values, on the meta device",
    "torch._utils._rebuild_wrapper_subclass": "is of a tensor class of its own",
}
_ARRAYS = ("multiarray._reconstruct", "numeric._frombuffer", "multiarray.scalar")


@dataclass(frozen=True)
class StoredTensor:
    """Describe a tensor before its numbers are read; `trouble` tells why they cannot be.

    Two descriptions with the same `place` share their numbers.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...] | None
    offset: int
    storage: object
    trouble: str | None = None

    @property
    def place(self) -> tuple[object, ...]:
        key = self.storage if isinstance(self.storage, str) else id(self.storage)
        return (key, self.offset, self.shape, self.dtype)


class PickledFile:
    """Hold the content of a file of torch.save as plain containers and `Inert` objects."""

    def __init__(self, root: object, storages: "_Storages") -> None:
        self.root = root
        self._storages = storages

    def stored(self, value: object) -> StoredTensor | None:
        """Return the description of a tensor or NumPy array, None for any other object."""
        for _ in range(8):
            if not isinstance(value, Inert):
                return None
            name, args = value.name, value.args
            if name in _WRAPPERS:
                value = args[0] if isinstance(args, tuple) and args else None
            elif name == "torch._tensor._rebuild_from_type_v2":
                value = _of_subclass(args)
            else:
                break
        if not isinstance(value, Inert):
            return None
        if name in _UNREADABLE:
            return StoredTensor(torch.float32, (), None, 0, None, _UNREADABLE[name])
        try:
            if name in _VIEWS:
                return self._view(args, name.endswith("v3"))
            if name == "torch._utils._rebuild_device_tensor_from_numpy":
                return self.stored(args[0])
            if name.startswith("numpy.") and name.endswith(_ARRAYS):
                return _array(value)
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError):
            raise GentoolError("a tensor in it is damaged; copy the file again") from None
        return None

    def read(self, stored: StoredTensor) -> Tensor:
        """Return the tensor of a description. Raise GentoolError if the file stores too little."""
        flat = self._flat(stored)
        shape = stored.shape
        stride = stored.stride
        if stride is None:
            stride = _contiguous(shape)
        last = stored.offset + sum(
            (size - 1) * step for size, step in zip(shape, stride, strict=True)
        )
        if math.prod(shape) > 0 and last >= flat.numel():
            raise GentoolError("a tensor in it reaches beyond the numbers stored; copy it again")
        if math.prod(shape) == 0:
            return torch.empty(shape, dtype=stored.dtype) if max(shape) < 2**31 else flat[:0]
        return flat.as_strided(shape, stride, stored.offset)

    def _flat(self, stored: StoredTensor) -> Tensor:
        raw = stored.storage
        if isinstance(raw, str):
            raw = self._storages.read(raw)
        size = stored.dtype.itemsize
        if len(raw) < size:
            return torch.empty(0, dtype=stored.dtype)
        return torch.frombuffer(raw, dtype=stored.dtype, count=len(raw) // size)

    def _view(self, args: tuple, has_dtype: bool) -> StoredTensor:
        storage, offset, shape, stride = args[:4]
        key, dtype = self._storage(storage)
        if has_dtype:
            dtype = _TYPES[args[6].name]
        shape, stride = tuple(shape), tuple(stride)
        if len(shape) != len(stride) or len(shape) > 64:
            raise ValueError("sizes and strides differ")
        for number in (offset, *shape, *stride):
            if type(number) is not int or not 0 <= number < LARGEST_SIZE:
                raise ValueError("a size is no count")
        if dtype is None:
            return StoredTensor(torch.float32, shape, stride, offset, None, "is quantised")
        return StoredTensor(dtype, shape, stride, offset, key)

    def _storage(self, storage: object) -> tuple[object, torch.dtype | None]:
        """Return the key or the bytes of a storage, and its type; None if that is quantised."""
        if isinstance(storage, Inert) and storage.name == "torch.storage._load_from_bytes":
            if not isinstance(storage.state, tuple):  # read once: tied tensors share it
                storage.state = _nested_storage(storage.args[0])
            return storage.state
        tag, kind, key, *rest = storage.key
        if tag != "storage" or not isinstance(storage, Persistent):
            raise ValueError("not a storage")
        if len(rest) > 2 and rest[2] is not None:
            raise GentoolError(
                "its tensors are views of a PyTorch before 0.4; load it with that version and "
                "save its state_dict() again"
            )
        return str(key), _storage_type(kind)


def _of_subclass(args: object) -> object:
    """Return the call that makes the data of a tensor of a subclass."""
    if isinstance(args, tuple) and len(args) >= 3:
        return Inert(args[0], args[2])
    return None


def _storage_type(kind: object) -> torch.dtype | None:
    name = kind.name
    if name in _STORAGES:
        return _STORAGES[name]
    if name in ("QInt8Storage", "QUInt8Storage", "QInt32Storage", "QUInt4x2Storage"):
        return None
    raise ValueError("no type of a storage")


def _array(value: Inert) -> StoredTensor | None:
    """Return the description of a NumPy array or scalar; None for one of objects or strings."""
    if value.name.endswith("scalar"):
        dtype, swaps = _numpy_type(value.args[0])
        shape, is_fortran, content = (), False, value.args[1] if len(value.args) > 1 else None
    elif value.name.endswith("_frombuffer"):
        content, dtype, shape, order = value.args
        is_fortran = order == "F"
        dtype, swaps = _numpy_type(dtype)
    else:
        if value.state is None:
            return None
        _, shape, dtype, is_fortran, content = value.state
        dtype, swaps = _numpy_type(dtype)
    content = _bytes(content)
    if dtype is None or content is None:
        return None
    if any(type(size) is not int or not 0 <= size < LARGEST_SIZE for size in shape):
        raise ValueError("a size is no count")
    if math.prod(shape) * dtype.itemsize > len(content) or len(shape) > 64:
        raise ValueError("an array is longer than its bytes")
    stride = tuple(reversed(_contiguous(tuple(reversed(shape))))) if is_fortran else None
    if swaps and dtype.itemsize > 1:
        width = dtype.itemsize
        content = bytearray(content[: len(content) // width * width])
        swapped = torch.frombuffer(content, dtype=torch.uint8).reshape(-1, width).flip(1)
        content = bytearray(swapped.numpy().tobytes())
    return StoredTensor(dtype, tuple(shape), stride, 0, bytearray(content))


def _numpy_type(dtype: object) -> tuple[torch.dtype | None, bool]:
    """Return the type of an array's numbers and whether their bytes are in the other order."""
    if isinstance(dtype, Inert) and dtype.name == "numpy.dtype":
        state = dtype.state
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "<"
        return _NUMPY_TYPES.get(_text(dtype.args[0])), _text(order) == ">"
    return None, False


def _text(value: object) -> object:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _bytes(value: object) -> bytes | bytearray | None:
    """Return bytes that a pickle holds; protocol 2 holds them as a string to be encoded."""
    if isinstance(value, Inert) and value.name.endswith(("_codecs.encode", ".bytes", ".bytearray")):
        value = value.args[0] if value.args else b""
    if isinstance(value, str):
        return value.encode("latin-1")
    return value if isinstance(value, (bytes, bytearray)) else None


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    stride = [1] * len(shape)
    for index in range(len(shape) - 2, -1, -1):
        stride[index] = stride[index + 1] * max(shape[index + 1], 1)
    return tuple(stride)


class _Storages:
    """Read the bytes of storages by their keys, each once, so that tied tensors share them."""

    def __init__(self) -> None:
        self._read: dict[str, bytearray] = {}

    def read(self, key: str) -> bytearray:
        if key not in self._read:
            self._read[key] = self._bytes_of(key)
        return self._read[key]

    def _bytes_of(self, key: str) -> bytearray:
        raise GentoolError(f"the numbers of storage {key[:80]!r} are missing; copy the file again")


class _ZipStorages(_Storages):
    """Read storages from the entries of a zip, `NAME/data/KEY`."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__()
        self._archive = archive
        self._folder = folder

    def _bytes_of(self, key: str) -> bytearray:
        try:
            entry = self._archive.getinfo(f"{self._folder}data/{key}")
        except KeyError:
            return super()._bytes_of(key)
        return _entry_bytes(self._archive, entry)


def _entry_bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytearray:
    """Return the bytes of an entry; its checksum is not compared: torch.save may leave it out."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        return bytearray(archive.read(entry))
    file = archive.fp
    file.seek(entry.header_offset)
    header = file.read(30)
    if header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("an entry of the archive is not where its index says")
    file.seek(
        entry.header_offset
        + 30
        + int.from_bytes(header[26:28], "little")
        + int.from_bytes(header[28:30], "little")
    )
    content = bytearray(file.read(entry.file_size))
    if len(content) < entry.file_size:
        raise zipfile.BadZipFile("the archive is shorter than its index says")
    return content


class _LegacyStorages(_Storages):
    """Hold the storages that follow the pickles in a file of torch.save before version 1.6."""

    def __init__(self, file: BinaryIO, keys: object, types: dict[str, object]) -> None:
        super().__init__()
        if not isinstance(keys, list):
            raise DamagedPickle("the list of storages is missing")
        for key in map(str, keys):
            dtype = _storage_type(types[key]) if key in types else None
            count = int.from_bytes(file.read(8), "little", signed=True)
            length = count * (dtype.itemsize if dtype is not None else 1)
            if count < 0 or length > LARGEST_SIZE:
                raise DamagedPickle("a storage has no length")
            content = bytearray(_read_at_most(file, length))
            if len(content) < length:
                raise DamagedPickle("the file ends within its numbers")
            self._read[key] = content


def _read_at_most(file: BinaryIO, length: int) -> bytes:
    """Read bytes, without reserving memory for more than the file has."""
    here = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(here)
    return file.read(min(length, end - here))


@contextmanager
def open_pickled(path: Path | BinaryIO) -> Iterator[PickledFile]:
    """Open a file of torch.save, of any version, or a plain pickle of tensors or arrays.

    `path` names it, or is its content. Raise DamagedPickle, zipfile.BadZipFile or OSError if it is
    damaged.
    """
    with path.open("rb") if isinstance(path, Path) else path as file:
        if file.read(2) == b"PK":
            with zipfile.ZipFile(file) as archive:
                folder = _folder(archive)
                pickled = _entry_bytes(archive, archive.getinfo(f"{folder}data.pkl"))
                root, _ = read_pickle(io.BytesIO(pickled))
                yield PickledFile(root, _ZipStorages(archive, folder))
        else:
            file.seek(0)
            yield _legacy(file)


def _folder(archive: zipfile.ZipFile) -> str:
    """Return the folder of the archive in which torch.save wrote; raise GentoolError if none."""
    names = archive.namelist()
    folders = [name.removesuffix("data.pkl") for name in names if name.endswith("data.pkl")]
    if len(folders) != 1 or folders[0].count("/") > 1:
        raise GentoolError("it is a zip archive, but not one of torch.save")
    order = f"{folders[0]}byteorder"
    if order in names and archive.read(order).strip() not in (b"little", b""):
        raise GentoolError("its numbers are in big-endian order; save it on another machine")
    return folders[0]


def _legacy(file: BinaryIO) -> PickledFile:
    """Return the content of a file before version 1.6: five pickles, then the storages."""
    root, _ = read_pickle(file)
    if root != MAGIC or type(root) is not int:
        return PickledFile(root, _Storages())
    for _ in range(2):  # the version of the protocol, and the sizes of numbers
        read_pickle(file)
    root, persistent = read_pickle(file)
    keys, _ = read_pickle(file)
    types = {str(key[2]): key[1] for key in persistent if isinstance(key, tuple) and len(key) > 2}
    return PickledFile(root, _LegacyStorages(file, keys, types))


def _nested_storage(content: object) -> tuple[bytearray, torch.dtype | None]:
    """Return bytes and type of a storage that a plain pickle holds as a file within the file."""
    content = _bytes(content)
    if content is None:
        raise ValueError("no bytes")
    try:
        if content[:2] == b"PK":
            raise ValueError("a zip within a pickle")
        inner = _legacy(io.BytesIO(content))
    except DamagedPickle as error:
        raise ValueError("damaged") from error
    if not isinstance(inner.root, Persistent):
        raise ValueError("no storage")
    key, dtype = inner._storage(inner.root)
    return inner._storages.read(key), dtype
