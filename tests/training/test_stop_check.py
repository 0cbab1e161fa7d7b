"""The stop check `steps`: a run ends within the epoch in which its loss falls below the stop loss.

The oracle evaluates the network after each step.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.played_graphs import play
from helpers.small_sets import CPU, examples, recipe
from helpers.state_mutations import parts as parts_of_state
from safetensors.torch import save

from gentool.checkpoints import checkpoint
from gentool.cli.main import run as command
from gentool.common.errors import GentoolError, UsageError
from gentool.common.json import dumps
from gentool.data.examples import TrainingSet
from gentool.records.recipe import Recipe
from gentool.training import parts
from gentool.training.epoch import step_function, train_epoch
from gentool.training.evaluation import evaluate
from gentool.training.loop import train, train_runs
from gentool.training.run import CheckpointPolicy, Run
from gentool.training.state_file import KEY, _digest
from gentool.training.watch import FIRST, SHARE, LossWatch

STOP = 0.05
KINDS = {
    "plain": {"momentum": 0.0},
    "momentum": {"hidden": 40, "batch_size": 3},
    "dropout": {"dropout": 0.2},
    "batch norm": {"batch_norm": True, "batch_size": 10},
    "adam": {"optimizer": "adam", "momentum": None},
    "vgg": {"model": "vgg", "input_shape": (3, 32, 32), "width": 0.02, "batch_size": 4},
}
RATES = {"plain": 0.02, "adam": 0.002, "batch norm": 0.02}


def a_recipe(kind="momentum", **options):
    """Return a recipe of small batches, whose loss falls far within an epoch."""
    common = {"batch_size": 2, "stop_loss": STOP, "stop_check": "steps", "epochs": 100}
    if kind != "vgg":
        common["hidden"] = 64
    return replace(recipe(**common | KINDS[kind] | options), lr=RATES.get(kind, 0.005))


def data_of(run_recipe, seed=0, images=60):
    shape = run_recipe.input_shape
    sizes = ((seed, images), (100, 0), (101, 20))
    return TrainingSet(*(examples(n, shape, seed=at) for at, n in sizes))


def after_each_step(run_recipe, data, steps):
    """Return loss, error and weights after each of the first steps of a run."""
    seen = []

    def check(self, running):
        loss, error = evaluate(self.state.model, self.examples)
        weights = {name: t.clone() for name, t in self.state.model.state_dict().items()}
        seen.append((loss, error, weights))
        self.state.stopped = len(seen) == steps

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PARTS", 10**6)
        patch.setattr(parts, "LEAST_STEPS", 1)
        patch.setattr(Run, "_check_within_epoch", check)
        patch.setattr(Run, "_record_at_stop", lambda self: None)
        train(run_recipe, data, CPU)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_ends_just_below_the_stop_loss_with_the_weights_of_that_step(kind):
    """Those of the oracle, to the bit: evaluations between the steps change nothing of training.

    The steps to 0.1 are counted to a step whose loss is below it.
    """
    run_recipe = a_recipe(kind)
    data = data_of(run_recipe)
    model, outcome = train(run_recipe, data, CPU)
    seen = after_each_step(run_recipe, data, outcome.steps)
    loss, error, weights = seen[-1]
    assert outcome.stop_rule_met
    assert (loss, error) == (pytest.approx(outcome.train_loss, rel=1e-5), outcome.train_error)
    assert all(torch.equal(weights[name], t) for name, t in model.state_dict().items())
    assert 0.4 * STOP < loss < STOP
    assert outcome.epochs == -(-outcome.steps // -(-60 // run_recipe.batch_size))
    assert 0.04 < seen[outcome.steps_to_loss_0_1 - 1][0] < 0.1
    assert outcome.steps_to_loss_0_01 is None


def test_the_steps_to_a_loss_are_those_of_the_first_check_below_it():
    """Both are passed on the way to a lower stop loss, which falls by a few percent an epoch."""
    run_recipe = a_recipe(stop_loss=0.008)
    data = data_of(run_recipe)
    _, outcome = train(run_recipe, data, CPU)
    losses = [loss for loss, _, _ in after_each_step(run_recipe, data, outcome.steps)]
    counts = {0.1: outcome.steps_to_loss_0_1, 0.01: outcome.steps_to_loss_0_01}
    for threshold, steps in counts.items():
        first = next(i for i, loss in enumerate(losses, 1) if loss < threshold)
        assert 0.7 * threshold < losses[steps - 1] < threshold
        assert first <= steps <= first + 80


def test_the_check_at_the_end_of_an_epoch_ends_far_below():
    """As before there were others; it records the steps to each loss at the ends of epochs."""
    run_recipe = replace(a_recipe(stop_check="epoch", hidden=512, batch_size=2), lr=0.01)
    _, late = train(run_recipe, data_of(run_recipe), CPU)
    _, soon = train(replace(run_recipe, stop_check="steps"), data_of(run_recipe), CPU)
    assert late.train_loss < soon.train_loss / 10 < STOP / 10
    assert late.steps % 30 == late.steps_to_loss_0_1 % 30 == 0 < soon.steps % 30
    assert soon.steps < late.steps


def test_networks_of_a_stack_end_at_different_steps_with_the_bits_that_they_get_alone():
    """Weights, momenta and outcomes; some end within the same epoch as others go on."""

    def runs():
        return [
            Run(a_recipe(seed=seed, momentum=0.9), data_of(a_recipe(), seed), CPU, policy)
            for seed in range(6)
        ]

    policy = CheckpointPolicy()
    stacked, alone = runs(), runs()
    train_runs(stacked)
    for one, other in zip(stacked, alone, strict=True):
        train_runs([other])
        for run in (one, other):
            assert run.state.stopped
        assert contents(one) == contents(other)
    assert len({run.state.steps for run in stacked}) > 3
    assert any(run.state.steps % 30 for run in stacked)


def contents(run):
    momenta = run.state.optimizer.state_dict()["state"].values()
    tensors = [*run.state.model.state_dict().values(), *(m["momentum_buffer"] for m in momenta)]
    return [t.numpy().tobytes() for t in tensors], run.outcome(), run.state.watch


@pytest.mark.parametrize("kind", ["momentum", "dropout", "adam"])
@pytest.mark.parametrize("at", [1, 4])
def test_a_resumed_run_ends_at_the_step_of_an_uninterrupted_one(kind, at, tmp_path, monkeypatch):
    """What evaluations have shown is part of the state."""
    monkeypatch.setattr("gentool.training.run.SECONDS_BETWEEN_STATES", 0)
    run_recipe, state = a_recipe(kind), tmp_path / "a.state"
    data = data_of(run_recipe)
    model, outcome = train(run_recipe, data, CPU)
    assert outcome.epochs > at
    resumed, again = interrupted(run_recipe, data, state, at)
    assert again == outcome
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), resumed.parameters(), strict=True)
    )


def interrupted(run_recipe, data, state, at):
    def stop(report):
        if report.epoch == at + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run_recipe, data, CPU, state_path=state, on_epoch=stop)
    return train(run_recipe, data, CPU, state_path=state, resume=True)


def test_a_state_at_the_stop_can_be_resumed(tmp_path, monkeypatch):
    """Its last epoch is cut short, also in the optimizer's count of steps."""
    monkeypatch.setattr("gentool.training.run.SECONDS_BETWEEN_STATES", 0)
    run_recipe, state = a_recipe("adam"), tmp_path / "a.state"
    _, outcome = train(run_recipe, data_of(run_recipe), CPU, state_path=state)
    assert outcome.steps % 30
    _, again = train(run_recipe, data_of(run_recipe), CPU, state_path=state, resume=True)
    assert again == outcome
    about, tensors = parts_of_state(state.read_bytes())
    for steps, words in ((outcome.steps + 30, "epochs have"), (outcome.steps - 1, r"\.step is")):
        about.pop("digest", None)
        about["progress"]["steps"] = steps
        about["digest"] = _digest(about, tensors)
        state.write_bytes(save(tensors, {KEY: dumps(about)}))
        with pytest.raises(GentoolError, match=f"{words}.*--force"):
            train(run_recipe, data_of(run_recipe), CPU, state_path=state, resume=True)


