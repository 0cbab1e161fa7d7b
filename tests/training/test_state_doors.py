"""A state file is checked before anything uses it: no damaged one crashes, runs or is resumed."""

import io
import multiprocessing
from dataclasses import replace

import pytest
import torch
from helpers.small_sets import CPU, recipe, same, sets
from helpers.state_mutations import (
    as_pickle,
    damaged,
    generator_of,
    group_of,
    outcome_of,
    parts,
    states,
)
from safetensors.torch import save

from gentool.common.errors import GentoolError
from gentool.common.json import dumps
from gentool.training.loop import train
from gentool.training.state_file import KEY, _digest, parse

STATES = 60


class Untouched:
    """A generator of random numbers that changes nothing."""

    def random(self):
        return 1.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return contents and recipes of undamaged states."""
    return states(train, recipe, sets(), tmp_path_factory.mktemp("states"))


def test_damaged_states_are_refused_or_trained_on(whole, tmp_path):
    """Each in a process of its own kind: an error of one line, or training; never a crash.

    After wrong tensors had reached the kernels of an optimizer, the process would die here.
    """
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_attack, args=(whole, range(STATES), tmp_path))
    process.start()
    process.join(600)
    assert process.exitcode == 0


def _attack(whole, seeds, folder):
    torch.set_num_threads(1)
    for seed in seeds:
        generator = generator_of(seed)
        content, run_recipe = generator.choice(whole)
        content, _ = damaged(content, generator)
        outcome_of(train, content, run_recipe, sets(), folder / "run.state")


def changed(content, about=None, **tensors):
    """Return a state with other JSON values and tensors, with a digest that agrees."""
    kept, stored = parts(content)
    kept |= about or {}
    kept.pop("digest")
    stored |= {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    return save(stored, {KEY: dumps(kept | {"digest": _digest(kept, stored)})})


HISTORY = {"epoch": [1], "loss": [1.0], "error": [0.5]}
FAULTS = {
    "epoch": ({"epoch": -5}, "epoch is -5"),
    "more epochs than the history": ({"epoch": 9}, "history.epoch has 1 epochs"),
    "more epochs than the recipe": (
        {
            "epoch": 3,
            "history": {"epoch": [1, 2, 3], "loss": [1.0] * 3, "error": [0.5] * 3},
        },
        "epoch is 3, of 2 in the recipe",
    ),
    "a loss that is a text": ({"history": HISTORY | {"loss": ["b"]}}, "history.loss.0 is 'b'"),
    "an error above 1": ({"history": HISTORY | {"error": [2.0]}}, "history.error.0 is 2.0"),
    "no history": ({"history": {}}, r"history.epoch is missing"),
    "stopped": ({"stopped": "yes"}, "stopped is 'yes'; it has to be true or false"),
    "stopped without reason": ({"stopped": True}, "its weights do not meet it"),
    "kept": ({"kept": [0]}, "kept.0 is 0"),
    "another format": ({"format": 99}, r"unknown format 99 \(known: 2\); update gentool"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_value_that_does_not_fit_is_named(whole, tmp_path, fault):
    content, run_recipe = whole[0]
    about, words = FAULTS[fault]
    error = outcome_of(train, changed(content, about), run_recipe, sets(), tmp_path / "run.state")
    with pytest.raises(GentoolError, match=words):
        raise GentoolError(error)
    assert "start over with --force" in error
    assert "run.state" in error


TENSORS = {
    "the shape of a weight": ("model.output.bias", torch.zeros(4), "shape .4,.; it has to be"),
    "the type of a weight": ("model.output.bias", torch.zeros(3).double(), "type torch.float64"),
    "a weight that is NaN": ("model.output.bias", torch.full((3,), torch.nan), "not finite"),
    "a layer that is not there": ("model.x", torch.zeros(1), "model.x is of no layer"),
    "a momentum too short": ("optimizer.1.momentum_buffer", torch.zeros(1), "shape .1,."),
    "a momentum of bytes": (
        "optimizer.1.momentum_buffer",
        torch.zeros(512, dtype=torch.int8),
        "torch.int8",
    ),
    "a parameter that is not there": (
        "optimizer.77.momentum_buffer",
        torch.zeros(1),
        "optimizer.state.77 is of no parameter",
    ),
    "an option that is unknown": ("optimizer.1.exp_avg", torch.zeros(512), "exp_avg is unknown"),
}


@pytest.mark.parametrize("fault", TENSORS)
def test_a_tensor_that_does_not_fit_is_named(whole, tmp_path, fault):
    content, run_recipe = whole[0]
    name, tensor, words = TENSORS[fault]
    content = changed(content, **{name.replace(".", "__"): tensor})
    error = outcome_of(train, content, run_recipe, sets(), tmp_path / "run.state")
    with pytest.raises(GentoolError, match=f"{words}.*start over with --force"):
        raise GentoolError(error)


def test_a_changed_number_does_not_agree_with_the_digest(whole, tmp_path):
    """A weight of another value is no error of shape or type."""
    content, run_recipe = whole[0]
    at = len(content) - 1
    error = outcome_of(
        train,
        content[:at] + bytes([content[at] ^ 1]),
        run_recipe,
        sets(),
        tmp_path / "run.state",
    )
    assert "does not agree with its digest; start over with --force" in error


@pytest.mark.parametrize("kind", range(4))
def test_a_state_of_an_earlier_version_resumes_to_the_same_bits(whole, tmp_path, kind):
    """Written by torch.save, without a digest and with the settings of the optimizer."""
    content, run_recipe = whole[kind]
    undisturbed, _ = train(run_recipe, sets(), CPU)
    path = tmp_path / "run.state"
    path.write_bytes(as_pickle(*parts(content), group_of(content), Untouched()))
    assert parse(path.read_bytes()).groups is not None
    resumed, _ = train(run_recipe, sets(), CPU, state_path=path, resume=True)
    assert same(undisturbed, resumed)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("maximize", True), ("fused", False), ("lr", 9.9), ("params", [1, 0]), ("lr", None)],
)
def test_settings_of_the_optimizer_are_those_of_the_recipe(whole, tmp_path, setting, value):
    """Those in the file of an earlier version are compared, and never used."""
    content, run_recipe = whole[0]
    saved = torch.load(
        io.BytesIO(as_pickle(*parts(content), group_of(content), Untouched())), weights_only=True
    )
    group = saved["optimizer"]["param_groups"][0]
    if value is None:
        del group[setting]
    else:
        group[setting] = value
    written = io.BytesIO()
    torch.save(saved, written)
    error = outcome_of(train, written.getvalue(), run_recipe, sets(), tmp_path / "run.state")
    assert f"optimizer.param_groups.{setting} is" in error


def test_a_state_of_more_epochs_is_not_that_of_a_recipe_with_fewer(whole, tmp_path):
    content, run_recipe = whole[0]
    about = {"epoch": 2, "history": {"epoch": [1, 2], "loss": [1.0] * 2, "error": [0.5] * 2}}
    fewer = replace(run_recipe, epochs=1)
    error = outcome_of(train, changed(content, about), fewer, sets(), tmp_path / "run.state")
    assert "--force" in error
