"""Time several VGGs of the paper's recipe that share one machine: a grid on a CPU, or one GPU.

python examples/benchmarks/together.py cpu [--threads N] [--images N] [--width W]
python examples/benchmarks/together.py cuda [--images N] [--width W] [--only TEXT]

Batches of 64, batch norm on the hidden layer, random images. On a CPU it trains a grid of two
networks for one epoch with `gentool train`, in `--jobs 2` and in turn, and compares the times of
the whole commands, in turns. On a GPU, in bfloat16, it measures images a second of one network, of
four in four processes, and of four in one process with a thread and a stream each, with and without
dropout; and the share of the card's rate of large products in batches of 1,024. What is compiled
comes last. `--only` times the ways whose names contain a text.
"""

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy
import torch
from rates import finish
from training import Network, operations_of_an_epoch, print_machine, run_of

from gentool.numerics.cuda_graphs import CudaGraphed
from gentool.numerics.device import fast_products
from gentool.training.epoch import step_function, train_epoch

TOGETHER = 4
WARM_UP, TIMED = 2, 3  # epochs
TURNS = 3


def network(options: argparse.Namespace, batch_size: int, dropout: float) -> Network:
    """Return a VGG of the paper's recipe."""
    shape = {"width": options.width, "batch_norm": "hidden", "dropout": dropout}
    return "vgg", shape, (3, 32, 32), options.images, batch_size


def warm_epoch(
    vgg: Network,
    device: torch.device,
    seed: int = 0,
    is_compiled: bool = False,
    is_graph: bool = True,
) -> Callable[[], object]:
    """Return an epoch of a network that has been trained for some, its graphs recorded."""
    run = run_of(vgg, device, seed, "bfloat16", is_compiled)
    step = step_function(run)
    if not is_graph and isinstance(step, CudaGraphed):
        step = step.function
    epoch = partial(train_epoch, run, step)
    for _ in range(WARM_UP):
        epoch()
    return epoch


def alone(
    vgg: Network, device: torch.device, is_compiled: bool = False, is_graph: bool = True
) -> float:
    """Return the seconds of an epoch of one network."""
    epoch = warm_epoch(vgg, device, is_compiled=is_compiled, is_graph=is_graph)
    return statistics.median(seconds([epoch], device) for _ in range(TIMED))


def in_threads(vgg: Network, device: torch.device) -> float:
    """Return the seconds of an epoch of each network, all in this process, a stream for each."""
    epochs = []
    for seed in range(TOGETHER):
        stream = torch.cuda.Stream() if device.type == "cuda" else None
        with torch.cuda.stream(stream):
            epochs.append(partial(_on_stream, stream, warm_epoch(vgg, device, seed)))
        finish(device)
    with fast_products():  # each epoch sets and restores it, which threads would do out of order
        return statistics.median(seconds(epochs, device) for _ in range(TIMED))


def _on_stream(stream: torch.cuda.Stream | None, epoch: Callable[[], object]) -> None:
    with torch.cuda.stream(stream):
        epoch()


def seconds(epochs: list[Callable[[], object]], device: torch.device) -> float:
    """Return how long epochs take side by side, each in a thread."""
    threads = [threading.Thread(target=epoch) for epoch in epochs]
    finish(device)
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finish(device)
    return time.perf_counter() - began


def in_processes(vgg: Network, device: torch.device) -> float:
    """Return the seconds of an epoch of each network, each in a process, as `--jobs` has them."""
    context = multiprocessing.get_context("spawn")
    ready, times = context.Barrier(TOGETHER), context.Queue()
    processes = [
        context.Process(
            target=_in_process, args=(vgg, str(device), seed, ready, times), daemon=True
        )
        for seed in range(TOGETHER)
    ]
    for process in processes:
        process.start()
    spans = [times.get(timeout=120) for _ in processes]
    return (max(end for _, end in spans) - min(start for start, _ in spans)) / TIMED


