"""One by one or all together: which is faster for this network here, by a quick measurement.

Kernels too small to fill the machine (MLPs, narrow networks on a GPU) gain from `vmap`; large
convolutions on a CPU lose, for they become grouped convolutions.
"""

import time
from dataclasses import asdict, dataclass, replace

import torch

from gentool.sharpness.objective import VMAP_GAIN, Objective, Spent

CANDIDATES = 8
IMAGES = 64
REPEATS = 5
LONG = 0.5  # seconds after which two repetitions tell enough


@dataclass(frozen=True)
class Batching:
    """What was chosen, and the seconds that decided it; None where it was asked for."""

    chosen: str
    candidates: int | None = None
    images: int | None = None
    loop_seconds: float | None = None
    vmap_seconds: float | None = None

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def choose(objective: Objective, candidates: int = CANDIDATES, images: int = IMAGES) -> Batching:
    """Time a gradient of some candidates on some images both ways; vmap where it clearly gains."""
    images = min(images, len(objective))
    trial = replace(objective, spent=Spent()).part(torch.arange(images))
    points = objective.subject.weights.expand(candidates, -1)
    ways = {name: replace(trial, batching=name) for name in ("loop", "vmap")}
    seconds = dict.fromkeys(ways, float("inf"))
    began = time.perf_counter()
    for i in range(REPEATS):  # in turn, so that what else the machine does hits both alike
        for name, way in ways.items():
            seconds[name] = min(seconds[name], _seconds(way, points))
        if i > 0 and time.perf_counter() - began > LONG:
            break
    chosen = "vmap" if VMAP_GAIN * seconds["vmap"] < seconds["loop"] else "loop"
    return Batching(
        chosen, candidates, images, round(seconds["loop"], 6), round(seconds["vmap"], 6)
    )


def _seconds(objective: Objective, points: torch.Tensor) -> float:
    _finish(points.device)
    began = time.perf_counter()
    objective.gradients(points)
    _finish(points.device)
    return time.perf_counter() - began


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
