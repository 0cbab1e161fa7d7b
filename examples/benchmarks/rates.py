"""Measure the rate of large matrix products here, and count the operations of a network."""

import time

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SECONDS = 1.0  # how long a rate is measured


def product_rate(device: torch.device, dtype: torch.dtype = torch.float32) -> float:
    """Return the operations a second of a large matrix product: the highest rate of many."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best, until = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        finish(device)
        began = time.perf_counter()
        a @ b
        finish(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def forward_operations(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Count the multiplications and additions of one forward pass of one image."""
    image = torch.zeros(1, *input_shape)
    image = image.to(next(model.parameters()))
    is_training = model.training
    model.eval()  # batch norm cannot train on a single image
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    model.train(is_training)
    return counter.get_total_flops()


def finish(device: torch.device) -> None:
    """Wait for all work started on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
