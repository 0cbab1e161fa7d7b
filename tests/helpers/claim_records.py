"""Records of networks that nobody trained, with the numbers that a test gives them."""

from itertools import pairwise
from math import log10

from helpers.records import record

RECIPE = {
    "model": "vgg",
    "data": "cifar10",
    "labels": "true",
    "subset": 1000,
    "confusion": 0,
    "hidden": None,
    "seed": 0,
    "lr": 0.01,
}


def network(test_error=0.5, train_error=0.0, curve=None, **values):
    """A record: keys of the recipe go there, the others are measures, given as log10."""
    recipe = RECIPE | {key: values.pop(key) for key in RECIPE if key in values}
    name = "-".join(f"{key}{value}" for key, value in recipe.items())
    plain = {key: value for key, value in values.items() if key.startswith("sharpness")}
    made = record(sha256=name, recipe=recipe, **plain)
    made["checkpoint"]["file"] = f"{name}.safetensors"
    made["log10"] |= {key: value for key, value in values.items() if key not in plain}
    made["measures"] |= {key: 10**value for key, value in values.items() if key not in plain}
    made["outcome"] = {"train_error": train_error, "test_error": test_error}
    if curve is not None:
        rows = [{"kl": kl, "value": value, "stderr": stderr} for kl, value, stderr in curve]
        made["expected_sharpness"] = {"curve": rows}
    return made


def along(axis, values, key, **others):
    """A network for each {x: value}."""
    return [network(**{axis: x, key: value}, **others) for x, value in values.items()]


def log_kl(curve, level=0.05):
    """log10 of the KL at which a curve [(KL, expected sharpness)] crosses the level."""
    points = [(value, log10(kl)) for kl, value in sorted(curve, reverse=True)]
    for (low, a), (high, b) in pairwise(points):
        if low <= level <= high:
            return a + (b - a) * (level - low) / (high - low)
    raise AssertionError("the curve does not cross the level")


def labelled(true, random, key="l2", **others):
    """Networks with true and with random labels at the sizes 1000, 2000, ..."""
    return [
        network(labels=labels, subset=1000 * (i + 1), **{key: value}, **others)
        for labels, values in (("true", true), ("random", random))
        for i, value in enumerate(values)
        if value is not None
    ]
