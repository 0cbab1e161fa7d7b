"""Try damaged files in worker processes, and keep each that escapes.

    python tests/helpers/attacks/running.py FOLDER INPUTS SEED READER,READER...

Accepted is a result, or a GentoolError whose message fits one line. Everything else escapes:
another error, a warning, a crash, five seconds of computing, gigabytes of memory, a file written, a
process started. An input is made from seed, reader and number, so that a worker that is gone
leaves its last number in shared memory, and the input is made again. Prints one JSON object.

How each input ended is noted in FOLDER: the same line again goes on after the last of them.
"""

import gc
import hashlib
import json
import mmap
import os
import resource
import shutil
import signal
import struct
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from random import Random

import torch

from gentool.cli.main import run
from gentool.common.errors import GentoolError
from helpers.attacks.readers import READERS, Reader
from helpers.attacks.seeds import in_a_fork, make

SECONDS = 5.0  # of computing, for one input
PATIENCE = 120.0  # seconds of the clock, with a loaded machine in mind, before a worker is killed
MEMORY = 3 * 2**30  # bytes that a reader of a small file may take
COMMAND_EACH = 100  # one input of so many goes through the command line too
OF_ONE_WORKER = 10_000  # inputs, after which a new process goes on
OF_ONE_KEPT = 20  # inputs of each file that escaped once: what is called depends on the number
STARTS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn")
STARTS += (
    "socket.connect",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.chmod",
    "os.fork",
    "ctypes.dlopen",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Hang(BaseException):
    """Tell that an input has computed for too long; no reader catches it."""


class Watch:
    """Note what a process does beside reading, while it is on: an audit hook for all its life."""

    def __init__(self) -> None:
        self.is_on, self.seen = False, []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple) -> None:
        if not self.is_on:
            return
        if event == "open":
            path, mode, flags = arguments
            if (mode and set(mode) & set("wax+")) or (flags or 0) & _WRITING:
                self.seen.append(f"opened {path} to write")
        elif event in STARTS:
            self.seen.append(f"{event} {arguments!r:.80}")


