"""Let SIGTERM and SIGHUP do what Ctrl-C does, and hold all three back while a file is written.

The trap avoided: an interrupt between two lines that belong together, such as making a temporary
file and noting its name. `held` holds it back until they are done.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gentool.common.errors import GentoolError

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
AGAIN = 2.0  # seconds after which the same request counts as a second one
"""`timeout`, torchrun and terminals send a signal to the process and to its group: twice, that is.
"""


class Stopped(KeyboardInterrupt):
    """Raised where the process is when it is asked to stop, as Ctrl-C raises KeyboardInterrupt."""


@dataclass
class _Request:
    """Hold the signal that asked this process to stop, when, and what holds it back."""

    number: int | None = None
    at: float = 0.0
    holds: int = 0
    is_pending: bool = field(default=False)


_request = _Request()


def is_requested() -> bool:
    """Return whether a signal has asked this process to stop."""
    return _request.number is not None


def exit_code() -> int:
    """Return the exit code of a command that was stopped: 128 and the signal's number."""
    return 128 + (_request.number or signal.SIGINT)


def is_cause_of(error: Exception) -> bool:
    """Return whether an error comes from an interrupt that a library in C turned into another.

    PyTorch, for one, raises ValueError where an interrupt arrives while it reads a sequence.
    """
    return is_requested() and not isinstance(error, GentoolError)


def check() -> None:
    """Raise Stopped if a signal has asked this process to stop, and it goes on all the same.

    An interrupt is lost where Python ignores exceptions, as in the finalizer of an object.
    """
    if is_requested() and not _request.holds:
        raise Stopped


@contextmanager
def held() -> Iterator[None]:
    """Hold signals back until the end of the block, and raise Stopped there if one has arrived.

    A second request, some seconds after the first, is not held back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is interrupted
        return
    _request.holds += 1
    try:
        yield
    finally:
        _request.holds -= 1
        if _request.is_pending and not _request.holds:
            _request.is_pending = False
            raise Stopped


@contextmanager
def handled(signals: tuple[int, ...] = SIGNALS, *, forget: bool = True) -> Iterator[None]:
    """Raise Stopped in the block when one of the signals arrives; `forget` earlier requests.

    A signal that is ignored stays so, as SIGHUP under nohup. In another than the main thread
    nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    global _request
    if forget:
        _request = _Request()
    before = {number: signal.getsignal(number) for number in signals}
    changed = [number for number in signals if before[number] not in (signal.SIG_IGN, None)]
    try:
        for number in changed:
            signal.signal(number, request)
        yield
    finally:
        for number in changed:
            signal.signal(number, before[number])


def request(number: int, _: object = None) -> None:
    """Ask this process to stop: the handler of the signals."""
    now = time.monotonic()
    if is_requested() and now - _request.at < AGAIN:
        return
    is_first, _request.at = not is_requested(), now
    if is_first:
        _request.number = number
    if is_first and _request.holds:
        _request.is_pending = True
        return
    _request.is_pending = False
    raise Stopped