def test_evaluations_take_a_fifth_of_the_time_at_most(monkeypatch):
    """A third of the steps on as many images: those of a run whose last error stays for long."""
    run_recipe = a_recipe(hidden=2, epochs=40)
    run = Run(run_recipe, data_of(run_recipe), CPU, CheckpointPolicy())
    monkeypatch.setattr("gentool.training.watch.NEAR", 1e6)
    monkeypatch.setattr("gentool.training.watch.FALL", 1e6)
    train_runs([run])
    assert not run.state.stopped
    assert 0.3 * SHARE * 40 < run.state.watch.evaluated <= FIRST + SHARE * 40 + 1


def test_a_wrong_image_alone_is_looked_at_until_it_is_right(monkeypatch):
    """A low loss with an error: the next look is at that image, the whole set comes after it."""
    run_recipe = a_recipe(stop_loss=10.0, hidden=64)
    looks = []

    def look(model, images, below, group):
        from gentool.training.evaluation import look

        looks.append(look(model, images, below, group))
        return looks[-1]

    monkeypatch.setattr("gentool.training.run.look", look)
    _, outcome = train(run_recipe, data_of(run_recipe), CPU)
    assert outcome.stop_rule_met
    assert outcome.train_error == 0
    assert len(looks) < 8
    assert [bool(seen.wrong) for seen in looks] == [True] * (len(looks) - 1) + [False]