def made(reader: Reader, folder: Path, name: str, seed: str, i: int) -> tuple[str, bytes]:
    """Return name and content of an input: the same for the same seed, reader and number."""
    chance = Random(f"{seed} {name} {i}")
    if reader.damage is None:
        path = Path(reader.seeds[i // OF_ONE_KEPT % len(reader.seeds)])
        return path.name, path.read_bytes()
    source = chance.choice(reader.seeds)
    stem, dot, suffix = Path(source).name.partition(".")
    ending = ".safetensors" if suffix == "foreign" else dot + suffix
    return f"{stem}{ending}", reader.damage(_content(folder / source), chance)


@cache
def _content(path: Path) -> bytes:
    return path.read_bytes()


def attempt(reader: Reader, path: Path, folder: Path, i: int, watch: Watch) -> tuple[str, str]:
    """Return how an input ended: `read`, `refused` or the kind of its escape, and details."""
    before = set(os.listdir("."))
    watch.seen.clear()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with warnings.catch_warnings(record=True) as told, redirect_stderr(StringIO()):
            warnings.simplefilter("default")
            watch.is_on = True
            try:
                reader.call(path, folder, i)
                outcome = "read", ""
            except GentoolError as error:
                outcome = "refused", str(error)
                if "\n" in str(error) or not str(error):
                    outcome = "several lines", str(error)
            watch.is_on = False
            told = [warning for warning in told if not _is_of_pillow(warning)]
            if told:
                outcome = "Warning", str(told[0])
        if reader.command and i % COMMAND_EACH == 0:
            outcome = _by_command(reader, path, folder) or outcome
    except Hang:
        outcome = "Hang", traceback.format_exc()
    except BaseException as error:
        outcome = type(error).__name__, traceback.format_exc()
    finally:
        watch.is_on = False
        signal.setitimer(signal.ITIMER_PROF, 0)
    if watch.seen and not reader.writes:
        outcome = "Effect", watch.seen[0]
    if os.path.exists("executed"):
        os.unlink("executed")
        return "CodeRun", ""
    if (left := set(os.listdir(".")) - before - {"cache"}) and not reader.writes:
        outcome = "FileWritten", str(left)
        for name in left:
            shutil.rmtree(name) if os.path.isdir(name) else os.unlink(name)
    return outcome


def _is_of_pillow(warning: warnings.WarningMessage) -> bool:
    """Return whether Pillow warns of a damaged detail of an image that it can decode."""
    return f"{os.sep}PIL{os.sep}" in warning.filename


def _by_command(reader: Reader, path: Path, folder: Path) -> tuple[str, str] | None:
    """Return what is wrong with a command that reads the file; None if all is as promised."""
    out = Path(
        "out.json" if reader.command.startswith(("measure", "claims")) else "out.safetensors"
    )
    words = {"FILE": str(path), "FOLDER": str(folder), "OUT": str(out)}
    arguments = []
    for part in reader.command.split():
        for word, value in words.items():
            part = part.replace(word, value)
        arguments.append(part)
    stdout, stderr = StringIO(), StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        code = run([*arguments, "--quiet"])
    told, is_there = stderr.getvalue(), out.exists()
    for left in Path().glob(f"*{out.stem}*"):  # states of the last epoch beside it, and locks
        left.unlink()
    if code not in (0, 1, 2) or "a bug in gentool" in told:
        return "Command", f"exit code {code}: {told[-500:]}"
    is_part = "the others are in the result" in told  # of several records in one file
    if code and not is_part and (told.count("\n") != 1 or is_there):
        return "CommandOutput", f"exit code {code}, file written: {is_there}: {told[-500:]}"
    if "\x1b]" in told + stdout.getvalue():
        return "Terminal", told[-500:]
    return None


def _work(name: str, folder: Path, seed: str, numbers: range, now: mmap.mmap, log: Path) -> None:
    """Try inputs until all are done; the log has the outcomes, the shared memory the number.

    Ends with the process that started it, which alone knows where to go on.
    """
    reader, watch, parent = READERS[name], Watch(), os.getppid()
    gc.freeze()  # the modules are here to stay: no collection has to go through them again
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGPROF, _hang)
    torch.set_num_threads(1)
    os.environ["XDG_CACHE_HOME"] = str(Path("cache").absolute())
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * mmap.PAGESIZE + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with log.open("a") as outcomes:
        for i in numbers:
            if os.getppid() != parent:
                return
            file, content = made(reader, folder, name, seed, i)
            path = Path(file).absolute()
            path.write_bytes(content)
            now[:8] = struct.pack("<q", i)
            kind, details = attempt(reader, path, folder, i, watch)
            path.unlink(missing_ok=True)
            details = details[-1500:] if kind not in ACCEPTED else ""
            print(json.dumps([i, kind, details]), file=outcomes, flush=True)


def _hang(number: int, frame: object) -> None:
    raise Hang


ACCEPTED = ("read", "refused")


@contextmanager
def _place(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def attack(name: str, whole: Path, folder: Path, inputs: int, seed: str, seconds: float) -> dict:
    """Try inputs on one reader; return counts of outcomes and the escapes, each input saved.

    Goes on where an earlier call with this folder and seed ended. Stops early, and says how many
    inputs were tried, when `seconds` of the clock are over.
    """
    began, log = time.monotonic(), folder / f"{name}-{seed}.log"
    first = _tried(log)
    now, counts, escapes = mmap.mmap(-1, 16), Counter(), {}
    while first < inputs and time.monotonic() - began < seconds:
        with _place(folder / f"{name}-place") as place:
            now[:8] = struct.pack("<q", first - 1)
            pid = os.fork()
            if not pid:
                code = 1
                try:
                    os.setsid()
                    os.chdir(place)
                    devnull = os.open(
                        folder / f"{name}.output", os.O_WRONLY | os.O_CREAT | os.O_APPEND
                    )
                    os.dup2(devnull, 1)
                    os.dup2(devnull, 2)
                    numbers = range(first, min(inputs, first + OF_ONE_WORKER))
                    _work(name, whole, seed, numbers, now, log)
                    code = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(code)
            gone = _wait(pid, now, began + seconds)
        first = _tried(log)
        reached = struct.unpack("<q", now[:8])[0]
        if gone not in (None, 0) and reached >= first:
            with log.open("a") as outcomes:
                print(json.dumps([reached, gone, "the process ended"]), file=outcomes)
            first = reached + 1
    for line in log.read_text().splitlines():
        i, kind, details = json.loads(line)
        counts[kind] += 1
        if kind not in ACCEPTED:
            _keep(escapes, name, whole, folder, seed, i, kind, details)
    spent = round(time.monotonic() - began, 1)
    return {"inputs": first, "seconds": spent, "outcomes": dict(counts), "escapes": escapes}


def _tried(log: Path) -> int:
    """Return how many inputs are in a log, without a last line that was not finished."""
    log.touch()
    lines = log.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        log.write_text("".join(lines[:-1]))
        lines.pop()
    return json.loads(lines[-1])[0] + 1 if lines else 0


def _wait(pid: int, now: mmap.mmap, until: float) -> str | int | None:
    """Wait for a worker; return None where time is over, the signal that ended it, or its code.

    One that is at the same input for too long, as in a native loop, is killed.
    """
    seen, since = None, time.monotonic()
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return signal.Signals(-code).name if code < 0 else (f"exit {code}" if code else 0)
        if (number := now[:8]) != seen:
            seen, since = number, time.monotonic()
        is_stuck, is_over = time.monotonic() - since > PATIENCE, time.monotonic() > until
        if is_stuck or is_over:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "NativeHang" if is_stuck else None
        time.sleep(0.02)


def _keep(
    escapes: dict, name: str, whole: Path, folder: Path, seed: str, i: int, kind: str, details: str
) -> None:
    """Add an escape to those of a reader, one for each kind and place, and save its input."""
    frames = [line.strip() for line in details.splitlines() if line.strip().startswith("File ")]
    places = [frame for frame in frames if "/gentool/" in frame] or frames[-1:] or [details[:80]]
    where = f"{kind} {places[-1]}"
    if where in escapes:
        escapes[where]["count"] += 1
        return
    file, content = made(READERS[name], whole, name, seed, i)
    digest = hashlib.sha256(where.encode()).hexdigest()[:8]
    saved = folder / "escapes" / f"{name}-{kind}-{digest}-{file}"
    saved.parent.mkdir(exist_ok=True)
    saved.write_bytes(content)
    escapes[where] = {"count": 1, "number": i, "input": str(saved), "details": details[-1200:]}


def main(
    folder: Path, inputs: int, seed: str, names: list[str], seconds: float = float("inf")
) -> dict:
    """Attack some readers, and return what `attack` does of each. `seconds` are for each."""
    whole = folder / "whole"
    if not whole.exists():
        whole.mkdir(parents=True)
        in_a_fork(lambda: make(whole))
    results = {}
    for name in names:
        reader = READERS[name]
        all_kept = OF_ONE_KEPT * len(reader.seeds)
        count = inputs if reader.damage else min(inputs, all_kept)
        results[name] = attack(name, whole, folder, count, seed, seconds)
        print(name, json.dumps(results[name], indent=1), file=sys.stderr, flush=True)
    return results


if __name__ == "__main__":
    folder, inputs, seed, names = sys.argv[1:5]
    chosen = list(READERS) if names == "all" else names.split(",")
    limit = float(sys.argv[5]) if len(sys.argv) > 5 else float("inf")
    print(json.dumps(main(Path(folder).absolute(), int(inputs), seed, chosen, limit)))
