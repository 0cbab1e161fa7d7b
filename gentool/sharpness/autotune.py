"""Choose whether candidates run one by one or together, by timing each way on this machine.

Kernels too small to fill the machine (MLPs, narrow networks on a GPU) gain from running together;
large convolutions on a CPU lose, for they become grouped convolutions.
"""

import math
import time
from dataclasses import asdict, dataclass, replace

import torch

from gentool.sharpness.forward import QUICK_BATCHINGS, batchings_of
from gentool.sharpness.objective import Objective, Spent

CANDIDATES = 8
IMAGES = 64
SCREENED_IMAGES = 512  # for MLPs and on CUDA, where the gain depends on the number of images
REPEATS = 5
LONG = 0.5  # seconds after which two repetitions are enough
GAIN = 1.1  # times as fast as a loop, at least, for another way to be chosen


@dataclass(frozen=True)
class BatchingChoice:
    """Hold how candidates are batched, and the seconds that decided; None where the user chose."""

    chosen: str
    candidates: int | None = None
    images: int | None = None
    loop_seconds: float | None = None
    vmap_seconds: float | None = None
    stacked_seconds: float | None = None  # None for a network that is no MLP too

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def choose_batching(
    objective: Objective,
    candidates: int = CANDIDATES,
    images: int | None = None,
    deadline: float = math.inf,
) -> BatchingChoice:
    """Time a gradient of some candidates on some images in each way; return the fastest.

    A loop is kept unless another way is GAIN times as fast. Nothing is timed where memory has room
    for one candidate alone, and no more after the deadline, as time.monotonic().
    """
    ways = [name for name in batchings_of(objective.network) if name in QUICK_BATCHINGS]
    rooms = [replace(objective, batching=name).candidates_per_chunk for name in ways]
    if max(rooms) == 1:
        return BatchingChoice("loop")
    is_quick = objective.network.mlp_layers or objective.network.device.type == "cuda"
    images = min(images or (SCREENED_IMAGES if is_quick else IMAGES), len(objective))
    trial = replace(objective, spent=Spent()).part(torch.arange(images))
    points = objective.network.weights.expand(candidates, -1)
    trials = {name: replace(trial, batching=name) for name in ways}
    seconds = dict.fromkeys(trials, float("inf"))
    began = time.perf_counter()
    for i in range(REPEATS):  # in turn, so that other load on the machine hits all alike
        for name, objective in trials.items():
            if time.monotonic() > deadline:
                return BatchingChoice("loop")
            seconds[name] = min(seconds[name], _seconds(objective, points))
        if i > 0 and time.perf_counter() - began > LONG:
            break
    fastest = min(seconds, key=seconds.get)
    chosen = fastest if GAIN * seconds[fastest] < seconds["loop"] else "loop"
    measured = {f"{name}_seconds": round(best, 6) for name, best in seconds.items()}
    return BatchingChoice(chosen, candidates, images, **measured)


def _seconds(objective: Objective, points: torch.Tensor) -> float:
    _synchronise(points.device)
    began = time.perf_counter()
    objective.gradients(points)
    _synchronise(points.device)
    return time.perf_counter() - began


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
