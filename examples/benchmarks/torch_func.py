"""Time a stack of MLPs beside the same networks trained by torch.func: images a second.

python examples/benchmarks/torch_func.py [--threads N]

Both take SGD steps with momentum on batches of 64, in turns in one process; the ratio is the median
over the turns. torch.func is vmap over the networks of the gradient of a functional call; momenta
and weights are updated as stacked tensors.
"""

import argparse
from collections.abc import Callable

import torch
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.functional import cross_entropy
from training import compare, make_run

from gentool.training.batches import in_batches
from gentool.training.loop import epoch_function
from gentool.training.run import Run

CPU = torch.device("cpu")
NETWORKS = ("MLP, 8 units, 1x28x28", "MLP, 64 units, 1x8x8", "MLP, 64 units, 1x28x28")
COUNTS = (1, 4, 16)


def functional_epoch(runs: list[Run]) -> Callable[[], dict[str, torch.Tensor]]:
    """Return an epoch of all networks by torch.func; it returns their weights, stacked."""
    recipe, model = runs[0].recipe, runs[0].state.model
    weights, _ = stack_module_state([run.state.model for run in runs])
    weights = {name: tensor.detach() for name, tensor in weights.items()}
    momenta = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    images = torch.stack([run.examples.batch(slice(None))[0] for run in runs])
    labels = torch.stack([run.examples.labels for run in runs])

    def loss(own: dict, batch: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return cross_entropy(functional_call(model, own, (batch,)), targets)

    gradients = vmap(grad(loss))
    networks = torch.arange(len(runs)).unsqueeze(1)

    def epoch() -> dict[str, torch.Tensor]:
        order = torch.stack([run.order() for run in runs])
        for indices in in_batches(order, recipe.batch_size):
            stacked = gradients(weights, images[networks, indices], labels[networks, indices])
            for name, gradient in stacked.items():
                momenta[name].mul_(recipe.momentum).add_(gradient)
                weights[name].sub_(momenta[name], alpha=recipe.lr)
        return weights

    return epoch


def main() -> None:
    """Print the table."""
    print("| networks | of | stacked, images/s | torch.func, images/s | ratio |")
    print("|---|---|---|---|---|")
    for name in NETWORKS:
        for count in COUNTS:
            runs, others = ([make_run(name, CPU, seed) for seed in range(count)] for _ in range(2))
            images = count * len(runs[0].examples)
            ours, theirs, ratio = compare(epoch_function(runs), functional_epoch(others), CPU)
            speeds = f"{images / ours:,.0f} | {images / theirs:,.0f}"
            print(f"| {count} | {name} | {speeds} | {ratio:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    main()
