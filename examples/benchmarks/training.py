"""Time gentool's training step beside a plain PyTorch loop with a DataLoader: images a second.

python examples/benchmarks/training.py [DEVICE] [--threads N] [--precision float32|bfloat16]
    [--compile] [--only TEXT]

Both train the same network on the same batches and device, in turns in one process, so that other
work on the machine slows both; the ratio is the median over the turns. The last column is gentool's
operations a second, a step counted as three forward passes, over those of a large matrix product in
the same precision. A second table compares ten MLPs trained as one stack with the same ten trained
one by one, with autograd or with gentool's own step. CUDA adds a VGG of full width; float32
products are TF32 there, as in gentool's steps. --compile compiles the step of the VGGs. --only
measures the networks alone whose names contain TEXT, such as "half width".
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import torch
from rates import finish, forward_operations, product_rate
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from gentool.data.examples import Examples, TrainingSet
from gentool.networks.models import initialised, with_defaults
from gentool.numerics.device import describe, fast_products
from gentool.records.recipe import Recipe
from gentool.training.epoch import train_epoch
from gentool.training.loop import epoch_function
from gentool.training.run import CheckpointPolicy, Run

TURNS = 7
HALF_WIDTH = {"width": 0.5, "batch_norm": "hidden"}  # as in the runs of examples/results
Network = tuple[str, dict[str, object], tuple[int, int, int], int, int]
"""Model, model options, input shape, number of images, batch size."""

NETWORKS: dict[str, Network] = {
    "VGG, quarter width, 3x32x32": ("vgg", {"width": 0.25}, (3, 32, 32), 1024, 256),
    "the same": ("vgg", {"width": 0.25}, (3, 32, 32), 1024, 64),
    "VGG, half width, dropout 0.5": ("vgg", HALF_WIDTH | {"dropout": 0.5}, (3, 32, 32), 512, 64),
    "VGG, half width, no dropout": ("vgg", HALF_WIDTH | {"dropout": 0.0}, (3, 32, 32), 512, 64),
    "MLP, 8 units, 1x28x28": ("mlp", {"hidden": 8}, (1, 28, 28), 6400, 64),
    "MLP, 32 units, 1x28x28": ("mlp", {"hidden": 32}, (1, 28, 28), 6400, 64),
    "MLP, 64 units, 1x8x8": ("mlp", {"hidden": 64}, (1, 8, 8), 6400, 64),
    "MLP, 64 units, 1x28x28": ("mlp", {"hidden": 64}, (1, 28, 28), 6400, 64),
    "MLP, 512 units, 1x28x28": ("mlp", {"hidden": 512}, (1, 28, 28), 6400, 64),
}

ON_CUDA = {
    "VGG, 3x32x32": ("vgg", {}, (3, 32, 32), 12800, 256),
    "the same, larger batches": ("vgg", {}, (3, 32, 32), 12800, 1024),
} | NETWORKS


def make_run(
    name: str,
    device: torch.device,
    seed: int = 0,
    precision: str = "float32",
    is_compiled: bool = False,
) -> Run:
    """Return one of the networks above to train on random images and labels."""
    return run_of(ON_CUDA[name], device, seed, precision, is_compiled)


def run_of(
    network: Network,
    device: torch.device,
    seed: int = 0,
    precision: str = "float32",
    is_compiled: bool = False,
) -> Run:
    """Return a network to train on random images and labels."""
    model, shape, input_shape, n, batch_size = network
    is_mlp = model == "mlp"
    recipe = Recipe(
        model=model,
        input_shape=input_shape,
        classes=10,
        seed=seed,
        batch_size=batch_size,
        precision="float32" if is_mlp else precision,
        **with_defaults(model, shape),
    )
    images = torch.randint(256, (n, *input_shape), dtype=torch.uint8, device=device)
    labels = torch.randint(10, (n,), device=device)
    middle = torch.full((input_shape[0], 1, 1), 128.0, dtype=torch.float64, device=device)
    examples = Examples(images, labels, middle, middle / 2)
    nothing = Examples(images[:0], labels[:0], middle, middle / 2)
    sets = TrainingSet(examples, nothing, nothing)
    return Run(recipe, sets, device, CheckpointPolicy(), is_compiled=is_compiled and not is_mlp)


def plain_epoch(run: Run, device: torch.device) -> Callable[[], None]:
    """Return an epoch of the loop that most people write."""
    model = initialised(run.recipe).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images, labels = run.examples.batch(slice(None))
    data = TensorDataset(images.contiguous().cpu(), labels.cpu())
    loader = DataLoader(data, batch_size=run.recipe.batch_size, shuffle=True)

    def epoch() -> None:
        total, wrong = 0.0, 0
        model.train()
        for batch, targets in loader:
            batch, targets = batch.to(device), targets.to(device)
            optimizer.zero_grad()
            logits = model(batch)
            loss = cross_entropy(logits, targets)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(targets)
            wrong += (logits.argmax(1) != targets).sum().item()

    return epoch


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return how long some work takes, what it started on a GPU included."""
    began = time.perf_counter()
    work()
    finish(device)
    return time.perf_counter() - began


