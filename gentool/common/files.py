"""Write output files whole or not at all, and replace an existing one only if told to.

The trap avoided: a program that is killed, or a disk that fills up, while a file is half-written.
All content goes to a temporary file in the same folder, is flushed to the disk, and is then
renamed, which is atomic. A process holds its temporary files locked: one that nobody holds was left
by a process that was killed, and the next command that writes to the folder removes it.
"""

import hashlib
import os
import tempfile
from contextlib import suppress
from enum import Enum
from pathlib import Path

from gentool.common import stops
from gentool.common.errors import GentoolError
from gentool.common.locks import LOCK, lock, remove_abandoned

TEMPORARY = ".gentool-tmp"  # the ending of temporary files


class Existing(Enum):
    """Choose what to do with an output file that exists already."""

    ERROR = "error"
    FORCE = "force"
    SKIP = "skip"
    EXTEND = "extend"


def check_output(path: Path, existing: Existing) -> bool:
    """Return whether `path` has to be written.

    Raise GentoolError, before any work is done, if it cannot or must not be written.
    """
    folder = path.parent
    if path.is_dir():
        raise GentoolError(f"{path} is a folder; name a file with -o")
    if path.exists():
        if existing is Existing.ERROR:
            raise GentoolError(
                f"{path} exists; replace it with --force or keep it with --skip-existing"
            )
        if existing is Existing.SKIP:
            return False
    if not folder.is_dir():
        raise GentoolError(
            f"the folder {folder} does not exist; make it first or name another with -o"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise GentoolError(f"the folder {folder} is not writable; name another with -o")
    remove_abandoned(folder, TEMPORARY, LOCK)
    return True


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` as a whole: temporary file beside it, fsync, rename.

    Signals that stop the process are held back until then. Raise GentoolError with the system's
    reason (disk full, no permission); `path` is then as it was before.
    """
    temporary = None
    with stops.held():
        try:
            descriptor, temporary = _temporary_beside(path)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(temporary, 0o666 & ~_umask())
                os.replace(temporary, path)
        except OSError as error:
            raise GentoolError(
                f"cannot write {path}: {error.strerror or error}; nothing was changed"
            ) from error
        finally:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)


def _temporary_beside(path: Path) -> tuple[int, str]:
    """Return descriptor and name of a new temporary file, locked by this process."""
    while True:
        descriptor, name = tempfile.mkstemp(TEMPORARY, f".{path.name}.", path.parent)
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
