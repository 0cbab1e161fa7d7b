"""Make records of networks that were never trained, with numbers chosen by a test."""

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
    """Make a record; values are recipe fields, or else log10 of measures (sharpness as it is)."""
    recipe = RECIPE | {key: values.pop(key) for key in RECIPE if key in values}
    name = "-".join(f"{key}{value}" for key, value in recipe.items())
    plain = {key: value for key, value in values.items() if key.startswith("sharpness")}
    result = record(sha256=name, recipe=recipe, **plain)
    result["checkpoint"]["file"] = f"{name}.safetensors"
    result["log10"] |= {key: value for key, value in values.items() if key not in plain}
    result["measures"] |= {key: 10**value for key, value in values.items() if key not in plain}
    result["outcome"] = {"train_error": train_error, "test_error": test_error}
    if curve is not None:
        rows = [{"kl": kl, "value": value, "stderr": stderr} for kl, value, stderr in curve]
        result["expected_sharpness"] = {"curve": rows}
    return result


def along(axis, values, key, **others):
    """Make a network for each {x: value}."""
    return [network(**{axis: x, key: value}, **others) for x, value in values.items()]


def log_kl(curve, level=0.05):
    """Return log10 of the KL at which a curve [(KL, expected sharpness)] crosses the level."""
    points = [(value, log10(kl)) for kl, value in sorted(curve, reverse=True)]
    for (low, a), (high, b) in pairwise(points):
        if low <= level <= high:
            return a + (b - a) * (level - low) / (high - low)
    raise AssertionError("the curve does not cross the level")


def labelled(true, random, key="l2", **others):
    """Make networks with true and with random labels at the sizes 1000, 2000, ..."""
    return [
        network(labels=labels, subset=1000 * (i + 1), **{key: value}, **others)
        for labels, values in (("true", true), ("random", random))
        for i, value in enumerate(values)
        if value is not None
    ]
