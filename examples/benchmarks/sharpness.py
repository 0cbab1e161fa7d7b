"""Benchmark the sharpness search: quality at equal cost, and speed. Prints Markdown tables.

python examples/benchmarks/sharpness.py quality CKPT... [--seeds N] [--alpha X...] [--cost X]
    [--others NAME...] [--data-dir DIR] [--threads N]
python examples/benchmarks/sharpness.py quality-of-records JSON...
python examples/benchmarks/sharpness.py doubling CKPT... [--data-dir DIR] [--threads N]
python examples/benchmarks/sharpness.py speed CKPT... [--data-dir DIR] [--threads N]
python examples/benchmarks/sharpness.py batching [--threads N]

`quality` runs every search at the cost of the default one, or at `--cost` times as much; apgd:20
among `--others` stands for runs of 20 steps, apgd for 50. `quality-of-records` makes its rows from
records of `gentool sharpness --compare`. `doubling` gives the default search twice the starts.
`speed` times the default search at the default alpha. `batching` times the ways of evaluating
candidates: one by one or together. The checkpoints are those of `gentool train`. The results are in
sharpness.md, beside this file. Kinds of networks on which the search is to be judged, besides MLPs
of two layers and VGGs with batch norm, each with `--seeds 3`:

gentool train --model vgg --batch-norm none --width 0.125 --subset 300 --batch-size 32 --lr 0.02
gentool train --model mlp --depth 3 --hidden 64 --data digits --labels random --subset 400
gentool train --model mlp --depth 5 --hidden 32 --data digits --subset 300
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch
from rates import forward_operations, product_rate
from torch import nn

from gentool.checkpoints import checkpoint
from gentool.common.json import Json
from gentool.common.paths import default_data_dir
from gentool.data.examples import Examples
from gentool.data.sources import DataSets
from gentool.numerics.device import describe, fast_products
from gentool.sharpness.autotune import choose_batching
from gentool.sharpness.forward import QUICK_BATCHINGS
from gentool.sharpness.functional import functional_network
from gentool.sharpness.inputs import load_inputs
from gentool.sharpness.objective import Objective
from gentool.sharpness.search import baselines
from gentool.sharpness.search.baselines import METHODS
from gentool.sharpness.search.multi_start import MOST_STEPS
from gentool.sharpness.search.starts import default_restarts
from gentool.sharpness.worst_case import SearchOptions, WorstCaseSearch

ALPHAS = (0.0005, 0.005, 0.01, 0.02)


def search_of(path: Path, options: argparse.Namespace, **settings: int) -> WorstCaseSearch:
    """Return a search on one checkpoint."""
    inputs = load_inputs(
        checkpoint.read(path),
        fold_batch_norm=True,
        data=options.data,
        device=torch.device(options.device),
        data_sets=DataSets(options.data_dir),
    )
    return WorstCaseSearch(inputs.network, inputs.sets.all, SearchOptions(**settings))


def quality(options: argparse.Namespace) -> None:
    """Print the rise of the default for each case, and how far below it the others end."""
    others = options.others or [name for name in METHODS.names if name != "default"]
    print("| network, seed | alpha | passes | default |", " | ".join(others), "|")
    print("|---|---|---|---|", "|".join(["---"] * len(others)), "|", sep="")
    for path in options.checkpoints:
        for seed in range(options.seeds):
            search = search_of(path, options, seed=seed)
            for alpha in options.alpha:
                ours = search.find(alpha)
                units = options.cost * ours.units
                rises = [rise_of(search, name, alpha, units) for name in others]
                print_row(f"{path.stem}, {seed}", alpha, ours.units, ours.rise, rises)


def rise_of(search: WorstCaseSearch, name: str, alpha: float, units: float) -> float:
    """Return the rise that a search finds, for example apgd, or apgd:20 for runs of 20 steps."""
    method, _, steps = name.partition(":")
    usual = baselines.RUN_STEPS, baselines.FEWEST_STEPS
    if steps:
        baselines.RUN_STEPS = baselines.FEWEST_STEPS = int(steps)
    try:
        settings = replace(search.options, method=method, units=units)
        return search.with_options(settings).find(alpha).rise
    finally:
        baselines.RUN_STEPS, baselines.FEWEST_STEPS = usual


def print_row(name: str, alpha: float, units: float, ours: float, others: list[float]) -> None:
    """Print one row of the quality table; the other searches as a difference in per cent."""
    cells = [f"{100 * (rise / ours - 1):+.3f} %" for rise in others]
    print(f"| {name} | {alpha:g} | {units:.0f} | {ours:.6g} |", " | ".join(cells), "|", flush=True)


def quality_of_records(options: argparse.Namespace) -> None:
    """Print the rows of `quality` from records that `gentool sharpness --compare` wrote."""
    for path in options.checkpoints:
        record: Json = json.loads(path.read_text("utf-8"))
        for point in record["sharpness"]["points"]:
            rises = [other["rise"] for other in point["compared"]]
            print_row(path.stem, point["alpha"], point["units"], point["rise"], rises)


def doubling(options: argparse.Namespace) -> None:
    """Print how much twice the starts, and as many steps at most for each, change the rise."""
    print("| network | alpha | default | doubled | change |\n|---|---|---|---|---|")
    for path in options.checkpoints:
        default = search_of(path, options)
        restarts = 2 * default_restarts(default.prepared.objective(torch.float32)[0])
        doubled = search_of(path, options, restarts=restarts, steps=MOST_STEPS)
        for alpha in ALPHAS:
            before, after = default.find(alpha).rise, doubled.find(alpha).rise
            change = 100 * (after / before - 1)
            row = f"| {path.stem} | {alpha:g} | {before:.6g} | {after:.6g} | {change:+.3f} % |"
            print(row, flush=True)


def speed(options: argparse.Namespace) -> None:
    """Print seconds of the default search at the default alpha, choosing the batching included.

    The last column is the search's operations a second, a gradient counted as three forward passes,
    over those of a large matrix product in float32 (TF32 on CUDA, as in the search).
    """
    device = torch.device(options.device)
    with fast_products():
        rate = product_rate(device)
    print(f"{describe(device)}, torch {torch.__version__}, {rate / 1e12:.3g} TFLOP/s\n")
    print(
        "| network | images | parameters | batching | passes | images/s | seconds | CPU seconds "
        "| TFLOP/s | of the rate of large products |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for path in options.checkpoints:
        began, began_cpu = time.perf_counter(), time.process_time()
        search = search_of(path, options)
        result = search.find(5e-4)
        seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        images = result.spent.forward + result.spent.gradient
        passes = result.spent.units(1)
        operations = passes * forward_operations(search.network.module, search.network.input_shape)
        rate_used = operations / result.spent.seconds
        print(
            f"| {path.stem} | {len(search.prepared.examples)} | {len(search.network.weights)} "
            f"| {result.batching.chosen} | {result.units:.0f} "
            f"| {images / result.spent.seconds:,.0f} | {seconds:.1f} | {cpu:.1f} "
            f"| {rate_used / 1e12:.3g} | {rate_used / rate:.0%} |",
            flush=True,
        )


SMALL = [(inputs, hidden) for inputs in (64, 784) for hidden in (8, 16, 32, 64)]
LARGE = [(64, 512), (784, 64), (784, 256), (784, 512), (3072, 64), (3072, 512)]


def batching(options: argparse.Namespace) -> None:
    """Print the time of a gradient for each way of evaluating candidates: the fastest of several.

    16 candidates on 128 images for small networks; 1 or 8 on 1,024 or 4,096 for larger ones.
    """
    ways = " | ".join(f"{way}, ms" for way in QUICK_BATCHINGS)
    print(f"| network | candidates | images | {ways} | loop / stacked |")
    print("|---|---|---|---|---|---|---|")
    cases = [(*sizes, 16, 128) for sizes in SMALL]
    cases += [(*sizes, *counts) for sizes in LARGE for counts in ((8, 1024), (8, 4096), (1, 4096))]
    for inputs, hidden, candidates, n in cases:
        objective = random_objective(inputs, hidden, n)
        rounds = [choose_batching(objective, candidates, n) for _ in range(options.rounds)]
        loop, vmap, stacked = (
            1000 * min(getattr(times, f"{way}_seconds") for times in rounds)
            for way in QUICK_BATCHINGS
        )
        print(
            f"| {inputs}-{hidden}-10 | {candidates} | {n} | {loop:.2f} | {vmap:.2f} "
            f"| {stacked:.2f} | {loop / stacked:.2f}x |",
            flush=True,
        )


def random_objective(inputs: int, hidden: int, n: int) -> Objective:
    """Return the loss of an MLP over random images."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    images = torch.randn(n, 1, 1, inputs)
    data = Examples(images, torch.arange(n) % 10, torch.zeros(1), torch.ones(1))
    network = functional_network(model, (1, 1, inputs)).to(torch.device("cpu"), torch.float32)
    return Objective(network, data)


COMMANDS = {
    "quality": quality,
    "quality-of-records": quality_of_records,
    "doubling": doubling,
    "speed": speed,
    "batching": batching,
}


def main() -> None:
    """Run one benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", choices=COMMANDS)
    parser.add_argument("checkpoints", nargs="*", type=Path)
    parser.add_argument("--data", help="data set, as for gentool; default: the checkpoint's own")
    parser.add_argument("--data-dir", type=Path, default=default_data_dir())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seeds", type=int, default=1, help="of the search, for quality")
    parser.add_argument("--alpha", type=float, nargs="+", default=ALPHAS, help="for quality")
    parser.add_argument("--cost", type=float, default=1, help="of the others, for quality")
    parser.add_argument("--others", nargs="+", help="names of searches, for quality")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_intermixed_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    COMMANDS[options.benchmark](options)


if __name__ == "__main__":
    main()
