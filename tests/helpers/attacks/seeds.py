"""Make the whole files from which the damaged ones are derived, small ones of every kind."""

import io
import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from gentool.cli.main import run
from gentool.training.loop import train
from gentool.training.state import State
from helpers.foreign_networks import CifarVGG, NamedMLP
from helpers.small_sets import recipe, sets

CONV = "--input-shape 3x8x8 --pool 1:max2,2:max2 --activation relu"  # for `_small_network`
MLP = "train --data digits --model mlp --hidden 8 --subset 60 --epochs 3 --threads 1 --quiet"
STATES = (
    {"momentum": 0.9, "hidden": 8},
    {"optimizer": "adam", "batch_norm": True, "hidden": 8},
    {"dropout": 0.2, "momentum": 0.0, "hidden": 8},
)


def make(folder: Path) -> None:
    """Write the files of all kinds into a folder."""
    os.chdir(folder)
    _foreign(folder)
    for command in (
        f"{MLP} --labels random -o mlp.safetensors --keep-initial",
        f"{MLP} --batch-norm -o norm.safetensors",
        "convert vgg.pt --input-shape 3x32x32 --pool max,max,max,max,max -o vgg.safetensors",
        f"convert conv.pt {CONV} -o conv.safetensors",
        "measure mlp.safetensors -o mlp.measures.json",
        "sharpness mlp.safetensors --threads 1 --restarts 2 --steps 2 --flatness --batching loop "
        "--save-perturbation worst.safetensors -o sharpness.json",
        "sharpness norm.safetensors --threads 1 --expected --alpha 0.001 --precision 0.1 "
        "--batching loop -o expected.json",
        "measure norm.safetensors -o norm.measures.json",
        "inspect conv.safetensors --write-layers -o conv.layers.json",
    ):
        done = run([*command.split(), *(["-q"] if "-q" not in command else [])])
        assert done == 0, command
    _states(folder)
    _images(folder)


def in_a_fork(function: Callable[[], None]) -> None:
    """Call a function in a fork, so that this process stays without threads of torch."""
    if pid := os.fork():
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "no whole files to damage"
        return
    code = 1
    try:
        torch.set_num_threads(1)
        function()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _foreign(folder: Path) -> None:
    torch.manual_seed(0)
    nets = {"vgg": CifarVGG(batch_norm=False), "named": NamedMLP(), "plain": _small_mlp()}
    nets["conv"] = _small_network()
    for name, net in nets.items():
        net.eval()
        torch.save(net.state_dict(), folder / f"{name}.pt")
        save_file(
            {k: v.contiguous() for k, v in net.state_dict().items()}, folder / f"{name}.foreign"
        )
    wrapped = {"epoch": 3, "state_dict": nets["plain"].state_dict(), "optimizer": {"lr": [0.1]}}
    torch.save(wrapped, folder / "wrapped.pt")
    torch.save(nets["plain"], folder / "module.pt")
    torch.save(wrapped, folder / "older.pt", _use_new_zipfile_serialization=False)


def _small_mlp() -> nn.Module:
    """Return a network whose layers have numbers for names."""
    hidden = [nn.Flatten(), nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Dropout(), nn.Linear(8, 3))


def _small_network() -> nn.Module:
    """Return a network with a layer of each kind that is read faster than a VGG."""
    net = nn.Module()
    stack = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)]
    stack += [nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    net.features, net.classifier = nn.Sequential(*stack), nn.Linear(24, 5)
    return net


def _states(folder: Path) -> None:
    for i, options in enumerate(STATES):
        path = folder / f"{i}.state"
        of_run = recipe(epochs=2, stop_check="epoch", **options)
        train(of_run, sets(), torch.device("cpu"), state_path=path)
        (folder / f"{i}.formatted1").write_bytes(_of_format_1(path, of_run))


def _without(values: dict, name: str) -> dict:
    return {key: value for key, value in values.items() if key != name}


def _of_format_1(path: Path, of_run: object) -> bytes:
    """Return a state as gentool 0.1 wrote it: a file of torch.save."""
    state = State.initial(of_run, torch.device("cpu"))
    state.load(path, of_run, path.read_bytes(), 1)
    saved = {
        **{
            "recipe": _without(of_run.to_json(), "stop_check"),
            "model": dict(state.model.state_dict()),
        },
        **{"optimizer": state.optimizer.state_dict(), "epoch": state.epoch, "kept": state.kept},
        **{"history": state.history, "stopped": state.stopped},
    }
    content = io.BytesIO()
    torch.save(saved, content)
    return content.getvalue()


def _images(folder: Path) -> None:
    numbers = np.random.default_rng(0)
    images = numbers.integers(0, 256, (6, 8, 8), dtype=np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2])
    np.savez(
        folder / "grey.npz", x_train=images, y_train=labels, x_test=images[:3], y_test=labels[:3]
    )
    colours = numbers.random((6, 3, 5, 5), dtype=np.float32)
    np.savez_compressed(folder / "colours.npz", images=colours, labels=np.eye(3)[labels])
    tree = folder / "tree"
    for half in ("train", "test"):
        for i, name in enumerate("ab"):
            place = tree / half / name
            place.mkdir(parents=True)
            Image.fromarray(images[i]).save(place / "1.png")
    kinds = folder / "images"
    kinds.mkdir()
    grey, rgb = Image.fromarray(images[0]), Image.fromarray(np.repeat(images[1][..., None], 3, 2))
    deep = Image.fromarray(images[0].astype(np.uint16) * 200)
    rgba = rgb.copy()
    rgba.putalpha(grey)
    for name, image in (
        *(("grey.png", grey), ("rgb.png", rgb), ("rgba.png", rgba), ("deep.png", deep)),
        *(("p.png", rgb.quantize(8)), ("a.jpg", rgb), ("a.bmp", rgb), ("a.tif", deep)),
        *(("float.tiff", Image.fromarray(colours[0, 0])), ("a.webp", rgb), ("a.ppm", rgb)),
    ):
        image.save(kinds / name)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    from gentool.data.image_folder import read_folder

    read_folder(tree, False)
    [cached] = (folder / "cache").rglob("*.npz")
    shutil.copy(cached, folder / "cached.npz")
    (folder / "cached.name").write_text(str(cached.relative_to(folder / "cache")))
