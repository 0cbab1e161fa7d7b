"""paper-scale.sh: the order of its jobs, going on, running out of time, and its summary.

Most tests replace gentool by a program that writes its files without training; one, slow, does not.
"""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "paper-scale.sh"
ON_GPU = ROOT / "examples" / "paper-scale-gpu.sh"
STANDS_IN = """
import os, sys
from itertools import product
from pathlib import Path
from gentool.records.recipe import Recipe, default_stem, parse_batch_norm

kind, *arguments = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    print(kind, *arguments, file=calls)
if kind == os.environ.get("FAILS"):
    sys.exit(1)


def write(path):
    header = b'{"__metadata__":{"recipe":"{}"}}'
    content = len(header).to_bytes(8, "little") + header
    path.write_bytes(content.ljust(int(os.environ.get("BYTES", 0)), b"x"))


if kind == "train":
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    folder = Path(options["-o"])
    axes = [options[f"--{name}"].split(",") for name in ("labels", "subset", "confusion", "seed")]
    shape = {
        "batch_norm": parse_batch_norm(options["--batch-norm"], "vgg"),
        "dropout": float(options["--dropout"]),
        "width": float(options["--width"]),
    }
    for labels, subset, confusion, seed in product(*axes):
        recipe = Recipe(
            data=options["--data"], labels=labels, subset=int(subset), confusion=int(confusion),
            seed=int(seed),
        )
        stem = default_stem(recipe, shape)
        for threshold in filter(None, options.get("--keep-at", "").split(",")):
            write(folder / f"{stem}.loss{float(threshold):g}.safetensors")
        if not (folder / f"{stem}.safetensors").exists():
            write(folder / f"{stem}.safetensors")
    sys.exit()
checkpoints = [Path(argument) for argument in arguments if argument.endswith(".safetensors")]
record = {"measure": "measures"}.get(kind, "expected" if "--expected" in arguments else kind)
for checkpoint in checkpoints:
    path = checkpoint.with_suffix(f".{record}.json")
    is_stopped = record == os.environ.get("STOPS_EARLY")
    path.write_text('{"stopped": "interrupted"}' if is_stopped else '{"stopped": "converged"}')
    if is_stopped:
        sys.exit(130)
"""


OPTIONS = (
    *("MINUTES", "SCALE", "DATA", "DEVICE", "PRECISION", "JOBS", "RECIPE", "NORMS", "DROPOUTS"),
    *("STOPS", "STOP", "SEEDS", "SEARCH", "EXPECTED", "GENTOOL", "OUT", "WIDTH", "SIZES"),
    *("PROTOCOL_SIZES", "SUBSET", "CONFUSION", "EPOCHS", "SMALL", "LARGE", "LANES"),
)


