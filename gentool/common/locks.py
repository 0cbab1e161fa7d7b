"""Lock files of this process, so that others see that it lives, and remove those of dead ones.

A lock of the operating system (flock) ends with its process, however that ends: no process id,
which another process may have by now, and no host name has to be compared. By fcntl and not by the
library filelock, which does not notice that a locked file was removed meanwhile.
"""

import hashlib
import os
import platform
from pathlib import Path

from gentool.common.json import Json, dumps, loads

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = ".gentool-lock"  # the ending of lock files
LONGEST_NAME = 200  # bytes of an output's name in that of its lock file


def lock(descriptor: int, *, wait: bool = True) -> bool:
    """Lock an open file until it is closed; return False if another process holds it.

    With `wait` wait until it is free. Raise OSError on a file system that has no locks.
    """
    if fcntl is None:
        raise OSError("this system has no flock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def remove_abandoned(folder: Path, *endings: str) -> None:
    """Remove the hidden files in a folder with these endings that no process holds."""
    with os.scandir(folder) as entries:
        names = [e.path for e in entries if e.name.startswith(".") and e.name.endswith(endings)]
    for name in names:
        try:
            descriptor = os.open(name, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        except OSError:
            continue  # its process has removed it, or another user's
        try:
            if lock(descriptor, wait=False):
                os.unlink(name)
        except OSError:
            continue  # without locks nobody knows; a sticky folder keeps the files of others
        finally:
            os.close(descriptor)


class OutputLock:
    """Hold an output, so that no other process writes it; a context manager that lets it go.

    The lock is a hidden file beside the output, which says who holds it; it is removed at the end,
    or by the next command after the process was killed.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self._path, self._descriptor = path, descriptor

    def release(self) -> None:
        """Let the output go; nothing if that is done."""
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)  # before others can lock it
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "OutputLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock_path(output: Path) -> Path:
    """Return the path of the lock file of an output, also where its name is nearly too long."""
    name = output.name
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return output.with_name(f".{name}{LOCK}")


def lock_output(output: Path, about: Json) -> OutputLock | Json:
    """Lock an output, or return what its holder has said about itself.

    `about` is what this process says. On a file system without locks nothing is locked.
    """
    path = lock_path(output)
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return OutputLock(path, None)  # reported where the output is written
        try:
            is_ours = lock(descriptor, wait=False)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return OutputLock(path, None)
        if not is_ours:
            with os.fdopen(descriptor, "rb") as file:
                return _said(file.read())
        if os.fstat(descriptor).st_nlink:  # another process may have removed it before
            own = {"pid": os.getpid(), "host": platform.node()}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, dumps(own | about).encode(), 0)
            return OutputLock(path, descriptor)
        os.close(descriptor)


def _said(content: bytes) -> Json:
    """Return what a lock file says; nothing if its holder has not written it yet."""
    try:
        value = loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
