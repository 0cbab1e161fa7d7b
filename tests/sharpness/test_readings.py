"""A record holds both readings of batch norm, each the value of a search of its own."""

import torch
from torch import nn

import gentool
from gentool.cli.main import run
from gentool.records import measure_file

FAST = ["--quiet", "--force", "--batching", "vmap", "--restarts", "2", "--steps", "2"]


def with_batch_norm(path):
    """Write a small trained MLP with batch norm."""
    recipe = {"model": "mlp", "hidden": 8, "batch_norm": True, "data": "digits", "subset": 60}
    gentool.train(recipe | {"epochs": 3}, path / "a.safetensors")
    return path / "a.safetensors"


def measures(checkpoint, *options):
    assert run(["sharpness", str(checkpoint), *FAST, *options]) == 0
    return measure_file.read(checkpoint.with_suffix(".sharpness.json"))["measures"]


def test_both_readings_are_those_of_two_searches(tmp_path):
    checkpoint = with_batch_norm(tmp_path)
    folded = measures(checkpoint, "--both-readings")
    raw = measures(checkpoint, "--no-fold-batch-norm", "--both-readings")
    assert folded["sharpness"] == raw["sharpness_folded"]
    assert raw["sharpness"] == folded["sharpness_raw"]
    assert folded["sharpness"] != raw["sharpness"]
    assert "sharpness_raw" not in measures(checkpoint)


def test_a_network_without_batch_norm_has_one_reading(saved):
    values = measures(saved, "--both-readings")
    assert not {"sharpness_raw", "sharpness_folded"} & set(values)
    assert torch.isfinite(torch.tensor(values["sharpness"]))
    assert not any(isinstance(m, nn.BatchNorm1d) for m in gentool.load(saved).module.modules())
