"""Time exact norms of a VGG-16: path norms, operator norms and all measures without data.

python examples/benchmarks/norms.py [SIZE] [DEVICE]      32 (the default) or 224 pixels; cpu, cuda
"""

import platform
import resource
import sys
import time
from collections.abc import Callable

import torch
import torchvision

from gentool.measures import MEASURES, Measured, evaluate_measures
from gentool.networks.canonical import Network, canonical
from gentool.numerics.device import describe


def vgg16(size: int) -> Network:
    """Return torchvision's VGG-16 with random weights; at 32 pixels with one linear layer."""
    torch.manual_seed(0)
    model = torchvision.models.vgg16(weights=None)
    if size < 224:
        model.avgpool, model.classifier = torch.nn.Identity(), torch.nn.Linear(512, 10)
    return canonical(model, (3, size, size))


def print_time(label: str, work: Callable[[], object]) -> None:
    """Print how long some work takes, what it started on a GPU included."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    print(f"{label:<50} {time.perf_counter() - began:8.2f} s", flush=True)


def main(size: int, device: torch.device) -> None:
    """Print how long the norms take, how tight the bounds are, and the peak memory."""
    network = vgg16(size).to(device)
    threads = torch.get_num_threads()
    print(
        f"VGG-16 at {size}x{size}, {describe(device)}, {threads} threads, torch {torch.__version__}"
    )
    net = Measured(network)
    without_data = [m for m in MEASURES if m.name.endswith("_unnormalized")]
    paths = [m for m in without_data if "_path" in m.name]
    evaluate_measures(Measured(network), paths[:1])  # warm up
    print_time("one path norm", lambda: evaluate_measures(Measured(network), paths[:1]))
    print_time(f"all {len(paths)} path norms", lambda: evaluate_measures(net, paths))
    convolutions = [layer for layer in network.weight_layers if len(layer.out_shape) == 3]
    print_time(
        "operator norms of 13 convolutions", lambda: [c.spectral_operator for c in convolutions]
    )
    loosest = max(c.spectral_operator.upper / c.spectral_operator.lower for c in convolutions)
    print_time("all other measures without data", lambda: evaluate_measures(net, without_data))
    print(f"upper bounds are at most {loosest:.4f} times the lower bounds")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.1f} GiB on {platform.machine()}")


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    main(size, torch.device(sys.argv[2] if len(sys.argv) > 2 else "cpu"))
