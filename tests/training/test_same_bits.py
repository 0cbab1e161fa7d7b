"""What a network is trained to depends on its recipe: not on a stack, on threads or on pauses.

Networks trained alone and in stacks are compared to the bit: parameters, momenta, outcomes.
"""

import contextlib
import random
from dataclasses import replace

import pytest
import torch
from helpers.small_sets import CPU, examples

from gentool.data.examples import TrainingSet
from gentool.networks.models import with_defaults
from gentool.numerics.device import cpu_threads
from gentool.records.recipe import Recipe
from gentool.training import stacking
from gentool.training.loop import epoch_function, own_threads, train_runs
from gentool.training.run import CheckpointPolicy, Run
from gentool.training.stacked_mlps import step_kind
from gentool.training.stacked_sgd import StackedSGD


class Stopped(Exception):
    """Raised in the middle of a training."""


def random_recipe(choose):
    shape = (choose([1, 3]), *[choose([2, 3, 5, 8])] * 2)
    options = {"hidden": choose([1, 2, 9, 16, 31, 32, 33, 64]), "depth": choose([0, 1, 1, 1, 2, 3])}
    return Recipe(
        model="mlp",
        input_shape=shape,
        classes=3,
        lr=choose([0.01, 0.1, 0.3]),
        batch_size=choose([1, 7, 16, 20, 33, 64]),
        momentum=choose([0.0, 0.9]),
        weight_decay=choose([0.0, 0.01]),
        schedule=choose(["constant", "on-stall"]),
        stop_loss=choose([0.01, 0.5, 1.0]),
        patience=choose([None, 2]),
        epochs=choose([2, 3, 5]),
        **with_defaults("mlp", options),
    )


def make_run(recipe, seed, images, **policy):
    sets = TrainingSet(
        *(examples(n, recipe.input_shape, seed=at) for n, at in ((images, seed), (0, 0), (33, 999)))
    )
    run = Run(replace(recipe, seed=seed), sets, CPU, CheckpointPolicy(**policy))
    with own_threads(run):
        run.start()
    return run


def content(run):
    """All bytes of parameters and momenta, and the outcome."""
    optimizer = run.state.optimizer.state_dict()["state"].values()
    tensors = [*run.state.model.state_dict().values()]
    tensors += [t for state in optimizer for t in state.values() if t is not None]
    with own_threads(run):
        return [tensor.numpy().tobytes() for tensor in tensors], run.outcome()


@pytest.fixture
def _threaded(monkeypatch):
    """Let stacks take more threads, however small they are; save states after each epoch."""
    monkeypatch.setattr(stacking, "THREADED_STEP", 0)
    monkeypatch.setattr("gentool.training.run.SECONDS_BETWEEN_STATES", 0)


@pytest.mark.parametrize("trial", range(12))
@pytest.mark.usefixtures("_threaded")
def test_a_stack_stopped_and_resumed_in_parts_gives_the_bits_of_networks_alone(trial, tmp_path):
    """Stacks of 2 to 64 of random shapes; some networks end before others; one to three threads."""
    draw = random.Random(trial)
    recipe, count = random_recipe(draw.choice), draw.choice([2, 3, 5, 16, 64])
    images = draw.choice([1, 20, 60, 63])
    some = draw.sample(range(count), 2)
    alone = {seed: make_run(recipe, seed, images) for seed in some}
    for run in alone.values():
        with cpu_threads(draw.randint(1, 3)):
            train_runs([run])
    last, at = draw.randrange(count), draw.randint(1, recipe.epochs)

    def stop(report):
        if report.epoch == at:
            raise Stopped

    def in_folder(seed, **policy):
        return make_run(recipe, seed, images, state_path=tmp_path / f"{seed}.state", **policy)

    with cpu_threads(draw.randint(1, 3)), contextlib.suppress(Stopped):
        train_runs(
            [
                in_folder(seed, **({"on_epoch": stop} if seed == last else {}))
                for seed in range(count)
            ]
        )
    seeds = draw.sample(range(count), count)
    cut = draw.randint(1, count)
    stacked = {}
    for part in filter(None, (seeds[:cut], seeds[cut:])):
        runs = [in_folder(seed, resume=True) for seed in part]
        with cpu_threads(draw.randint(1, 3)):
            train_runs(runs)
        stacked |= dict(zip(part, runs, strict=True))
    for seed in some:
        assert content(stacked[seed]) == content(alone[seed]), (recipe, count, images)


@pytest.mark.parametrize("trial", range(3))
@pytest.mark.parametrize("options", [{"optimizer": "adam", "momentum": None}, {"dropout": 0.5}])
def test_small_networks_that_are_not_stacked_ignore_the_number_of_threads(trial, options):
    """They are trained and evaluated in one thread."""
    recipe = replace(random_recipe(random.Random(trial).choice), **options)
    contents = []
    for threads in (1, 2):
        with cpu_threads(threads):
            run = make_run(recipe, 0, 60)
            train_runs([run])
            contents.append(content(run))
    assert contents[0] == contents[1]


def test_networks_are_not_stacked_where_a_batch_of_products_is_rounded_otherwise(monkeypatch):
    """A library whose products depend on the number of them: networks take turns, same bits."""
    recipe = replace(random_recipe(random.Random(0).choice), hidden=16, depth=1, batch_size=16)
    step = StackedSGD.step

    def other(self, targets, rate):
        logits = step(self, targets, rate)
        if len(self.weights) > 1:
            self.weights[-1, 0] *= 1 + 2**-22
        return logits

    monkeypatch.setattr(StackedSGD, "step", other)
    stacking.same_as_alone.cache_clear()
    runs, alone = ([make_run(recipe, seed, 48) for seed in range(3)] for _ in range(2))
    with cpu_threads(1):
        assert stacking.threads_of_stack(step_kind(runs[0]), 3, (16,), 1) is None
        assert stacking.threads_of_stack(step_kind(runs[0]), 1, (16,), 1) == 1
    train_runs(runs)
    stacking.same_as_alone.cache_clear()
    for run, other_run in zip(runs, alone, strict=True):
        train_runs([other_run])
        assert content(run) == content(other_run)


def test_a_stack_takes_no_threads_from_the_rest():
    """The number of threads that torch uses is the same before and after an epoch."""
    with cpu_threads(2):
        runs = [make_run(random_recipe(random.Random(1).choice), seed, 20) for seed in (0, 1)]
        epoch_function(runs, 2)()
        assert torch.get_num_threads() == 2