def compare(
    ours: Callable[[], object], theirs: Callable[[], object], device: torch.device
) -> tuple[float, float, float]:
    """Return the median seconds of both, taken in turns, and the median ratio."""
    ours(), theirs()  # warm up
    turns = [(seconds(ours, device), seconds(theirs, device)) for _ in range(TURNS)]
    mine, other = map(statistics.median, zip(*turns, strict=True))
    return mine, other, statistics.median(b / a for a, b in turns)


def with_autograd(runs: list[Run]) -> Callable[[], object]:
    """Return an epoch of networks one by one, with autograd."""
    return lambda: [train_epoch(run) for run in runs]


def with_stacks_of_one(runs: list[Run]) -> Callable[[], object]:
    """Return an epoch of networks one by one, with gentool's own step."""
    epochs = [epoch_function([run]) for run in runs]
    return lambda: [epoch() for epoch in epochs]


def main(device: torch.device, precision: str, is_compiled: bool, only: str = "") -> None:
    """Print both tables, of the networks whose names contain `only`."""
    rates = print_machine(device, precision)
    print(
        "| network | batches of | gentool, images/s | DataLoader loop, images/s | ratio "
        "| TFLOP/s | of the rate of large products |"
    )
    print("|---|---|---|---|---|---|---|")
    networks = ON_CUDA if device.type == "cuda" else NETWORKS
    for name in [name for name in networks if only in name]:
        run = make_run(name, device, precision=precision, is_compiled=is_compiled)
        n = len(run.examples)
        mine, other, ratio = compare(epoch_function([run]), plain_epoch(run, device), device)
        operations = operations_of_an_epoch(run) / mine
        share = operations / rates[run.recipe.precision]
        print(
            f"| {name} | {run.recipe.batch_size} | {n / mine:,.0f} | {n / other:,.0f} "
            f"| {ratio:.2f} | {operations / 1e12:.3g} | {share:.0%} |",
            flush=True,
        )
    print("\n| ten networks | stacked, images/s | one by one, images/s | ratio |")
    print("|---|---|---|---|")
    for name in [name for name in networks if "64 units" in name and only in name]:
        ten = [make_run(name, device, seed) for seed in range(10)]
        n = 10 * len(ten[0].examples)
        for way, alone in (("autograd", with_autograd), ("gentool", with_stacks_of_one)):
            one_by_one = alone([make_run(name, device, seed) for seed in range(10)])
            mine, other, ratio = compare(epoch_function(ten), one_by_one, device)
            print(
                f"| {name}, one by one with {way} | {n / mine:,.0f} | {n / other:,.0f} "
                f"| {ratio:.2f} |",
                flush=True,
            )


def operations_of_an_epoch(run: Run) -> int:
    """Count the operations of an epoch, a step as three forward passes."""
    return 3 * forward_operations(run.state.model, run.recipe.input_shape) * len(run.examples)


def print_machine(device: torch.device, precision: str) -> dict[str, float]:
    """Print the machine, and return its rates of large products in float32 and a precision."""
    with fast_products():
        rates = {
            dtype: product_rate(device, getattr(torch, dtype)) for dtype in ("float32", precision)
        }
    print(
        f"{describe(device)}, {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, Python {platform.python_version()}, "
        f"torch {torch.__version__}, large matrix products "
        + ", ".join(f"{rate / 1e12:.3g} TFLOP/s in {dtype}" for dtype, rate in rates.items())
        + "\n"
    )
    return rates


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("device", nargs="?", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--only", default="", metavar="TEXT")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    main(torch.device(options.device), options.precision, options.compile, options.only)