def environment():
    """Return the environment of these tests without options of the script."""
    return {name: value for name, value in os.environ.items() if name not in OPTIONS}


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the script, at the tiny scale, with a program for gentool."""
    program = tmp_path / "stands_in.py"
    program.write_text(STANDS_IN)
    (tmp_path / "noise.npz").touch()

    def run_script(script=SCRIPT, **variables):
        setting = {
            "SCALE": "tiny",
            "DATA": f"npz:{tmp_path / 'noise.npz'}",
            "GENTOOL": f"{sys.executable} {program}",
            "PYTHONPATH": str(ROOT),
            "CALLS": str(tmp_path / "calls"),
        }
        return subprocess.run(
            ["sh", script, tmp_path / "out"],
            env=environment() | setting | variables,
            capture_output=True,
            text=True,
        )

    return run_script


def calls(tmp_path):
    path = tmp_path / "calls"
    return path.read_text().splitlines() if path.exists() else []


def files(folder):
    """Return the checkpoints and records of a run."""
    paths = [*folder.glob("*/*.safetensors"), *folder.glob("*/*.json")]
    return sorted(map(str, paths))


def missing(done):
    """Return the jobs that the summary lists as missing, in their order."""
    lines = [line for line in done.stderr.splitlines() if ": missing " in line]
    return [line.rpartition(": ")[2] for line in lines]


def test_without_time_the_summary_lists_all_jobs_what_matters_most_first(run, tmp_path):
    """The protocol without dropout, Figures 1, 2 and 3, further seeds, the protocol's dropout."""
    done = run(MINUTES="0", SCALE="paper")
    assert done.returncode == 124
    assert done.stdout == ""
    assert calls(tmp_path) == []
    jobs = missing(done)
    assert len(jobs) == len(set(jobs)) > 100
    assert f"0 jobs done, {len(jobs)} not; time is over" in done.stderr
    assert jobs[:2] == [
        "train protocol hidden 0.0 true,random 5000,10000 0 0",
        "measure protocol hidden 0.0 true,random 5000,10000 0 0",
    ]
    milestones = [
        "measure protocol conv 0.0 true,random 5000,10000 0 0",
        "measure protocol all 0.0 true,random 5000,10000 0 0",
        "measure figures hidden 0.0 true,random 5000 0 0",
        "measure figures hidden 0.0 true,random 50000 0 0",
        "sharpness figures hidden 0.0 true,random 5000 0 0",
        "expected figures hidden 0.0 true,random 50000 0 0",
        "train figures hidden 0.0 true 10000 0,1000,2000,3000,4000,5000 0",
        "expected figures hidden 0.0 true 10000 0,1000,2000,3000,4000,5000 0",
        "train protocol hidden 0.0 true,random 5000,10000 0 1",
        "measure figures hidden 0.0 true,random 50000 0 2",
        "train protocol hidden 0.5 true 5000,10000 0 0",
        "train protocol all 0.5 random 5000,10000 0 0",
        "measure protocol all 0.5 true,random 5000,10000 0 2",
    ]
    assert [jobs.index(job) for job in milestones] == sorted(map(jobs.index, milestones))
    assert (tmp_path / "out" / "summary.txt").read_text().count("missing ") == len(jobs)


def test_all_files_are_made_once_and_a_second_run_does_nothing(run, tmp_path):
    """The paths of all files are printed, each once; names are those that gentool gives."""
    settings = {"SEEDS": "0", "DROPOUTS": "0"}
    first = run(**settings)
    assert first.returncode == 0, first.stderr
    assert sorted(first.stdout.splitlines()) == files(tmp_path / "out")
    assert "0 not" in first.stderr
    before = calls(tmp_path)
    assert "--batch-norm hidden --dropout 0.0 " in before[0]
    assert "--stop-loss 0.1 --keep-at 8,5 " in before[0]
    second = run(**settings)
    assert (second.returncode, second.stdout) == (0, "")
    assert calls(tmp_path) == before


def test_the_figures_take_the_networks_that_the_protocol_has(run, tmp_path):
    """Its checkpoint at the stop of the figures, not trained again; other sizes are trained."""
    run(SEEDS="0", DROPOUTS="0", CONFUSION="")
    trained = [call for call in calls(tmp_path) if call.startswith("train")]
    in_figures = [call for call in trained if "/figures " in call]
    assert len(trained) == 3
    assert len(in_figures) == 1
    assert "--subset 40 " in in_figures[0]
    assert "--stop-loss 0.1 " in in_figures[0]
    stem = "vgg-batch-norm-hidden-dropout0.0-width0.05-noise-true-20-seed0"
    assert (tmp_path / "out" / "figures" / f"{stem}.safetensors").exists()


def test_a_search_that_was_stopped_early_is_not_done(run, tmp_path):
    """Its record is set aside, the job is named as missing, and the next run searches again."""
    settings = {"SEEDS": "0", "DROPOUTS": "0", "NORMS": "hidden", "CONFUSION": "", "SIZES": "20"}
    first = run(**settings, STOPS_EARLY="sharpness")
    assert first.returncode == 1
    assert missing(first) == ["sharpness figures hidden 0.0 true,random 20 0 0"]
    assert "missing 2 of 2: sharpness" in first.stderr
    assert not list((tmp_path / "out").glob("*/*.sharpness.json"))
    assert len(list((tmp_path / "out").glob("*/*.sharpness.json.partial"))) == 1
    assert run(**settings).returncode == 0
    assert len(list((tmp_path / "out").glob("*/*.sharpness.json"))) == 2


