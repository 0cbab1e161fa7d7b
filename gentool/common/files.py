"""Write output files whole or not at all, and replace an existing one only if told to.

The trap avoided: a program that is killed, or a disk that fills up, while a file is half-written.
All content goes to a temporary file in the same folder, is flushed to the disk, and is then
renamed, which is atomic. A process holds its temporary files locked: one that nobody holds was left
by a process that was killed, and the next command that writes to the folder removes it.

Links are followed, and streams, as /dev/stdout and FIFOs, are written into (see `special_files`).
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path

from gentool.common import stops
from gentool.common.errors import GentoolError
from gentool.common.locks import LOCK, OutputLock, lock, lock_output, remove_abandoned
from gentool.common.special_files import target_of, write_into

TEMPORARY = ".gentool-tmp"  # the ending of temporary files
NAME_KEPT = 100  # bytes of a file's name in that of its temporary file
POLL = 0.02  # seconds between two tries to lock an output


class Existing(Enum):
    """Choose what to do with an output file that exists already."""

    ERROR = "error"
    FORCE = "force"
    SKIP = "skip"
    EXTEND = "extend"


def check_output(path: Path, existing: Existing) -> bool:
    """Return whether `path` has to be written; a stream always has.

    Raise GentoolError, before any work is done, if it cannot or must not be written.
    """
    target = target_of(path)
    if target.is_stream:
        return True
    if path.is_dir():
        raise GentoolError(f"{path} is a folder; name a file with -o")
    if path.exists():
        if existing is Existing.ERROR:
            raise GentoolError(
                f"{path} exists; replace it with --force or keep it with --skip-existing"
            )
        if existing is Existing.SKIP:
            return False
    folder = target.path.parent
    linked = f", to which {path} links," if target.path != path else ""
    if not folder.is_dir():
        raise GentoolError(
            f"the folder {folder}{linked} does not exist; make it first or name another with -o"
        )
    try:
        descriptor, temporary = _temporary_beside(target.path)
    except OSError as error:
        raise GentoolError(
            f"the folder {folder}{linked} is not writable ({error.strerror}); name another with -o"
        ) from error
    os.close(descriptor)
    Path(temporary).unlink(missing_ok=True)
    remove_abandoned(folder, TEMPORARY, LOCK)
    return True


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` as a whole: temporary file beside it, fsync, rename.

    A link is followed, a stream written into. Signals that stop the process are held back until
    then. Raise GentoolError with the system's reason (disk full, no permission); `path` is then as
    it was before.
    """
    target = target_of(path)
    if target.is_stream:
        try:
            write_into(target, content)
        except BrokenPipeError:
            raise  # nobody reads any more
        except OSError as error:
            raise GentoolError(f"cannot write into {path}: {error.strerror or error}") from error
        return
    temporary = None
    with stops.held():
        try:
            descriptor, temporary = _temporary_beside(target.path)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(temporary, 0o666 & ~_umask())
                os.replace(temporary, target.path)
        except OSError as error:
            raise GentoolError(
                f"cannot write {path}: {error.strerror or error}; nothing was changed"
            ) from error
        finally:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock an output while it is read, changed and written again; wait for others that do so.

    What one command adds to a file is then not lost when another one adds to it at the same time.
    A stream is not locked, nor is anything on a file system without locks.
    """
    target = target_of(path)
    if target.is_stream:
        yield
        return
    while not isinstance(ours := lock_output(target.path, {}), OutputLock):
        time.sleep(POLL)
    with ours:
        yield


def _temporary_beside(path: Path) -> tuple[int, str]:
    """Return descriptor and name of a new temporary file, locked by this process."""
    start = os.fsdecode(os.fsencode(path.name)[:NAME_KEPT])
    while True:
        descriptor, name = tempfile.mkstemp(TEMPORARY, f".{start}.", path.parent)
        with suppress(OSError):  # without locks nobody takes it for abandoned
            lock(descriptor)
        if os.fstat(descriptor).st_nlink:
            return descriptor, name
        os.close(descriptor)  # another process took it for abandoned before it was locked


def _umask() -> int:
    """Return the umask of the process: temporary files are private, output files need not be."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
