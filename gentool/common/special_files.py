"""Find out what the name of an output stands for: a file, a link to one, or a stream.

The trap avoided: a rename over `/dev/null`, a FIFO or a link, which replaces the device or the link
by a file. A stream is written into, a link is followed, and both stay what they are.
"""

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from gentool.common.errors import GentoolError

MOST_LINKS = 40
NAME_MAX = 255  # bytes of a name, where the file system does not say
STDOUT = 1
_STANDARD = {"stdin": 0, "stdout": STDOUT, "stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/(self|thread-self|\d+))/fd/(\d+)")


@dataclass(frozen=True)
class Target:
    """Hold what is written: a path, or the descriptor of a file that this process has open.

    `is_stream` is true of a descriptor, a FIFO and a character device as /dev/null.
    """

    path: Path
    descriptor: int | None = None
    is_stream: bool = False


def target_of(path: Path) -> Target:
    """Return the target of an output, its links followed.

    Raise GentoolError for a name that is too long, for links that go in a circle, and for a socket
    or a block device, which cannot be written into.
    """
    check_name(path)
    named = path
    for _ in range(MOST_LINKS):
        descriptor = _descriptor(path)
        if descriptor is not None:
            return Target(path, descriptor, is_stream=True)
        if not path.is_symlink():
            break
        path = path.parent / os.readlink(path)
    else:
        raise GentoolError(f"{named} is a link in a circle of links; name another file with -o")
    try:
        mode = path.stat().st_mode
    except OSError:
        return Target(path)  # it does not exist yet; another reason is told where it is written
    if stat.S_ISSOCK(mode) or stat.S_ISBLK(mode):
        kind = "socket" if stat.S_ISSOCK(mode) else "block device"
        raise GentoolError(f"{named} is a {kind}, which is never replaced; name a file with -o")
    return Target(path, is_stream=stat.S_ISFIFO(mode) or stat.S_ISCHR(mode))


def check_name(path: Path) -> None:
    """Raise GentoolError, before any work is done, if the file system has no room for a name."""
    try:
        most = os.pathconf(path.parent, "PC_NAME_MAX")
    except (OSError, ValueError):
        most = NAME_MAX
    length = len(os.fsencode(path.name))
    if length > most:
        raise GentoolError(
            f"the name {path.name[:40]}... has {length} bytes, and {most} is the most; name a "
            "shorter one with -o"
        )
    try:
        path.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise GentoolError(f"the path {str(path)[:40]}... is too long; shorten it") from error


def is_stdout(path: Path) -> bool:
    """Return whether a path names the stdout of this process, as /dev/stdout does."""
    return target_of(path).descriptor == STDOUT


def write_into(target: Target, content: bytes) -> None:
    """Write into a stream, which is neither emptied nor replaced."""
    if target.descriptor is None:
        with target.path.open("wb") as file:
            file.write(content)
        return
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(target.descriptor, rest) :]


def _descriptor(path: Path) -> int | None:
    """Return the number of the open file that a path stands for, as 1 for /dev/stdout."""
    name = os.path.abspath(path)
    folder, _, last = name.rpartition("/")
    if folder == "/dev" and last in _STANDARD:
        return _STANDARD[last]
    match = _DESCRIPTOR.fullmatch(name)
    if match is None or match[1] not in (None, "self", "thread-self", str(os.getpid())):
        return None
    return int(match[2])
