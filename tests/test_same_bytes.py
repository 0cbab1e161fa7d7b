"""What commands write is what they wrote before: a check for changes that must change nothing.

    GENTOOL_BEFORE=/path/to/an/earlier/checkout sh tests/run.sh -m slow tests/test_same_bytes.py

Both programs run the same commands, each in a folder of its own. All their files have to be equal
byte for byte, JSON apart from times and the programs' own versions.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BEFORE = os.environ.get("GENTOOL_BEFORE")
NOW = Path(__file__).parents[1]
SECONDS = {"seconds", "loop_seconds", "vmap_seconds", "stacked_seconds"}
TIMES = SECONDS | {"images_per_second"}

MLP = "train --model mlp --data digits --subset 100 --lr 0.05"
VGG = "train --model vgg --width 0.06 --data npz:images.npz --subset 40 --epochs 8 --quiet"
LOOP = "--batching loop --quiet"  # auto measures which way is faster, and rounds as that way does
COMMANDS = (
    f"{MLP} --hidden 16 --labels random --keep-initial -o a.safetensors",
    f"{MLP} --hidden 8 --depth 2 --batch-norm --dropout 0.1 --epochs 20 -o b.safetensors",
    f"{MLP} --hidden 8 --optimizer adam --schedule cosine --epochs 9 "
    "--save-every 5 -o c.safetensors",
    f"{MLP} --hidden 4,8 --labels true,random --seed 0,1 --epochs 60 -o grid",
    f"{MLP} --hidden 16 --confusion 50 --weight-decay 0.001 --epochs 40 -o d.safetensors",
    f"{MLP} --hidden 8 --confusion 0,20,40 --epochs 60 -o confusion",
    f"{VGG} -o vgg.safetensors",
    f"{VGG} --no-batch-norm --recipe paper --labels 0.5 -o plain.safetensors",
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
    "sharpness --list",
    "measure --list",
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
    """A small archive of images, and an MLP as another program saves it."""
    from safetensors.numpy import save_file

    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (80, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(80) % 4
    np.savez(
        folder / "images.npz",
        x_train=images[:60],
        y_train=labels[:60],
        x_test=images[60:],
        y_test=labels[60:],
    )
    sizes = {"fc1.weight": (8, 3072), "fc1.bias": (8,), "fc2.weight": (4, 8), "fc2.bias": (4,)}
    tensors = {name: draw.normal(0, 0.1, size).astype("f4") for name, size in sizes.items()}
    save_file(tensors, folder / "other.safetensors")


def outputs(checkout, folder):
    """What each command prints and every file that they leave, by name."""
    write_inputs(folder)
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    told = {}
    for command in COMMANDS:
        words = [w for word in command.split() for w in _expanded(word, folder, command)]
        done = subprocess.run(
            [sys.executable, "-m", "gentool", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=False,
        )
        told[command] = (done.returncode, done.stdout)
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return told | {name: _content(path) for name, path in files.items()}


def _expanded(word, folder, command):
    """The files of a folder in place of it, where a command reads them."""
    if word in ("grid", "confusion") and not command.startswith("train"):
        kind = "*.safetensors" if command.startswith("measure") else "*.measures.json"
        return sorted(f"{word}/{path.name}" for path in (folder / word).glob(kind))
    return [word]


def _content(path):
    if path.suffix != ".json":
        return path.read_bytes()
    return json.dumps(_without_times(json.loads(path.read_text("utf-8"))))


def _without_times(value):
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in TIMES | {"gentool"}}
    return [_without_times(v) for v in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.skipif(BEFORE is None, reason="GENTOOL_BEFORE names no checkout to compare with")
def test_commands_write_the_bytes_that_they_wrote_before(tmp_path):
    """Trainings, a grid, measures, sharpness, witnesses, claims, conversions and figures."""
    found = {}
    for name, checkout in (("before", Path(BEFORE)), ("now", NOW)):
        (tmp_path / name).mkdir()
        found[name] = outputs(checkout.resolve(), tmp_path / name)
    failed = [command for command in COMMANDS if found["before"][command][0] != 0]
    assert not failed, "these do not run even before"
    assert set(found["before"]) == set(found["now"])
    different = [name for name, content in found["before"].items() if content != found["now"][name]]
    assert different == []
