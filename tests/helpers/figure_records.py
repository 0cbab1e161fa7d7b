"""Make records of networks that were never trained, in the shape of real records."""

import math

MEASURES = {"l2": 100.0, "l1_path": 1e6, "l2_path": 4.0, "spectral": 9.0, "sharpness": 0.5}
LARGEST_PATH = {"l1_path_maxpool": 1e5, "l2_path_maxpool": 2.0}  # of networks with max poolings


def network(measures=None, train_error=0.0, curve=True, model="mlp", **recipe):
    """Return a record; keywords change the recipe, `measures` the default measures."""
    values = (MEASURES if model == "mlp" else MEASURES | LARGEST_PATH) | (measures or {})
    recipe = {
        "model": model,
        "width": None,
        "depth": 1,
        "hidden": 64,
        "data": "folder:/x/faces",
        "labels": "true",
        "subset": 1000,
        "confusion": 0,
        "seed": 0,
        "lr": 0.1,
    } | recipe
    return {
        "format": 1,
        "gentool": "0.1.0",
        "command": {"name": "measure"},
        "checkpoint": {"file": "a.safetensors", "sha256": str(sorted(map(str, recipe.items())))},
        "recipe": recipe,
        "outcome": {
            "train_error": train_error,
            "test_error": 0.25,
            "confusion_error": 0.0 if recipe["confusion"] else None,
            "history": {"epoch": [1, 2], "loss": [2.0, 0.5], "error": [0.8, 0.0]},
        },
        "measures": values,
        "log10": {k: math.log10(v) if v else None for k, v in values.items()},
        "layers": [],
        "margin": {
            "gamma": 1.0,
            "histogram": {"edges": [0.0, 1.0, 3.0], "counts": [recipe["subset"] // 4] * 2},
        },
        "expected_sharpness": {"curve": rows()} if curve else None,
        "notes": [],
    }


def rows(scale=1e5):
    """Return a curve: expected sharpness 0.3 at the smallest KL, 0.02 at the largest."""
    return [
        {"value": value, "stderr": 0.01, "kl": scale / value / 2, "kl_without_half": scale / value}
        for value in (0.02, 0.05, 0.1, 0.3)
    ]


def by_size(sizes=(1000, 2000, 4000), **keywords):
    """Return networks on true and random labels; l2 is the size, its square if random."""
    powers = {"true": 1, "random": 2}
    return [
        network({"l2": float(size) ** power}, labels=labels, subset=size, **keywords)
        for labels, power in powers.items()
        for size in sizes
    ]


def kept_at(losses, value=10.0, **recipe):
    """Return the checkpoints of one training of a VGG at {threshold: loss}, one an epoch.

    l2 is `value` over the loss; each history begins with those before it, and with `value`.
    """
    records, running = [], [value]
    for threshold, loss in losses.items():
        running.append(loss)
        options = {"width": 0.25, "depth": None, "hidden": None, "stop_loss": threshold} | recipe
        record = network({"l2": value / loss}, model="vgg", **options)
        record["checkpoint"]["sha256"] += f" {loss} {value}"
        record["checkpoint"]["file"] = f"a{value:g}.loss{threshold:g}.safetensors"
        record["outcome"] |= {"train_loss": loss, "epochs": len(running)}
        record["outcome"]["history"] = {"loss": list(running)}
        del record["measures"]["sharpness"], record["log10"]["sharpness"]
        records.append(record)
    return records


def by_confusion(sizes=(0, 100, 200), **keywords):
    return [network(growing(size), confusion=size, **keywords) for size in sizes]


def by_width(widths=(32, 128, 512, 2048), **keywords):
    return [network(growing(width), hidden=width, **keywords) for width in widths]


def growing(size):
    """Return measures that are all 1 plus the size."""
    return dict.fromkeys(MEASURES, 1.0 + size)
