"""One by one or all together: which is faster for this network here, by a quick measurement.

Kernels too small to fill the machine (MLPs, narrow networks on a GPU) gain from running together;
large convolutions on a CPU lose, for they become grouped convolutions.
"""

import time
from dataclasses import asdict, dataclass, replace

import torch

from gentool.sharpness.forward import QUICK_BATCHINGS, batchings_of
from gentool.sharpness.objective import Objective, Spent

CANDIDATES = 8
IMAGES = 64
SCREENED_IMAGES = 512  # for MLPs and on CUDA: what is gained depends on how many there are
REPEATS = 5
LONG = 0.5  # seconds after which two repetitions tell enough
GAIN = 1.1  # how much faster than a loop another way has to be to be taken


@dataclass(frozen=True)
class BatchingChoice:
    """What was chosen, and the seconds that decided it; None where it was asked for."""

    chosen: str
    candidates: int | None = None
    images: int | None = None
    loop_seconds: float | None = None
    vmap_seconds: float | None = None
    stacked_seconds: float | None = None  # None for a network that is no MLP too

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def choose_batching(
    objective: Objective, candidates: int = CANDIDATES, images: int | None = None
) -> BatchingChoice:
    """Time a gradient of some candidates on some images each way; the fastest, or else a loop."""
    is_quick = objective.network.mlp_layers or objective.network.weights.device.type == "cuda"
    images = min(images or (SCREENED_IMAGES if is_quick else IMAGES), len(objective))
    trial = replace(objective, spent=Spent()).part(torch.arange(images))
    points = objective.network.weights.expand(candidates, -1)
    ways = {
        name: replace(trial, batching=name)
        for name in batchings_of(objective.network)
        if name in QUICK_BATCHINGS
    }
    seconds = dict.fromkeys(ways, float("inf"))
    began = time.perf_counter()
    for i in range(REPEATS):  # in turn, so that what else the machine does hits all alike
        for name, way in ways.items():
            seconds[name] = min(seconds[name], _seconds(way, points))
        if i > 0 and time.perf_counter() - began > LONG:
            break
    fastest = min(seconds, key=seconds.get)
    chosen = fastest if GAIN * seconds[fastest] < seconds["loop"] else "loop"
    measured = {f"{name}_seconds": round(took, 6) for name, took in seconds.items()}
    return BatchingChoice(chosen, candidates, images, **measured)


def _seconds(objective: Objective, points: torch.Tensor) -> float:
    _finish(points.device)
    began = time.perf_counter()
    objective.gradients(points)
    _finish(points.device)
    return time.perf_counter() - began


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
