"""Show how far a command has come: one line on a terminal, elsewhere a line every 30 seconds."""

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gentool.common.console import has_unicode, say, stderr_console
from gentool.common.text import printable

if TYPE_CHECKING:  # rich takes a tenth of a second to import, which --help need not pay
    from rich.console import RenderableType

SECONDS_BETWEEN_LINES = 30.0
SHORTEST_BAR, LONGEST_BAR = 12, 40  # characters
SHORTEST_NAME = 16
PERCENT, TIME_LEFT = 4, 7  # characters of "100%" and "0:12:34"
SPEED_OVER = 60.0  # seconds that the speed is taken over


class Show(Protocol):
    """A function that shows a new fraction; `name` replaces the name, `count` the `3 of 18`."""

    def __call__(
        self, fraction: float, *, name: str | None = None, count: str | None = None, **fields: str
    ) -> None: ...


@contextmanager
def progress(quiet: bool, name: str, count: str = "") -> Iterator[Show]:
    """Yield a function that shows the fraction done, with fields such as `loss="0.0103"`.

    On a terminal it moves a bar on stderr. Elsewhere a line is printed every 30 seconds, so that a
    log shows that the command lives. Nothing is shown if `quiet`.
    """
    state = ProgressState(printable(name), count)
    if quiet:
        yield state.update
    elif sys.stderr.isatty():
        with _live(state):
            yield state.update
    else:
        with _lines(state):
            yield state.update


@dataclass
class ProgressState:
    """Hold what is to be shown, and the times of the last fractions."""

    name: str
    count: str = ""  # as "3 of 18"
    fraction: float = 0.0
    fields: dict[str, str] = field(default_factory=dict)
    past: deque[tuple[float, float]] = field(default_factory=deque)

    def update(
        self, fraction: float, *, name: str | None = None, count: str | None = None, **fields: str
    ) -> None:
        """Take over a new fraction, and what else is given."""
        if fraction < self.fraction:
            self.past.clear()  # another step of the work begins
        self.fraction = min(1.0, max(0.0, fraction))
        self.name = self.name if name is None else printable(name)
        self.count = self.count if count is None else count
        if fields:
            self.fields = {k.replace("_", " "): printable(v) for k, v in fields.items()}
        now = time.monotonic()
        if not self.past or now - self.past[-1][0] > 0.5:
            self.past.append((now, self.fraction))
        while len(self.past) > 2 and now - self.past[0][0] > SPEED_OVER:
            self.past.popleft()

    def seconds_left(self) -> float | None:
        """Return the estimated seconds that are left, None as long as nobody knows."""
        if not self.past:
            return None
        began, first = self.past[0]
        seconds, gained = time.monotonic() - began, self.fraction - first
        return seconds * (1 - self.fraction) / gained if gained > 0 and seconds > 0 else None

    def in_words(self) -> str:
        """Return the state as a line for a log."""
        left = self.seconds_left()
        parts = [f"{self.fraction:.0%}", *self.fields_in_words()]
        if left is not None:
            parts.append(f"{clock(left)} left")
        return f"{self.count + ', ' if self.count else ''}{self.name}: {', '.join(parts)}"

    def fields_in_words(self) -> list[str]:
        return [f"{key} {value}" for key, value in self.fields.items()]


def clock(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds, 9:59:59 at most."""
    whole = min(round(seconds), 35_999)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


@dataclass(frozen=True)
class Layout:
    """Hold what a line of some width has room for: texts, and the width of the bar."""

    before: str
    bar: int
    after: str


def layout(state: ProgressState, width: int, ellipsis: str = "…") -> Layout:
    """Return the line for a terminal: count, name, bar, percent, time left, fields.

    The bar, the percentage and the time come first; then the count, a short form of the name, as
    many fields as there is room for, the whole name if it fits, and a longer bar.
    """
    left = state.seconds_left()
    clock_left = "-:--:--" if left is None else clock(left)
    after = f"{state.fraction:4.0%} {clock_left}"
    room = width - len(after) - 2 - SHORTEST_BAR
    count = f"{state.count} " if state.count and len(state.count) + 1 < room else ""
    room -= len(count)
    short = min(len(state.name), SHORTEST_NAME, max(0, room))
    room -= short
    for words in state.fields_in_words():
        if len(words) + 2 > room:
            break
        after += f"  {words}"
        room -= len(words) + 2
    name = shortened(state.name, short, ellipsis)
    if len(state.name) - short <= room:
        name, room = state.name, room - (len(state.name) - short)
    return Layout(count + name, max(1, min(LONGEST_BAR, SHORTEST_BAR + room)), after)


def shortened(name: str, width: int, ellipsis: str = "…") -> str:
    """Return a name of at most `width` characters; the middle is left out, where names agree."""
    if len(name) <= width:
        return name
    kept = max(0, width - len(ellipsis))
    start = (kept + 1) // 2
    return f"{name[:start]}{ellipsis}{name[len(name) - (kept - start) :]}"[:width]


@contextmanager
def _live(state: ProgressState) -> Iterator[None]:
    """Keep the line of a terminal up to date; it is gone afterwards.

    What is printed on stdout meanwhile goes there, and not above the bar, unless that is the
    terminal too: rich would print it on stderr, and `$(gentool train ...)` would be empty.
    """
    from rich.live import Live

    console = stderr_console()
    with Live(
        get_renderable=lambda: _line(state, console.width, console.encoding),
        console=console,
        refresh_per_second=8,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    ):
        yield


def _line(state: ProgressState, width: int, encoding: str) -> "RenderableType":
    """Return the line of a terminal with a coloured bar."""
    from rich.progress_bar import ProgressBar
    from rich.table import Column, Table
    from rich.text import Text

    parts = layout(state, width, "…" if has_unicode(encoding) else "...")
    line = Table.grid(
        Column(width=len(parts.before), no_wrap=True),
        Column(width=parts.bar, no_wrap=True),
        Column(no_wrap=True, overflow="crop"),
        padding=(0, 1, 0, 0),
    )
    line.add_row(
        Text(parts.before),
        ProgressBar(total=1.0, completed=state.fraction, width=parts.bar),
        Text(parts.after),
    )
    return line


@contextmanager
def _lines(state: ProgressState) -> Iterator[None]:
    """Print a line every 30 seconds, also while nothing new is shown."""
    is_over = threading.Event()

    def print_lines() -> None:
        while not is_over.wait(SECONDS_BETWEEN_LINES):
            say(state.in_words())

    thread = threading.Thread(target=print_lines, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
