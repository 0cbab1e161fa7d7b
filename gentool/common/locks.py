"""Lock files of this process, so that others see that it lives, and remove those of dead ones.

A lock of the operating system (flock) ends with its process, however that ends: no process id,
which another process may have by now, and no host name has to be compared. By fcntl and not by the
library filelock, which does not notice that a locked file was removed meanwhile.
"""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


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