def test_graphed_steps_with_evaluations_between_them_give_the_same_network(monkeypatch):
    """A VGG, as on a GPU: the plain step and the recorded one end at the same step."""
    run_recipe = a_recipe("vgg", batch_size=3)
    plain, fast = (Run(run_recipe, data_of(run_recipe), CPU, CheckpointPolicy()) for _ in range(2))
    steps = [step_function(plain)]
    play(monkeypatch)
    with torch.random.fork_rng():
        steps.append(step_function(fast))
        for run, step in zip((plain, fast), steps, strict=True):
            while not run.is_over:
                run.after_epoch(*train_epoch(run, step), seconds=1)
    assert plain.state.stopped
    assert plain.state.steps == fast.state.steps
    assert plain.state.steps % 20
    assert all(
        torch.equal(a, b)
        for a, b in zip(plain.state.model.parameters(), fast.state.model.parameters(), strict=True)
    )


def test_the_next_evaluation_is_due_where_the_loss_is_expected_to_be_low():
    """It was half of the running loss: at a running loss of 0.02 it is expected to be 0.01."""
    seen = LossWatch(ratio=1.0)
    assert not seen.is_due([0.01], running=0.04, trained=10)
    assert seen.is_due([0.01], running=0.02, trained=10)
    seen.saw(0.01, running=0.02, part=1.0)
    assert seen.ratio == 0.5
    assert not seen.is_due([0.01], running=0.0201, trained=10)
    assert seen.is_due([0.01], running=0.0199, trained=10)
    assert not seen.is_due([], running=0.0199, trained=10)


DIGITS = ["train", "--model", "mlp", "--data", "digits", "--hidden", "64", "--subset", "90"]
DIGITS += ["--batch-size", "4", "--lr", "0.02", "--epochs", "40", "-q"]


