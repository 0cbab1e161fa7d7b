"""Output files: whole or not at all, and never over what a user had without being told to.

The trap avoided here: a program killed, or a disk that fills up, while a file is half-written.
Everything goes to a temporary file in the same folder first, is flushed to the disk, and is then
renamed, which is atomic.
"""

import hashlib
import os
import tempfile
from enum import Enum
from pathlib import Path

from gentool.common.errors import GentoolError


class Existing(Enum):
    """What to do with an output file that is already there."""

    ERROR = "error"
    FORCE = "force"
    SKIP = "skip"


def check_output(path: Path, existing: Existing) -> bool:
    """Whether `path` has to be written.

    Raises GentoolError, before any work is done, where it cannot or must not be.
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
    return True


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` at once: temporary file beside it, fsync, rename.

    Raises GentoolError with the system's reason (disk full, no permission); `path` is then as it
    was.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise GentoolError(
            f"cannot write {path}: {error.strerror or error}; nothing was changed"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    """The process's umask: temporary files are private, the files that people are given are not."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
