"""Write output files whole or not at all, and replace an existing one only if told to.

The trap avoided: a program that is killed, or a disk that fills up, while a file is half-written.
All content goes to a temporary file in the same folder, is flushed to the disk, and is then
renamed, which is atomic.
"""

import hashlib
import os
import tempfile
from enum import Enum
from pathlib import Path

from gentool.common.errors import GentoolError


class Existing(Enum):
    """Choose what to do with an output file that exists already."""

    ERROR = "error"
    FORCE = "force"
    SKIP = "skip"


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
    return True


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` as a whole: temporary file beside it, fsync, rename.

    Raise GentoolError with the system's reason (disk full, no permission); `path` is then as it
    was before.
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
    """Return the umask of the process: temporary files are private, output files need not be."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
