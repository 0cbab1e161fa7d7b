"""Measure files made by hand."""


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
