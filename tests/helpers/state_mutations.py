"""Damage run states on purpose: bytes, JSON values, tensors of other shapes, types and layouts."""

import io
import json
import math
import random

import torch
from safetensors.torch import load, save

from gentool.common.errors import GentoolError
from gentool.training.state import State
from gentool.training.state_file import KEY, _digest, parse

VALUES = (
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**53,
    10**40,
    -0.5,
    1e308,
    1e-320,
    "",
    "x",
    "\x1b[2J",
    [],
    {},
)
VALUES += ([], {}, [[]], [1, "a"], {"a": 1}, math.nan, math.inf)
TYPES = (torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int64, torch.uint8)

WAYS = ("bytes", "cut", *("json", "tensors", "pickle") * 2)


def damaged(content, generator):
    """Return the content of a state with one to three things changed, and in which way."""
    way = generator.choice(
        ["bytes", "cut", "json", "tensors", "json", "tensors", "pickle", "pickle"]
    )
    if way == "cut":
        return content[: generator.randrange(len(content))], way
    if way == "bytes":
        changed = bytearray(content)
        for _ in range(generator.randint(1, 8)):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        return bytes(changed), way
    about, tensors = parts(content)
    for _ in range(generator.randint(1, 3)):
        if way == "json" or (way == "pickle" and generator.random() < 0.4):
            change_json(about, generator)
        else:
            change_tensor(tensors, generator)
    if way == "pickle":
        return as_pickle(about, tensors, group_of(content), generator), way
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    if generator.random() < 0.9:  # so that what is behind the digest is reached
        about.pop("digest", None)
        try:
            about["digest"] = _digest(about, tensors)
        except ValueError:
            about["digest"] = "0"
    return save(tensors, {KEY: json.dumps(about)}), way


def parts(content):
    length = int.from_bytes(content[:8], "little")
    about = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][KEY])
    return about, load(content)


def change_json(about, generator):
    """Replace, remove or add a value somewhere in a JSON object."""
    place = about
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = generator.choice(keys)
        if isinstance(place[key], (dict, list)) and generator.random() < 0.7:
            place = place[key]
            continue
        break
    do = generator.randrange(4)
    if do == 0:
        del place[key]
    elif do == 1 and isinstance(place, list):
        place.insert(0, generator.choice(VALUES))
    elif do == 1:
        place["added"] = generator.choice(VALUES)
    else:
        place[key] = generator.choice(VALUES)


def change_tensor(tensors, generator):
    """Remove, rename or replace a tensor by one of another shape, type, layout or value."""
    if not tensors:
        return
    name = generator.choice(sorted(tensors))
    tensor = tensors[name]
    shape = tuple(tensor.shape)
    do = generator.randrange(9)
    if do == 0:
        del tensors[name]
    elif do == 1:
        tensors[generator.choice(["x", f"{name}x", "optimizer.99.exp_avg"])] = tensors.pop(name)
    elif do == 2:
        tensors[name] = tensor.to(generator.choice(TYPES))
    elif do == 3:
        sizes = [(), (1,), (0,), (*shape, 1), shape[::-1], tuple(2 * n for n in shape)]
        tensors[name] = torch.zeros(generator.choice(sizes), dtype=tensor.dtype)
    elif do == 4:
        tensors[name] = torch.zeros((1,) * len(shape), dtype=tensor.dtype).expand(shape)
    elif do == 5 and len(shape) > 1:
        tensors[name] = tensor.t().contiguous().t()
    elif do == 6:
        other = generator.choice(sorted(tensors))
        tensors[name], tensors[other] = tensors[other], tensor
    else:
        value = generator.choice([math.nan, math.inf, -1e38, -1.0, 1e30])
        changed = tensor.clone(memory_format=torch.contiguous_format)
        changed.view(-1)[:1] = value if tensor.is_floating_point() else -1
        tensors[name] = changed


def group_of(content):
    """Return the settings of the optimizer of a whole state, as earlier versions wrote them."""
    initial = State.initial(parse(content).recipe, torch.device("cpu"))
    return initial.optimizer.state_dict()["param_groups"][0]


def as_pickle(about, tensors, group, generator):
    """Return a state as earlier versions wrote it, by torch.save and with settings."""
    saved = {name: value for name, value in about.items() if name not in ("format", "digest")}
    saved["model"], states = {}, {}
    for name, tensor in tensors.items():
        if name.startswith("model."):
            saved["model"][name.removeprefix("model.")] = tensor
        else:
            _, index, key, *_ = (*name.split(".", 2), "", "")
            states.setdefault(int(index) if index.isdigit() else index, {})[key] = tensor
    if generator.random() < 0.3:
        group[generator.choice(sorted(group))] = generator.choice(VALUES)
    if generator.random() < 0.2:
        group |= {"maximize": True, "fused": generator.choice([True, False, None, "x"])}
    if generator.random() < 0.2:
        del group[generator.choice(sorted(group))]
    saved["optimizer"] = {"state": states, "param_groups": [group]}
    content = io.BytesIO()
    torch.save(saved, content)
    return content.getvalue()


def states(train, recipe_of, sets, folder):
    """Return content and recipe of a state of each kind of network, each after two epochs."""
    options = [
        {"momentum": 0.9},
        {"optimizer": "adam", "batch_norm": True},
        {"dropout": 0.2, "momentum": 0.0},
        {"optimizer": "adam", "precision": "bfloat16"},
    ]
    kept = []
    for i, option in enumerate(options):
        path = folder / f"{i}.state"
        recipe = recipe_of(epochs=2, **option)
        train(recipe, sets, torch.device("cpu"), state_path=path)
        kept.append((path.read_bytes(), recipe))
    return kept


def generator_of(seed):
    return random.Random(seed)


def outcome_of(train, content, recipe, sets, path):
    """Resume from a state for one epoch; return the error's line, or None if training went on."""
    path.write_bytes(content)
    try:
        train(recipe, sets, torch.device("cpu"), state_path=path, resume=True)
    except GentoolError as error:
        line = str(error)
        if "\n" in line:
            raise ValueError(f"an error of several lines: {line}") from error
        return line
    return None