def test_thresholds_that_are_kept_do_not_change_where_a_run_stops(tmp_path, monkeypatch):
    """They are no part of the recipe; each network is just below its own."""
    monkeypatch.chdir(tmp_path)
    digits = [*DIGITS, "--stop-check", "steps"]
    assert command([*digits, "-o", "a.safetensors"]) == 0
    assert command([*digits, "--keep-at", "0.5,0.2,0.01", "-o", "b.safetensors"]) == 0
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()
    for threshold in (0.5, 0.2, 0.01):
        kept = checkpoint.read(Path(f"b.loss{threshold}.safetensors"))
        assert 0.4 * threshold < kept.outcome.train_loss < threshold
        assert kept.outcome.epochs == len(kept.outcome.history["loss"])
        assert 0 < kept.outcome.steps <= checkpoint.read(Path("b.safetensors")).outcome.steps


def test_the_recipe_says_when_the_rule_was_checked(tmp_path, monkeypatch, capsys):
    """At ends of epochs unless it is asked for; one of the other check is kept with a word."""
    monkeypatch.chdir(tmp_path)
    short = [*DIGITS[:-1], "--epochs", "2"]
    assert command([*short, "-o", "a.safetensors", "-q"]) == 0
    assert checkpoint.read(Path("a.safetensors")).recipe.stop_check == "epoch"
    assert command([*short, "--stop-check", "steps", "-o", "b.safetensors", "-q"]) == 0
    assert checkpoint.read(Path("b.safetensors")).recipe.stop_check == "steps"
    capsys.readouterr()
    assert command([*short, "-o", "b.safetensors", "--skip-existing"]) == 0
    assert "stop-check steps, not epoch; the file is kept" in capsys.readouterr().err
    assert command([*short, "--stop-check", "often"]) == 2
    assert "it has to be epoch or steps" in capsys.readouterr().err


def test_the_loss_in_training_mode_is_that_of_a_whole_epoch():
    """Its check is at the end of the epoch."""
    on_training = a_recipe(stop_on="training", stop_loss=0.5, stop_check=None)
    run = Run(on_training, data_of(on_training), CPU, CheckpointPolicy())
    assert run.recipe.stop_check == "epoch"
    with pytest.raises(UsageError, match="the loss of a whole epoch; leave out stop-check"):
        replace(on_training, stop_check="steps")


def test_a_run_goes_on_as_it_began(tmp_path, monkeypatch):
    """By the check of its state, where none is asked for; another one is refused."""
    monkeypatch.chdir(tmp_path)
    first = [*DIGITS[:-3], "-q", "--epochs", "2"]
    assert command([*first, "--stop-check", "steps", "-o", "a.safetensors"]) == 0
    more = [*DIGITS[:-3], "-q", "--epochs", "4", "--resume", "-o", "a.safetensors"]
    assert command([*more, "--stop-check", "epoch"]) == 1
    assert command(more) == 0
    assert checkpoint.read(Path("a.safetensors")).recipe.stop_check == "steps"


def test_steps_of_a_run_that_an_earlier_version_began_are_not_known(tmp_path):
    """Its state tells the epochs, not when the loss fell below 0.1."""
    run_recipe, state = a_recipe(epochs=2, stop_check="epoch"), tmp_path / "a.state"
    train(run_recipe, data_of(run_recipe), CPU, state_path=state)
    about, tensors = parts_of_state(state.read_bytes())
    for name in ("digest", "progress"):
        about.pop(name)
    del about["recipe"]["stop_check"]
    state.write_bytes(save(tensors, {KEY: dumps(about | {"digest": _digest(about, tensors)})}))
    longer = replace(run_recipe, epochs=60)
    _, resumed = train(longer, data_of(longer), CPU, state_path=state, resume=True)
    _, whole = train(longer, data_of(longer), CPU)
    assert resumed.steps == whole.steps
    assert whole.steps_to_loss_0_1 > 0
    assert resumed.steps_to_loss_0_1 is None


def test_recipes_of_earlier_versions_are_read():
    """They mean the end of an epoch."""
    values = Recipe().to_json()
    del values["stop_check"]
    assert Recipe.from_json(json.loads(json.dumps(values))).stop_check == "epoch"
