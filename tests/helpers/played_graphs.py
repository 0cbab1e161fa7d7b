"""CUDA graphs played on a CPU: what is recorded runs again, from its places into what it found."""

from contextlib import nullcontext

import torch
from torch import Tensor

CAPTURING = (
    "training.stacked_mlps",
    "training.epoch",
    "sharpness.objective",
)  # who captures where it can


class PlayedGraph:
    """Stands for a recording: arguments are read from its places, what is found is overwritten."""

    played = 0

    def __init__(self, function, given, pool):
        self.function, self.found = function, None
        self.places = [v.detach().clone() if isinstance(v, Tensor) else v for v in given]

    def replay(self, given):
        PlayedGraph.played += 1
        for place, value in zip(self.places, given, strict=True):
            if isinstance(value, Tensor):
                place.copy_(value)
        found = self.function(*self.places)
        if self.found is None:
            self.found = tuple(None if value is None else value.clone() for value in found)
        for place, value in zip(self.found, found, strict=True):
            if value is not None:
                place.copy_(value)
        return self.found


class Stream:
    """Stands for a stream of CUDA, of which the CPU has none."""

    def wait_stream(self, other):
        pass


def play(monkeypatch):
    """Let all that captures on CUDA capture on the CPU."""
    monkeypatch.setattr(PlayedGraph, "played", 0)
    monkeypatch.setattr("gentool.numerics.cuda_graphs._Graph", PlayedGraph)
    for module in CAPTURING:
        monkeypatch.setattr(f"gentool.{module}.can_capture", lambda device: True)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
