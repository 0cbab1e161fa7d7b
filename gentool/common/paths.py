"""Find the folders of the cache and of the data sets. No torch, so that `--help` stays fast."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gentool.common.text import bytes_of_recorded


def cache_dir() -> Path:
    """Return gentool's folder in the user's cache: $XDG_CACHE_HOME/gentool or ~/.cache/gentool."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gentool"


def default_data_dir() -> Path:
    """Return the folder of the data sets: $GENTOOL_DATA, or a folder in the user's cache."""
    return Path(os.environ.get("GENTOOL_DATA") or cache_dir() / "data")


def path_of_recorded(name: str) -> Path:
    r"""Return the path of a name that a record holds, where bytes that are no UTF-8 are \xff."""
    path = Path(name)
    if path.exists():
        return path
    of_bytes = Path(os.fsdecode(bytes_of_recorded(name)))
    return of_bytes if of_bytes.exists() else path


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """Yield a path that libraries take: a link to the file if its own name is no UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        path.stat()  # so that the error names the file
    else:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="gentool-") as folder:
        link = Path(folder, "file")
        link.symlink_to(path.absolute())
        yield link
