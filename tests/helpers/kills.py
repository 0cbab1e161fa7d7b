"""Kill commands of gentool at random moments, start them again, and compare with whole runs.

    python tests/helpers/kills.py FOLDER KILLS SEED COMMAND,COMMAND...

Prints one JSON object: by command the number of kills by signal and exit code, and what was wrong.
The networks of the grids are of several sizes: what is trained in one stack is the same up to
rounding only, if some of it is finished when the others are resumed. Every command is a fork of
this process, which has imported all: a start takes milliseconds, and the moments of the kills are
spread over the work and not over imports.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import scipy.optimize  # noqa: F401 - imported here once, not in every fork
import sklearn.datasets  # noqa: F401 - the same
import torchvision  # noqa: F401 - the same

import gentool.figures.chart
import gentool.measures.measure
import gentool.sharpness.expected_record
import gentool.sharpness.worst_case_record
import gentool.training.jobs
import gentool.training.run
from gentool.cli.main import run
from gentool.common.errors import GentoolError
from gentool.common.json import loads
from gentool.records import checkpoint_metadata
from gentool.training.state import recipe_of_state

TRAIN = "train --model mlp --data digits --subset 500 --labels random --stop-loss 1e-9 --threads 1"
LOOP = "--batching loop --threads 1"
COMMANDS = {
    "single": f"{TRAIN} --hidden 16 --epochs 40 --keep-initial --save-every 20 -o a.safetensors",
    "grid": f"{TRAIN} --hidden 8,9,10 --epochs 20 --log grid.jsonl -o grid",
    "jobs": f"{TRAIN} --hidden 8,9 --epochs 500 --jobs 2 -o grid",
    "measure": "measure net.safetensors other.safetensors --threads 1",
    "sharpness": f"sharpness net.safetensors {LOOP} --restarts 2 --steps 2 --flatness",
    "expected": f"sharpness net.safetensors {LOOP} --expected --alpha 0.001 --precision 0.02",
    "plot": "plot made.measures.json --x recipe.hidden --y outcome.train_loss -o figure.png",
}
AGAIN = {"single": "--resume", "grid": "", "jobs": ""}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TIMES = {"seconds", "images_per_second", "loop_seconds", "vmap_seconds", "stacked_seconds"}


def start(arguments, folder):
    """Start a command in a folder, in a fork of this process; return the process id."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        os.chdir(folder)
        output = os.open(folder.parent / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = run(arguments)
    except KeyboardInterrupt:
        code = 130  # before the command has begun
    except BaseException as error:
        print(f"escaped: {error!r}", flush=True)
    finally:
        sys.stdout.flush()
        os._exit(code)
    return None


def end(pid):
    """Wait for a process; return its exit code, 128 and the number of the signal if killed."""
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def content(folder):
    """Return the files of a folder by name, JSON without times."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(folder))
            is_json = path.suffix == ".json"
            files[name] = _without_times(loads(path.read_bytes())) if is_json else path.read_bytes()
            if path.suffix == ".last-state":  # its numbers are those of the checkpoint
                files[name] = recipe_of_state(path)
            if path.suffix == ".jsonl":
                entries = [loads(line) for line in path.read_bytes().splitlines()]
                files[name] = sorted((e["network"], e["epoch"], e["loss"]) for e in entries)
    return files


def _without_times(value):
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in TIMES}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def torn(folder):
    """Return the files that are not whole; temporary files and locks do not count."""
    names = []
    for path in folder.rglob("*"):
        try:
            if path.name.startswith(".") or not path.is_file():
                continue
            if path.suffix == ".safetensors":
                checkpoint_metadata.read(path)
            elif path.suffix == ".json":
                loads(path.read_bytes())
            elif path.suffix == ".state" and recipe_of_state(path) is None:
                names.append(path.name)
        except (GentoolError, ValueError):
            names.append(path.name)
    return names


def attack(name, inputs, folder, kills, chance):
    """Kill one command several times; return the counts of exit codes, and what was wrong."""
    arguments = COMMANDS[name].split()
    whole, here = folder / "whole", folder / "here"
    shutil.copytree(inputs, whole)
    began = time.monotonic()
    assert end(start(arguments, whole)) == 0, (folder / "output.txt").read_text()
    seconds, expected = time.monotonic() - began, content(whole)
    counts, wrong = Counter(), []
    for i in range(kills):
        number = SIGNALS[i % len(SIGNALS)]
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(inputs, here)
        pid = start(arguments, here)
        time.sleep(chance.uniform(0, seconds))
        os.kill(pid, number)
        code = end(pid)
        told = (folder / "output.txt").read_text()
        counts[f"{signal.Signals(number).name} {code}"] += 1
        if code not in (0, 128 + number) or "a bug in gentool" in told or "escaped" in told:
            wrong.append(f"exit code {code} after signal {number}: {told[-300:]}")
        wrong += [f"torn after signal {number}: {file}" for file in torn(here)]
        if number == signal.SIGKILL and name == "jobs":
            time.sleep(2)  # its workers end when they notice
        again = [*arguments, *AGAIN.get(name, "--force").split()]
        if (code := end(start(again, here))) != 0:
            wrong.append(f"the restart: {code}: {(folder / 'output.txt').read_text()[-300:]}")
        after = content(here)
        wrong += [
            f"after the restart (signal {number}): {file}"
            for file in sorted(after.keys() | expected.keys())
            if after.get(file) != expected.get(file)
        ]
    return {"seconds": round(seconds, 2), "ended": counts, "wrong": wrong}


def whole_inputs(folder):
    """Return a folder with the files that the commands take, made there."""
    gentool.training.run.SECONDS_BETWEEN_STATES = 0.2
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    short = f"{TRAIN} --hidden 16 --epochs 5 -q".split()
    for file in ("net", "other"):
        assert end(start([*short, "-o", f"{file}.safetensors"], inputs)) == 0
    assert end(start(["measure", "net.safetensors", "-q", "-o", "made.measures.json"], inputs)) == 0
    return inputs


def main(folder, kills, seed, names):
    inputs = whole_inputs(folder)
    results = {}
    for name in names:
        place = folder / name
        place.mkdir()
        results[name] = attack(name, inputs, place, kills, random.Random(f"{seed} {name}"))
        print(name, results[name], file=sys.stderr, flush=True)
    return results


if __name__ == "__main__":
    folder, kills, seed, names = sys.argv[1:]
    print(json.dumps(main(Path(folder).absolute(), int(kills), int(seed), names.split(","))))
