"""Compare the files that commands write with those of an earlier checkout, byte for byte.

    GENTOOL_BEFORE=/path/to/an/earlier/checkout sh tests/run.sh -m slow tests/test_same_bytes.py

For changes that must not change results. Both checkouts run the same commands, each in a folder of
its own, one thread each. JSON files may differ in times and in gentool's version.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

BEFORE = os.environ.get("GENTOOL_BEFORE")
NOW = Path(__file__).parents[1]
SECONDS = {"seconds", "loop_seconds", "vmap_seconds", "stacked_seconds"}
MAY_DIFFER = SECONDS | {"images_per_second", "gentool"}  # fields of JSON files, at any depth

MLP = "train --model mlp --data digits --subset 100 --lr 0.05"
VGG = "train --model vgg --width 0.06 --data npz:images.npz --subset 40 --epochs 8 --quiet"
LOOP = "--batching loop --quiet"  # the default depends on a timing, and changes the rounding
GRIDS = ("grid", "confusion")  # folders of checkpoints, each from one command
COMMANDS = (
    f"{MLP} --hidden 16 --labels random --keep-initial -o a.safetensors",
    f"{MLP} --hidden 8 --depth 2 --batch-norm --dropout 0.1 --epochs 20 -o b.safetensors",
    f"{MLP} --hidden 8 --optimizer adam --schedule cosine --epochs 9 "
    "--save-every 5 -o c.safetensors",
    f"{MLP} --hidden 4,8 --labels true,random --seed 0,1 --epochs 60 -o grid",
    f"{MLP} --hidden 16 --confusion 50 --weight-decay 0.001 --epochs 40 -o d.safetensors",
    f"{MLP} --hidden 8 --confusion 0,20,40 --epochs 60 -o confusion",
    f"{VGG} -o vgg.safetensors",
    f"{VGG} --no-batch-norm --recipe paper --init he --stop-loss 0.01 --labels 0.5 "
    "-o plain.safetensors",
    "measure a.safetensors b.safetensors d.safetensors grid",
    "measure vgg.safetensors plain.safetensors",
    "measure confusion",
    "measure c.safetensors --only l2,spectral,margin --no-biases --epsilon 0.1 -o c.json",
    "measure vgg.safetensors --no-data -o weights.json",
    f"sharpness a.safetensors {LOOP} --save-perturbation worst.safetensors --flatness",
    f"sharpness vgg.safetensors {LOOP} --restarts 3 --steps 3",
    f"sharpness plain.safetensors {LOOP} --method apgd --units 20 -o apgd.json",
    f"sharpness b.safetensors {LOOP} --no-fold-batch-norm --alpha 0.001 --alpha 0.01 --compare",
    f"sharpness d.safetensors {LOOP} --protocol keskar2017",
    f"sharpness a.safetensors {LOOP} --protocol m-sharpness -o m.json",
    f"sharpness a.safetensors {LOOP} --expected --precision 0.2",
    f"sharpness b.safetensors {LOOP} --expected --alpha 0.001 --precision 0.2",
    "sharpness verify a.safetensors worst.witness",
    "inspect a.safetensors vgg.safetensors -o .",
    "inspect other.safetensors --quiet -o other.json",
    "convert other.safetensors --data npz:images.npz --mean 0,0,0 --std 1,1,1 "
    "-o converted.safetensors",
    "measure converted.safetensors",
    "measure other.safetensors --data npz:images.npz --labels true -o foreign.json",
    "claims a.measures.json b.measures.json grid -o claims.json",
    "plot a.measures.json b.measures.json d.measures.json --x recipe.hidden --y l2 -o chart.png",
    "plot a.measures.json d.measures.json --y l2 --y spectral --x recipe.labels -o words.svg",
    "plot --figure 1 a.measures.json d.measures.json -o figure1.png",
    "plot --figure 2 a.sharpness.json a.expected.json -o figure2.pdf",
    "plot --figure 3 confusion -o figure3.png",
    "plot --figure 4 --reference grid -o figure4.png",
    "plot --figure training a.safetensors b.safetensors -o training.png",
    "plot --figure margins a.measures.json b.measures.json -o margins.png",
    "plot --figure samples a.safetensors -o samples.png",
    "plot --figure direction a.safetensors --witness worst.witness -o direction.png",
)


def write_inputs(folder):
    """Write a small archive of images, and an MLP as another program saves it."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (80, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(80) % 4
    np.savez(
        folder / "images.npz",
        x_train=images[:60],
        y_train=labels[:60],
        x_test=images[60:],
        y_test=labels[60:],
    )
    sizes = {"fc1.weight": (8, 3072), "fc1.bias": (8,), "fc2.weight": (4, 8), "fc2.bias": (4,)}
    tensors = {name: rng.normal(0, 0.1, size).astype("f4") for name, size in sizes.items()}
    save_file(tensors, folder / "other.safetensors")


def run_commands(checkout, folder):
    """Run all commands of a checkout in a folder; return {command or file: its output or content}.

    The output of a command is its exit code and stdout; stderr is for people and may change.
    """
    write_inputs(folder)
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    outputs = {}
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "gentool", *arguments(command, folder)],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=False,
        )
        outputs[command] = (done.returncode, done.stdout)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return outputs | {path.relative_to(folder).as_posix(): content(path) for path in files}


def arguments(command, folder):
    """Split a command into words, with the files of a grid in place of the grid's folder."""
    words = command.split()
    if words[0] == "train":  # makes the grids
        return words
    kind = "*.safetensors" if words[0] == "measure" else "*.measures.json"
    grids = {name: sorted(f"{name}/{p.name}" for p in (folder / name).glob(kind)) for name in GRIDS}
    return [word for name in words for word in grids.get(name, [name])]


def content(path):
    """Return the bytes of a file; of a JSON file its text without the fields that may differ."""
    if path.suffix != ".json":
        return path.read_bytes()
    return json.dumps(without_times(json.loads(path.read_text("utf-8"))))


def without_times(value):
    """Return a JSON value without the fields that may differ, at any depth."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in MAY_DIFFER}
    return [without_times(v) for v in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.skipif(BEFORE is None, reason="GENTOOL_BEFORE names no checkout to compare with")
def test_commands_write_the_bytes_that_they_wrote_before(tmp_path):
    """Trainings, grids, measures, sharpness, witnesses, claims, conversions and figures."""
    folders = [tmp_path / "before", tmp_path / "now"]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(2) as pool:
        before, now = pool.map(run_commands, (Path(BEFORE).resolve(), NOW), folders)
    failed = [command for command in COMMANDS if before[command][0] != 0]
    assert failed == [], "commands that fail in the earlier checkout"
    assert now.keys() ^ before.keys() == set(), "files that only one of them wrote"
    different = [name for name in before if now[name] != before[name]]
    assert different == [], f"compare the files in {tmp_path}"
