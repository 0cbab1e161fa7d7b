"""Measure files made by hand."""

import hashlib
import re

from gentool.records.recipe import Recipe


def record(sha256="a" * 64, notes=(), recipe=None, **measures):
    """A record with the parts that reading and drawing need."""
    from math import log10

    return {
        "format": 1,
        "gentool": "0.1.0",
        "command": {"name": "measure"},
        "checkpoint": {"file": "a.safetensors", "sha256": sha256},
        "recipe": recipe,
        "outcome": None,
        "measures": measures,
        "log10": {k: log10(v) if v else None for k, v in measures.items()},
        "layers": [],
        "margin": None,
        "notes": list(notes),
    }


def whole(record):
    """Return a record with all that a measure file needs, made up where a test says nothing."""
    fresh = {
        "recipe": dict(record["recipe"] or {}),
        "outcome": dict(record["outcome"] or {}),
        "checkpoint": dict(record["checkpoint"]),
    }
    digest = fresh["checkpoint"]["sha256"]
    if not re.fullmatch("[0-9a-f]{64}", digest):
        fresh["checkpoint"]["sha256"] = hashlib.sha256(digest.encode()).hexdigest()
    if fresh["recipe"]:
        fresh["recipe"] = RECIPE | fresh["recipe"]
    if fresh["outcome"]:
        history = {"epoch": [1], "loss": [0.1], "error": [0.0]}
        fresh["outcome"] = OUTCOME | {"history": history} | fresh["outcome"]
        lists = fresh["outcome"]["history"]
        epochs = list(range(1, len(lists["loss"]) + 1))
        fresh["outcome"]["history"] = {"epoch": epochs, "error": [0.0] * len(epochs)} | lists
        fresh["outcome"]["epochs"] = len(epochs)
    for name, usual in (("margin", MARGIN), ("expected_sharpness", EXPECTED)):
        if record.get(name):
            fresh[name] = usual | record[name]
    if record.get("expected_sharpness"):
        curve = [ROW | row for row in record["expected_sharpness"]["curve"]]
        fresh["expected_sharpness"]["curve"] = curve
    layers = [LAYER | layer for layer in record["layers"]]
    made = {name: value or None for name, value in fresh.items()} | {"layers": layers}
    return {k: v for k, v in (record | made).items() if k != "expected_sharpness" or v}


RECIPE = Recipe().to_json() | {
    "input_shape": [3, 32, 32],
    "classes": 10,
    "initial_digest": None,
}
OUTCOME = {
    **{"epochs": 1, "stop_rule_met": True, "gave_up": False, "train_loss": 0.01},
    **{"train_error": 0.0, "confusion_loss": None, "confusion_error": None},
    **{"test_loss": None, "test_error": None},
}
MARGIN = {
    **{"epsilon": 0.0, "points": 10, "rank": 1, "gamma": 1.0, "quantiles": {"0.5": 1.0}},
    "histogram": {"edges": [0.0, 1.0], "counts": [10]},
}
BATCHING = {
    **{"chosen": "loop", "candidates": None, "images": None},
    **{"loop_seconds": None, "vmap_seconds": None},
}
EXPECTED = {
    **{"folded": True, "parameters": 10, "images": 10, "loss": 0.01, "delta": 0.1, "level": 0.05},
    **{"batching": BATCHING, "stopped": None, "forward_evaluations": 10},
}
ROW = {
    **{"alpha": 0.1, "value": None, "stderr": None, "draws": 2, "paired": True, "error_rise": 0.0},
    **{"kl": None, "kl_without_half": None, "bound": None},
}
LAYER = {
    **{"name": "0", "shape": [2, 3], "channels": 3, "units": 2},
    **{"frobenius": None, "spectral": None, "frobenius_operator": None},
    **{"spectral_operator": None, "spectral_operator_upper": None},
}
