"""Trains a thin VGG in double precision, alone or under torchrun, and saves its weights: FILE.

In single precision two batch norms of few channels amplify rounding a thousandfold in an epoch;
here whatever is not rounding shows.
"""

import sys

import torch

from gentool.data.examples import Examples, TrainingSet
from gentool.training import distributed
from gentool.training.evaluation import evaluate
from gentool.training.loop import train_runs
from gentool.training.run import CheckpointPolicy, Run
from helpers.small_sets import CPU, in_float64, recipe


def examples(n: int) -> Examples:
    """Random images and labels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(n, 3, 32, 32, generator=generator)
    labels = torch.randint(3, (n,), generator=generator)
    return Examples(images, labels, torch.zeros(3, 1, 1), torch.ones(3, 1, 1))


def main(path: str) -> None:
    """Train for three epochs of batches of 15, and save weights and the error."""
    ours, _ = distributed.join_process_group("cpu")
    sets = TrainingSet(examples(60), examples(0), examples(10))
    asked = recipe("vgg", (3, 32, 32), width=0.05, batch_size=15, epochs=3)
    run = Run(asked, sets, CPU, CheckpointPolicy(), ours)
    train_runs([run])
    loss, _ = evaluate(run.state.model, run.examples, ours)
    if ours.is_main:
        weights = dict(run.state.model.named_parameters())
        torch.save({"loss": torch.tensor(loss), **weights}, path)
    distributed.leave_process_group()


if __name__ == "__main__":
    with in_float64():
        main(sys.argv[1])