def _in_process(
    vgg: Network, name: str, seed: int, ready: threading.Barrier, times: object
) -> None:
    device = torch.device(name)
    epoch = warm_epoch(vgg, device, seed)
    ready.wait()
    began = time.monotonic()  # one clock for all processes
    for _ in range(TIMED):
        epoch()
    finish(device)
    times.put((began, time.monotonic()))


def on_gpu(device: torch.device, options: argparse.Namespace) -> None:
    """Print the table of one network, of four together, and of large batches."""
    rate = print_machine(device, "bfloat16")["bfloat16"]
    print(
        "| networks | batches of | dropout | images/s | TFLOP/s | of the rate of large products |"
    )
    print("|---|---|---|---|---|---|")
    of_one = operations_of_an_epoch(run_of(network(options, 64, 0.0), torch.device("cpu")))
    ways = {
        "one": (1, alone),
        "one, kernels launched": (1, partial(alone, is_graph=False)),
        f"{TOGETHER} in processes": (TOGETHER, in_processes),
        f"{TOGETHER} in one process": (TOGETHER, in_threads),
        "one, compiled": (1, partial(alone, is_compiled=True)),
    }
    *eager, compiled = ways
    rows = [(way, 64, dropout) for dropout in (0.5, 0.0) for way in eager]
    rows += [("one", 1024, 0.5), ("one", 1024, 0.0), (compiled, 64, 0.5), (compiled, 1024, 0.5)]
    for way, batch_size, dropout in rows:
        if options.only not in way:
            continue
        count, measure = ways[way]
        taken = measure(network(options, batch_size, dropout), device)
        operations = count * of_one / taken
        print(
            f"| {way} | {batch_size:,} | {dropout} | {count * options.images / taken:,.0f} "
            f"| {operations / 1e12:.3g} | {operations / rate:.1%} |",
            flush=True,
        )


def on_cpu(options: argparse.Namespace) -> None:
    """Print the times of a grid of two networks in turn and in two processes."""
    print_machine(torch.device("cpu"), "float32")
    print("| two networks, one epoch each | in turn, s | --jobs 2, s | ratio |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "random.npz"
        draw = numpy.random.default_rng(0)
        sizes = {"train": options.images, "test": 100}
        images = {n: draw.integers(256, size=(k, 32, 32, 3), dtype="u1") for n, k in sizes.items()}
        labels = {n: numpy.arange(k) % min(10, options.images) for n, k in sizes.items()}
        arrays = {f"x_{n}": images[n] for n in sizes} | {f"y_{n}": labels[n] for n in sizes}
        numpy.savez(data, **arrays)
        for dropout in (0.5, 0.0):
            times = [
                [grid_seconds(data, jobs, dropout, options.width) for jobs in (1, 2)]
                for _ in range(TURNS)
            ]
            in_turn, together = map(statistics.median, zip(*times, strict=True))
            ratio = statistics.median(first / second for first, second in times)
            print(
                f"| width {options.width}, {options.images:,} images, dropout {dropout} "
                f"| {in_turn:.1f} | {together:.1f} | {ratio:.2f} |",
                flush=True,
            )


def grid_seconds(data: Path, jobs: int, dropout: float, width: float) -> float:
    """Return how long `gentool train` takes for a grid of two networks, its start included."""
    options = f"--model vgg --width {width} --batch-norm hidden --dropout {dropout} --recipe paper"
    options += f" --seed 0,1 --epochs 1 --jobs {jobs} --quiet --force"
    command = [sys.executable, "-m", "gentool", "train", "--data", f"npz:{data}", *options.split()]
    began = time.perf_counter()
    subprocess.run(
        [*command, "-o", str(data.parent / "grid")], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("device", nargs="?", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--images", type=int)
    parser.add_argument("--width", type=float)
    parser.add_argument("--only", default="", metavar="TEXT")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    is_gpu = options.device != "cpu"
    options.images = options.images or (16384 if is_gpu else 2048)
    options.width = options.width or (1.0 if is_gpu else 0.5)
    if is_gpu:
        on_gpu(torch.device(options.device), options)
    else:
        on_cpu(options)
