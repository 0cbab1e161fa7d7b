"""Stacked MLPs train as with autograd and as one by one.

Both ways sum in different orders, and are compared in float64.
"""

from dataclasses import replace

import pytest
import torch
from helpers.small_sets import CPU, ROUNDING, difference, examples, in_float64, recipe, same, sets

from gentool.training.epoch import train_epoch
from gentool.training.evaluation import evaluate
from gentool.training.loop import train, train_runs
from gentool.training.optimizers import OPTIMIZERS
from gentool.training.run import CheckpointPolicy, Run
from gentool.training.stacked_mlps import StackedMLPs, stack_key
from gentool.training.state import State

SEEDS = (0, 1, 2)


def run(state_path=None, **options):
    run_recipe = recipe(**options)
    data = replace(sets(), subset=examples(60, seed=run_recipe.seed))
    return Run(run_recipe, data, CPU, CheckpointPolicy(state_path=state_path))


def apart(one, other):
    """The largest difference of two networks, relative to the largest weight of each tensor."""
    return difference(one.state_dict(), other.state_dict())


def momenta(run):
    states = run.state.optimizer.state_dict()["state"]
    return {i: state["momentum_buffer"] for i, state in states.items()}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.0},
        {"weight_decay": 0.01},
        {"schedule": "on-stall", "warmup": 2.0},
        {"batch_size": 7},
        {"hidden": 40},
    ],
)
@pytest.mark.usefixtures("_float64")
def test_a_stacked_step_is_that_of_autograd_and_sgd(options):
    """Three epochs each way: the same losses, errors, weights and momenta, to rounding."""
    ours, autograds = run(**options), run(**options)
    stack = StackedMLPs([ours])
    with torch.random.fork_rng():
        for _ in range(3):
            [stacked], expected = stack.train_epoch(), train_epoch(autograds)
            assert stacked == pytest.approx(expected, rel=ROUNDING)
            for each, result in ((ours, stacked), (autograds, expected)):
                each.after_epoch(*result, seconds=1)
    assert apart(ours.state.model, autograds.state.model) < ROUNDING
    if ours.recipe.momentum:
        assert difference(momenta(ours), momenta(autograds)) < ROUNDING


def test_a_stack_in_float64_trains_in_float64_whatever_the_default_dtype():
    """Learning rates too: 0.1 rounded to float32 would be off by 1.5e-9."""
    with in_float64():
        ours, theirs = run(), run()
        stack, other = StackedMLPs([ours]), StackedMLPs([theirs])
        stack.train_epoch()
    other.train_epoch()
    assert same(ours.state.model, theirs.state.model)


@pytest.mark.usefixtures("_float64")
def test_a_deeper_mlp_has_the_same_step():
    """Three hidden layers: the gradient passes through each of them."""
    ours, autograds = (
        Run(replace(recipe(hidden=9), depth=3), sets(), CPU, CheckpointPolicy()) for _ in range(2)
    )
    with torch.random.fork_rng():
        StackedMLPs([ours]).train_epoch()
        train_epoch(autograds)
    assert apart(ours.state.model, autograds.state.model) < ROUNDING


def test_a_step_is_the_same_with_images_normalised_batch_by_batch(monkeypatch):
    """uint8 images too large to be held as floats: the same losses and weights, to the bit."""

    def train_one_epoch():
        stored = replace(examples(60), images=torch.arange(60 * 16, dtype=torch.int64) * 7 % 256)
        stored = replace(stored, images=stored.images.to(torch.uint8).reshape(60, 1, 4, 4))
        trained_run = Run(
            recipe(batch_size=7),
            replace(sets(), subset=stored, confusion=stored),
            CPU,
            CheckpointPolicy(),
        )
        with torch.random.fork_rng():
            return trained_run, StackedMLPs([trained_run]).train_epoch()

    at_once, expected = train_one_epoch()
    monkeypatch.setattr("gentool.data.examples.NORMALISE_AT_ONCE", 0)
    by_batch, losses = train_one_epoch()
    assert (at_once.examples.images.dtype, by_batch.examples.images.dtype) == (
        torch.float32,
        torch.uint8,
    )
    assert losses == expected
    assert apart(at_once.state.model, by_batch.state.model) == 0


@pytest.mark.usefixtures("_float64")
def test_a_stack_gives_the_networks_that_are_trained_one_by_one():
    """Each has its own seed, draw and order, and stops in the epoch in which it fits."""
    runs = [run(seed=seed, hidden=64) for seed in SEEDS]
    ended = []
    train_runs(runs, ended.append)
    assert {trained_run.recipe.seed for trained_run in ended} == set(SEEDS)
    for trained_run in runs:
        model, outcome = train(trained_run.recipe, trained_run.sets, CPU)
        assert trained_run.outcome().stop_rule_met
        assert trained_run.outcome().epochs == outcome.epochs
        assert apart(trained_run.state.model, model) < ROUNDING
    assert len({trained_run.state.epoch for trained_run in runs}) > 1


def test_a_finished_network_no_longer_changes_while_its_stack_goes_on():
    """Its outcome when it ends equals its outcome when all others have ended."""
    kept = {}
    runs = [run(seed=seed, hidden=64) for seed in SEEDS]
    train_runs(runs, lambda finished: kept.update({finished.recipe.seed: finished.outcome()}))
    for trained_run in runs:
        assert trained_run.outcome() == kept[trained_run.recipe.seed]
        assert evaluate(trained_run.state.model, trained_run.examples)[1] == 0
        assert all(parameter.is_contiguous() for parameter in trained_run.state.model.parameters())


def test_a_state_written_in_a_stack_resumes_a_single_network(tmp_path, monkeypatch):
    """Each network's state holds its own weights alone, not the buffers of the stack."""
    monkeypatch.setattr("gentool.training.run.SECONDS_BETWEEN_STATES", 0)
    paths = [tmp_path / f"{seed}.state" for seed in SEEDS]
    runs = [
        run(path, seed=seed, hidden=64, epochs=3) for seed, path in zip(SEEDS, paths, strict=True)
    ]
    train_runs(runs)
    for trained_run, path in zip(runs, paths, strict=True):
        again = State.initial(trained_run.recipe, CPU)
        again.load(path, trained_run.recipe, path.read_bytes(), steps=1)
        assert again.epoch == 3
        assert apart(again.model, trained_run.state.model) == 0
        assert path.stat().st_size < 40_000  # 1,283 weights and as many momenta, and zip's names


def test_only_plain_mlps_trained_by_sgd_are_stacked():
    """`stack_key` is None with dropout, batch norm, convolutions or another optimizer."""
    assert stack_key(recipe(), 60) == stack_key(recipe(seed=5), 60) != stack_key(recipe(), 61)
    assert stack_key(recipe(hidden=5), 60) != stack_key(recipe(), 60)
    others = [{"dropout": 0.5}, {"batch_norm": True}, {"optimizer": "adam"}]
    vgg = {"model": "vgg", "input_shape": (3, 32, 32)}
    assert {stack_key(recipe(**options), 60) for options in [*others, vgg]} == {None}
    assert "sgd" in OPTIMIZERS.names
