"""Name every reader of files with its whole files, its kind of damage, and what is called.

A call reads the damaged file and does with what was read all that the commands would do first. It
ends in a result, or in an error of gentool.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

import safetensors.torch
import torch

from gentool.checkpoints import checkpoint
from gentool.checkpoints.hints import Hints
from gentool.checkpoints.inspection import inspect_checkpoint
from gentool.claims.report import report
from gentool.common.json import dumps, loads
from gentool.data.decoding import decode
from gentool.data.image_folder import _list_images, _read_cache, read_folder
from gentool.data.reading import Reading
from gentool.data.sources import DataSets, load_dataset
from gentool.measures.measure import MeasureOptions, measure_checkpoint
from gentool.records import checkpoint_metadata
from gentool.records.measure_file import merge
from gentool.records.reading import read_records
from gentool.records.table import TableOptions, make_table
from gentool.sharpness import witness
from gentool.training.loop import train
from gentool.training.state_file import KEY as STATE_KEY
from gentool.training.state_file import _digest
from helpers.attacks import containers, mutations
from helpers.small_sets import recipe, sets

Damage = Callable[[bytes, Random], bytes]
HINTS = {
    "vgg": Hints(input_shape=(3, 32, 32), pool="max,max,max,max,max"),
    "conv": Hints(input_shape=(3, 8, 8), pool="1:max2,2:max2", activation=("relu",)),
    "named": Hints(batch_norm="before"),
}


@dataclass(frozen=True)
class Reader:
    """Hold a reader: whole files, the damage, and the call.

    `call` is given the damaged file, the folder of whole files and the number of the input.
    `command` are the arguments of a command that reads the file: FILE is the damaged one, FOLDER
    the folder of whole files, OUT a file that is not written if the command fails. `writes` is true
    of a reader that may write: to the cache of images, or the next state of a run.
    """

    seeds: tuple[str, ...]
    damage: Damage | None  # None: the files are tried as they are, one after the other
    call: Callable[[Path, Path, int], object]
    command: str
    writes: bool = False


def _checkpoint(path: Path, folder: Path, i: int) -> None:
    _used(checkpoint.read(path), folder, i)


def _used(read: checkpoint.Checkpoint, folder: Path, i: int) -> None:
    """Do with a checkpoint what inspect, convert and, now and then, measure do."""
    dumps(inspect_checkpoint(read))
    model = read.model()
    checkpoint.content_of(model, read.recipe, read.outcome)
    if i % 20 == 0 and sum(t.numel() for t in read.tensors.values()) < 50_000:
        options = MeasureOptions(use_data=False)
        cpu = torch.device("cpu")
        record = measure_checkpoint(read, options, device=cpu, data_sets=DataSets(folder))
        dumps(record)


def _metadata(path: Path, folder: Path, i: int) -> None:
    checkpoint_metadata.recipe_and_outcome(checkpoint_metadata.read(path))


def _foreign(path: Path, folder: Path, i: int) -> None:
    hints = HINTS.get(path.name.partition(".")[0], Hints())
    _used(checkpoint.read(path, hints), folder, i)


def _layers(path: Path, folder: Path, i: int) -> None:
    hints = Hints(layers=str(path), input_shape=(3, 8, 8) if i % 2 else None)
    _used(checkpoint.read(folder / "conv.foreign", hints), folder, i)


def _witness(path: Path, folder: Path, i: int) -> None:
    read = witness.read(path)
    if i % 5 == 0:  # the claim may be of any checkpoint: the point is tried on ours
        from gentool.sharpness.functional import functional_network

        ours = checkpoint.read(folder / "mlp.safetensors")
        network = functional_network(
            ours.model(), (1, 8, 8), fold_batch_norm=bool(read.claim.folded)
        )
        if read.claim.parameters < 10**6:
            read.point(network)


def _npz(path: Path, folder: Path, i: int) -> None:
    reading = Reading(is_recorded=True) if i % 3 == 0 else Reading()
    data = load_dataset(f"npz:{path}", folder, False, reading)
    assert data.train_images.isfinite().all()


def _image(path: Path, folder: Path, i: int) -> None:
    decode(path, Reading(channels=(None, 1, 3)[i % 3], resize=(None, None, 4)[i % 3]))
    if i % 10 == 0:
        tree = path.parent / "tree"
        shutil.copytree(folder / "tree", tree)
        try:
            shutil.copy(path, tree / "train" / "a" / path.name)
            read_folder(tree, False)
        finally:
            shutil.rmtree(tree)


def _cache(path: Path, folder: Path, i: int) -> None:
    """A damaged cache is said to be one, and the images are decoded again, here one time in ten."""
    place = path.parent / "cache" / (folder / "cached.name").read_text()
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, place)
    if i % 10 == 0:
        read_folder(folder / "tree", False)
    else:
        _read_cache(place, *_listed(folder / "tree"))


@cache
def _listed(tree: Path) -> list[list[tuple[Path, int]]]:
    return [_list_images(tree / half)[0] for half in ("train", "test")]


def _measures(path: Path, folder: Path, i: int) -> None:
    records = merge(read_records(path, lambda _: None))
    make_table(records, TableOptions())
    dumps(report(records, None, 0, 0).to_json())
    if i % 10 == 0:
        make_table(records, TableOptions(layers=True))


def _state(path: Path, folder: Path, i: int) -> None:
    """Go on for one epoch, so that a kernel sees what was read."""
    of_run = recipe_of(path)
    train(replace(of_run, epochs=3), sets(), torch.device("cpu"), state_path=path, resume=True)


def recipe_of(path: Path) -> object:
    """Return the recipe of the whole state of a damaged one, by the number in its name."""
    from helpers.attacks.seeds import STATES

    return recipe(epochs=2, **STATES[int(path.name[0])])


def _resealed(text: str, tensors: dict) -> str:
    """Return the metadata of a state with the digest of its changed content, if it has one."""
    try:
        about = loads(text)
        about.pop("digest", None)
        content = containers.joined(tensors, {})
        return dumps(about | {"digest": _digest(about, safetensors.torch.load(content))})
    except (ValueError, TypeError, AttributeError, KeyError, safetensors.SafetensorError):
        return text  # so damaged that it has no digest


def _of_safetensors(key: str | None, reseal: Callable | None = None) -> Damage:
    return lambda content, chance: containers.damaged_safetensors(content, chance, key, reseal)


def _damaged_metadata(content: bytes, chance: Random) -> bytes:
    header, data = containers.safetensors_parts(content)
    texts = header["__metadata__"]
    texts["gentool"] = mutations.damaged_json(texts["gentool"], chance).decode(errors="replace")
    return containers.safetensors_of(dumps(header).encode(), data)


def _damaged_records(content: bytes, chance: Random) -> bytes:
    """A measure file, or JSON Lines of several, of which some are damaged."""
    damaged = mutations.damaged_json(content.decode(), chance)
    if chance.random() < 0.7:
        return damaged
    whole = dumps(loads(content)).encode()
    lines = [damaged.replace(b"\n", b" "), whole, whole.replace(b'"l2"', b'"l3"')]
    chance.shuffle(lines)
    return chance.choice((b"\n", b"", b" ", b"\r\n\n")).join(lines)


def _damaged_state(content: bytes, chance: Random) -> bytes:
    if content[:2] == b"PK":
        return containers.damaged_pytorch(content, chance)
    return containers.damaged_safetensors(content, chance, STATE_KEY, _resealed)


def _mostly(*names: str) -> tuple[str, ...]:
    """Return the small files five times, and the VGG, which takes far longer, once."""
    return (*names, *names, *names, *names, *names, f"vgg.{names[0].partition('.')[2]}")


_NETWORKS = _mostly("mlp.safetensors", "norm.safetensors", "conv.safetensors")
_PICKLES = _mostly("conv.pt", "named.pt", "plain.pt", "wrapped.pt", "module.pt", "older.pt")
_IMAGES = ("grey.png", "rgb.png", "rgba.png", "deep.png", "p.png", "a.jpg", "a.bmp", "a.tif")
_RECORDS = ("mlp.measures.json", "norm.measures.json", "sharpness.json", "expected.json")
_TRAIN = "train --model mlp --hidden 2 --epochs 1 --threads 1 -o OUT --data"
READERS = {
    "checkpoint": Reader(
        _NETWORKS, _of_safetensors("gentool"), _checkpoint, "measure FILE --no-data -o OUT"
    ),
    "metadata": Reader(_NETWORKS, _damaged_metadata, _metadata, "inspect FILE -o -"),
    "foreign": Reader(
        _mostly("conv.foreign", "named.foreign", "plain.foreign"),
        *(_of_safetensors(None), _foreign, "inspect FILE --input-shape 3x8x8"),
    ),
    "pytorch": Reader(_PICKLES, containers.damaged_pytorch, _foreign, "convert FILE -o OUT"),
    "layers": Reader(
        ("conv.layers.json",),
        lambda content, chance: mutations.damaged_json(content.decode(), chance),
        *(_layers, "measure FOLDER/conv.pt --layers FILE -o OUT"),
    ),
    "witness": Reader(
        ("worst.witness",),
        *(_of_safetensors("gentool-witness"), _witness, "verify FOLDER/mlp.safetensors FILE"),
    ),
    "npz": Reader(("grey.npz", "colours.npz"), containers.damaged_npz, _npz, f"{_TRAIN} npz:FILE"),
    "image": Reader(
        tuple(f"images/{name}" for name in (*_IMAGES, "float.tiff", "a.webp", "a.ppm")),
        *(containers.damaged_image, _image, "", True),
    ),
    "cache": Reader(("cached.npz",), containers.damaged_npz, _cache, "", True),
    "measures": Reader(_RECORDS, _damaged_records, _measures, "claims FILE -o OUT"),
    "state": Reader(
        tuple(f"{i}{suffix}" for suffix in (".state", ".formatted1") for i in range(3)),
        *(_damaged_state, _state, "", True),
    ),
}

KEPT = Path(__file__).parents[2] / "attack" / "kept"
for _folder in sorted(KEPT.iterdir()):  # files that escaped once, tried again as they are
    _files = tuple(sorted(map(str, _folder.iterdir())))
    READERS[f"kept {_folder.name}"] = replace(READERS[_folder.name], seeds=_files, damage=None)
