"""Tell how much memory a process may still take, so that what cannot fit is refused by name.

The trap avoided: Linux promises more memory than there is, and kills the process that uses it. Not
by psutil, which knows neither the limit of a container nor that of `ulimit -v`.
"""

import os
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None

UNLIMITED = 2**60  # bytes that stand for no limit
_GROUPS = (  # limit, use, and statistics of a container: cgroup 2, cgroup 1
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)


def available_memory() -> int:
    """Return the bytes that this process may take: of the machine, the container, and ulimit."""
    return max(0, min(_of_machine(), _of_container(Path("/sys/fs/cgroup")), _of_process()))


def in_words(size: float) -> str:
    """Return a number of bytes in a unit that suits it, as `1.5 GiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"


def _of_machine() -> int:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return UNLIMITED


def _of_container(folder: Path) -> int:
    """Return what the limit of a container leaves; pages that only cache files count as free."""
    for limit, used, statistics in _GROUPS:
        numbers = [_number(folder / name) for name in (limit, used)]
        if None in numbers:
            continue
        cached = [
            int(line.split()[1])
            for line in _lines(folder / statistics)
            if line.startswith(("inactive_file ", "total_inactive_file "))
        ]
        return numbers[0] - numbers[1] + max(cached, default=0)
    return UNLIMITED


def _of_process() -> int:
    """Return what the limit of the address space (ulimit -v) leaves."""
    if resource is None:
        return UNLIMITED
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return UNLIMITED
    pages = [int(line.split()[0]) for line in _lines(Path("/proc/self/statm"))]
    return limit - max(pages, default=0) * resource.getpagesize()


def _number(path: Path) -> int | None:
    words = "".join(_lines(path)).strip()
    return int(words) if words.isdigit() else None  # without a limit it says max


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return []
