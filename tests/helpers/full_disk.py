"""Run commands of gentool on a disk that is full after some bytes, and again on one that is not.

    python tests/helpers/full_disk.py FOLDER TIMES SEED COMMAND,COMMAND...

No file may grow beyond a random size (RLIMIT_FSIZE): the system then refuses a write, as on a full
disk. Prints one JSON object: by command the counts of exit codes, and what was wrong.
"""

import json
import random
import resource
import shutil
import sys
from collections import Counter
from pathlib import Path

from helpers.kills import AGAIN, COMMANDS, content, end, start, torn, whole_inputs

SMALLEST = 1500  # bytes: room for what the command says, which goes to a file here


def limited(arguments: list[str], folder: Path, size: int) -> int:
    """Run a command whose files cannot be larger than `size` bytes; return its exit code."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        pid = start(arguments, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return end(pid)


def attack(name: str, inputs: Path, folder: Path, times: int, chance: random.Random) -> dict:
    """Run one command with several sizes; return the counts of exit codes, and what was wrong."""
    arguments, again = COMMANDS[name].split(), AGAIN.get(name, "--force").split()
    whole, here, output = folder / "whole", folder / "here", folder / "output.txt"
    shutil.copytree(inputs, whole)
    assert end(start(arguments, whole)) == 0, output.read_text()
    expected, before = content(whole), content(inputs)
    largest = max(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    counts, wrong = Counter(), []
    for _ in range(times):
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(inputs, here)
        size = chance.randrange(SMALLEST, largest)
        code, told = limited(arguments, here, size), output.read_text()
        counts[code] += 1
        if code not in (0, 1) or "a bug in gentool" in told or "escaped" in told:
            wrong.append(f"exit code {code} with {size} bytes: {told[-300:]}")
        if code == 1 and not ("cannot write" in told or "File too large" in told):
            wrong.append(f"no reason with {size} bytes: {told[-300:]}")
        wrong += [f"torn with {size} bytes: {file}" for file in torn(here)]
        left = [path.name for path in here.rglob("*") if path.name.endswith(".gentool-tmp")]
        wrong += [f"left with {size} bytes: {file}" for file in left]
        after = content(here)
        wrong += [
            f"changed with {size} bytes: {file}" for file in before if after[file] != before[file]
        ]
        if (code := end(start([*arguments, *again], here))) != 0:
            wrong.append(f"again after {size} bytes: {code}: {output.read_text()[-300:]}")
        after = content(here)
        wrong += [
            f"other content again after {size} bytes: {file}"
            for file in sorted(after.keys() | expected.keys())
            if after.get(file) != expected.get(file)
        ]
    return {"largest": largest, "ended": counts, "wrong": wrong}


def main(folder: Path, times: int, seed: str, names: list[str]) -> dict:
    """Attack some commands; return what `attack` does of each."""
    inputs = whole_inputs(folder)
    results = {}
    for name in names:
        place = folder / name
        place.mkdir()
        results[name] = attack(name, inputs, place, times, random.Random(f"{seed} {name}"))
        print(name, results[name], file=sys.stderr, flush=True)
    return results


if __name__ == "__main__":
    folder, times, seed, names = sys.argv[1:]
    print(json.dumps(main(Path(folder).absolute(), int(times), seed, names.split(","))))