def test_several_at_a_time_make_the_same_files_each_once(run, tmp_path):
    """On a GPU the networks are divided into parts, several of which are trained at a time."""
    settings = {"SEEDS": "0", "NORMS": "hidden,conv,all", "SIZES": "20,40,60", "CONFUSION": "0,10"}
    assert run(**settings, STOP="0.1").returncode == 0
    paths = files(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "in-turn")
    (tmp_path / "calls").unlink()
    parts = {"SEEDS": "0", "SMALL": "20,40", "LARGE": "60", "CONFUSION": "10", "LANES": "3"}
    done = run(ON_GPU, **parts)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == files(tmp_path / "out") == paths
    assert len(calls(tmp_path)) == len(set(calls(tmp_path)))


def test_three_failures_in_a_row_end_the_run(run, tmp_path):
    done = run(FAILS="train")
    assert done.returncode == 1
    assert "three commands failed in a row" in done.stderr
    assert len(calls(tmp_path)) == 3


def test_out_gets_all_records_and_two_networks_in_a_few_files(run, tmp_path):
    """A network of more than 15 MiB comes in parts; the archive holds every record."""
    out = tmp_path / "packed"
    out.mkdir()
    run(
        SEEDS="0",
        DROPOUTS="0",
        NORMS="hidden",
        CONFUSION="",
        OUT=str(out),
        BYTES=str(16 * 2**20),
    )
    assert sum(path.stat().st_size for path in out.iterdir()) <= 64 * 2**20
    assert all(path.stat().st_size <= 15 * 2**20 for path in out.iterdir())
    stem = "vgg-batch-norm-hidden-dropout0.0-width0.05-noise"
    parts = [f"{stem}-{label}-40-seed0.safetensors.part-a" for label in ("random", "true")]
    expected = [f"{part}{letter}" for part in parts for letter in "ab"]
    assert sorted(path.name for path in out.iterdir()) == ["paper-scale.tar.gz", *expected]
    whole = tmp_path / "out" / "figures" / f"{stem}-true-40-seed0.safetensors"
    joined = b"".join((out / f"{parts[1]}{letter}").read_bytes() for letter in "ab")
    assert joined == whole.read_bytes()
    with tarfile.open(out / "paper-scale.tar.gz") as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
        metadata = archive.extractfile(f"./figures/{stem}-true-40-seed0.metadata").read()
    records = {
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").glob("*/*.json")
    }
    assert records | {"summary.txt", "log.txt"} <= names
    assert json.loads(metadata) == {"__metadata__": {"recipe": "{}"}}


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SCALE", "huge", "SCALE is paper, half or tiny, not huge\n"),
        ("MINUTES", "9m", "MINUTES is a number of minutes, such as 9 or 0.5, not 9m\n"),
        ("STOP", "0.02", "STOP is one of STOPS, 8,5,0.1, not 0.02\n"),
    ],
)
def test_a_wrong_value_is_refused(run, tmp_path, variable, value, message):
    done = run(**{variable: value})
    assert (done.returncode, done.stderr) == (2, message)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_script_runs_whole_at_a_tiny_scale_in_two_goes(tmp_path):
    """Time is over in the first; the second ends with every record, each of a whole search."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 60), ("test", 10)):
        arrays[f"x_{part}"] = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        arrays[f"y_{part}"] = np.arange(count) % 10
    np.savez(tmp_path / "noise.npz", **arrays)
    settings = {
        "SCALE": "tiny",
        "DATA": f"npz:{tmp_path / 'noise.npz'}",
        "GENTOOL": f"{sys.executable} -m gentool",
    }

    def run_script(minutes):
        return subprocess.run(
            ["sh", SCRIPT, tmp_path / "out"],
            env=environment() | settings | {"MINUTES": minutes},
            capture_output=True,
            text=True,
        )

    first = run_script("0.4")
    assert first.returncode == 124, first.stderr
    assert missing(first)
    second = run_script("30")
    assert second.returncode == 0, second.stderr
    assert missing(second) == []
    networks = list((tmp_path / "out").glob("*/*.safetensors"))
    assert len(networks) > 30
    for network in networks:
        record = json.loads(network.with_suffix(".measures.json").read_text())
        assert record["recipe"]["width"] == 0.05
    for kind in ("sharpness", "expected"):
        records = list((tmp_path / "out" / "figures").glob(f"*.{kind}.json"))
        assert len(records) == len(list((tmp_path / "out" / "figures").glob("*.safetensors")))
        assert not any('"interrupted"' in record.read_text() for record in records)
