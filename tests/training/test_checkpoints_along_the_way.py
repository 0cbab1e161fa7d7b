"""Checkpoints along the way, presets of options, and giving up where a network cannot fit."""

import json

import pytest

from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.common.errors import UsageError
from gentool.networks.models import initialised
from gentool.records.presets import training_options
from gentool.records.recipe import Outcome, Recipe
from gentool.training.schedules import count_stalls, has_given_up, learning_rates

DIGITS = ["train", "--model", "mlp", "--data", "digits", "--hidden", "8", "--subset", "50", "-q"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_initial_network_and_those_along_the_way_are_kept_and_named(tmp_path, capsys):
    """Each path on stdout when it is written; each file tells the epoch that it is of."""
    options = ["--epochs", "5", "--keep-initial", "--save-every", "2", "-o", "a.safetensors"]
    assert run([*DIGITS, *options]) == 0
    names = [f"a{when}.safetensors" for when in (".initial", ".epoch0002", ".epoch0004", "")]
    assert capsys.readouterr().out.split() == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    epochs = [checkpoint.read(tmp_path / name).outcome.epochs for name in names]
    assert epochs == [0, 2, 4, 5]


def test_the_initial_checkpoint_is_the_draw_of_the_seed(tmp_path):
    """Nothing has been trained in it: what `measure` would draw again from the seed."""
    assert run([*DIGITS, "--epochs", "1", "--keep-initial", "-o", "a.safetensors"]) == 0
    kept = checkpoint.read(tmp_path / "a.initial.safetensors")
    drawn = initialised(kept.recipe).state_dict()
    assert all((kept.tensors[name] == drawn[name]).all() for name in drawn)


def test_measure_follows_training_from_the_initial_weights(tmp_path, capsys):
    """The distance from the initial checkpoint is 0 in itself and grows."""
    options = ["--epochs", "4", "--keep-initial", "--save-every", "2", "-o", "a.safetensors"]
    assert run([*DIGITS, *options]) == 0
    paths = capsys.readouterr().out.split()
    asked = [
        "--initial",
        "a.initial.safetensors",
        "--only",
        "distance_frobenius",
        "--no-data",
        "-q",
        "-o",
        "-",
    ]
    assert run(["measure", *paths, *asked]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    distances = [record["measures"]["distance_frobenius"] for record in records]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert distances[1] > 0


def test_a_checkpoint_along_the_way_is_that_of_a_shorter_run(tmp_path):
    """Keeping it changes nothing: the same tensors as two epochs alone."""
    assert run([*DIGITS, "--epochs", "4", "--save-every", "2", "-o", "a.safetensors"]) == 0
    assert run([*DIGITS, "--epochs", "2", "-o", "b.safetensors"]) == 0
    on_the_way, alone = (
        checkpoint.read(tmp_path / name) for name in ("a.epoch0002.safetensors", "b.safetensors")
    )
    assert all((on_the_way.tensors[n] == alone.tensors[n]).all() for n in alone.tensors)
    assert on_the_way.outcome == alone.outcome


def test_checkpoints_along_the_way_are_not_overwritten_unasked(tmp_path, capsys):
    options = ["--epochs", "2", "--save-every", "1", "-o", "a.safetensors"]
    assert run([*DIGITS, *options]) == 0
    (tmp_path / "a.safetensors").unlink()
    assert run([*DIGITS, *options]) == 1
    assert "a.epoch0001.safetensors exists; replace it with --force" in capsys.readouterr().err
    assert run([*DIGITS, *options, "--force"]) == 0
    printed = capsys.readouterr().out
    assert run([*DIGITS, *options, "--skip-existing"]) == 0
    assert capsys.readouterr().out == printed


def test_a_network_too_small_to_fit_gives_up_and_says_so(tmp_path, capsys):
    """One hidden unit cannot tell 300 digits apart: long before 500 epochs it stops trying."""
    command = [
        "train",
        "--model",
        "mlp",
        "--data",
        "digits",
        "--hidden",
        "1",
        "--labels",
        "random",
        "--subset",
        "300",
    ]
    assert run([*command, "--patience", "10", "-o", "a.safetensors"]) == 0
    assert "gave up (no loss 1 % better in 10 epochs)" in capsys.readouterr().err
    outcome = checkpoint.read(tmp_path / "a.safetensors").outcome
    assert (outcome.gave_up, outcome.stop_rule_met) == (True, False)
    assert outcome.epochs < 500


def test_patience_counts_epochs_without_a_loss_one_percent_better():
    falling = [0.9**epoch for epoch in range(50)]
    assert not has_given_up(falling, 3)
    assert has_given_up([*falling, falling[-1], falling[-1] * 0.995, 1.0], 3)
    assert not has_given_up([*falling, 1.0, 1.0, falling[-1] * 0.98], 3)
    assert not has_given_up([1.0] * 100, None)


def test_a_stall_is_ten_epochs_without_improvement_once_training_is_under_way():
    """The long first plateau of random labels is none."""
    assert count_stalls([2.3] * 40) == 0
    assert count_stalls([2.3, 2.0, *[2.0] * 9]) == 0
    assert count_stalls([2.3, 2.0, *[2.0] * 10]) == 1
    assert count_stalls([2.3, 2.0, *[2.0] * 10, 1.0, *[1.0] * 20]) == 3


def test_the_learning_rate_warms_up_and_is_halved_when_the_loss_stalls():
    """Four steps an epoch, warm-up over two epochs: eighths of the rate; after a stall half."""
    asked = Recipe(lr=0.8, warmup=2.0, schedule="on-stall")
    assert learning_rates(asked, [], 4) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert learning_rates(asked, [2.3], 4) == pytest.approx([0.5, 0.6, 0.7, 0.8])
    assert learning_rates(asked, [2.3, 1.0, *[1.0] * 10], 2) == pytest.approx([0.4, 0.4])


def test_the_papers_recipe_is_plain_sgd_and_fast_is_the_default(tmp_path):
    """What was chosen is in the checkpoint; an option that was given overrides the preset."""
    assert run([*DIGITS, "--epochs", "1", "--recipe", "paper", "-o", "paper.safetensors"]) == 0
    recipe = checkpoint.read(tmp_path / "paper.safetensors").recipe
    assert (recipe.optimizer, recipe.lr, recipe.momentum, recipe.batch_size) == (
        "sgd",
        0.01,
        0.9,
        64,
    )
    assert (recipe.schedule, recipe.warmup, recipe.patience) == ("constant", 0, None)
    assert run([*DIGITS, "--epochs", "1", "--lr", "0.02", "-o", "fast.safetensors"]) == 0
    recipe = checkpoint.read(tmp_path / "fast.safetensors").recipe
    assert (recipe.lr, recipe.momentum, recipe.batch_size) == (0.02, 0.9, 64)
    assert (recipe.schedule, recipe.warmup, recipe.patience) == ("on-stall", 1, 30)


ASKED = {"optimizer": "sgd", "momentum": None, "lr": None}


def test_mlps_are_trained_at_a_lower_rate_by_default():
    """At 0.03 a narrow one can be left with one wrong image for good."""
    assert training_options("fast", "mlp", None, ASKED)["lr"] == 0.01
    assert training_options("fast", "mlp", None, ASKED | {"lr": 0.1})["lr"] == 0.1


@pytest.mark.parametrize(("width", "rate"), [(None, 0.01), (2, 0.005), (0.25, 0.04), (0.1, 0.04)])
def test_the_rate_of_a_vgg_falls_with_its_width(width, rate):
    """So that its hidden units stay alive; each network of a grid has that of its own width."""
    assert training_options("fast", "vgg", width, ASKED)["lr"] == rate
    assert training_options("fast", "vgg", width, ASKED | {"lr": 0.1})["lr"] == 0.1
    assert training_options("paper", "vgg", width, ASKED)["lr"] == 0.01


def test_an_unknown_recipe_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown recipe 'papr' \(did you mean 'paper'\?\)"):
        training_options("papr", "vgg", None, {})


def test_an_outcome_of_the_first_checkpoints_can_be_read():
    """They knew no giving up."""
    old = {
        "epochs": 1,
        "stop_rule_met": True,
        "train_loss": 0.1,
        "train_error": 0.0,
        "confusion_loss": None,
        "confusion_error": None,
        "test_loss": 0.1,
        "test_error": 0.0,
        "history": {"epoch": [1], "loss": [0.1], "error": [0.0]},
    }
    assert not Outcome.from_json(old).gave_up
