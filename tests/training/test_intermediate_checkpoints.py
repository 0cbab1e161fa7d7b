"""Intermediate checkpoints, the presets of `--recipe`, schedules, and giving up."""

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


def test_intermediate_checkpoints_are_written_and_printed_in_order(tmp_path, capsys):
    """Initial, every second epoch, last: paths on stdout, and the epoch in each outcome."""
    options = ["--epochs", "5", "--keep-initial", "--save-every", "2", "-o", "a.safetensors"]
    assert run([*DIGITS, *options]) == 0
    names = [f"a{when}.safetensors" for when in (".initial", ".epoch0002", ".epoch0004", "")]
    assert capsys.readouterr().out.split() == names
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == sorted(names)
    epochs = [checkpoint.read(tmp_path / name).outcome.epochs for name in names]
    assert epochs == [0, 2, 4, 5]


def test_the_initial_checkpoint_holds_the_initial_weights_of_the_seed(tmp_path):
    """The weights are those that `measure` draws again from the seed."""
    assert run([*DIGITS, "--epochs", "1", "--keep-initial", "-o", "a.safetensors"]) == 0
    kept = checkpoint.read(tmp_path / "a.initial.safetensors")
    drawn = initialised(kept.recipe).state_dict()
    assert all((kept.tensors[name] == drawn[name]).all() for name in drawn)


def test_the_distance_from_the_initial_checkpoint_grows_in_training(tmp_path, capsys):
    """It is 0 for the initial checkpoint itself."""
    options = ["--epochs", "4", "--keep-initial", "--save-every", "2", "-o", "a.safetensors"]
    assert run([*DIGITS, *options]) == 0
    paths = capsys.readouterr().out.split()
    options = [
        "--initial",
        "a.initial.safetensors",
        "--only",
        "distance_frobenius",
        "--no-data",
        "-q",
        "-o",
        "-",
    ]
    assert run(["measure", *paths, *options]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    distances = [record["measures"]["distance_frobenius"] for record in records]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert distances[1] > 0


def test_an_intermediate_checkpoint_is_that_of_a_shorter_run(tmp_path):
    """After two of four epochs: the tensors and outcome of a run of two epochs."""
    assert run([*DIGITS, "--epochs", "4", "--save-every", "2", "-o", "a.safetensors"]) == 0
    assert run([*DIGITS, "--epochs", "2", "-o", "b.safetensors"]) == 0
    on_the_way, alone = (
        checkpoint.read(tmp_path / name) for name in ("a.epoch0002.safetensors", "b.safetensors")
    )
    assert all((on_the_way.tensors[n] == alone.tensors[n]).all() for n in alone.tensors)
    assert on_the_way.outcome == alone.outcome


def test_intermediate_checkpoints_are_overwritten_only_with_force(tmp_path, capsys):
    """Without --force it is an error that names the file; --skip-existing prints them all."""
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
    """One hidden unit cannot fit 300 random labels: it gives up before the 500 epochs are over."""
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
    """A fall of 1 % or more starts the count again; without patience a run never gives up."""
    falling = [0.9**epoch for epoch in range(50)]
    assert not has_given_up(falling, 3)
    assert has_given_up([*falling, falling[-1], falling[-1] * 0.995, 1.0], 3)
    assert not has_given_up([*falling, 1.0, 1.0, falling[-1] * 0.98], 3)
    assert not has_given_up([1.0] * 100, None)


def test_a_stall_is_ten_epochs_without_improvement_once_training_is_under_way():
    """The long first plateau of random labels is no stall."""
    assert count_stalls([2.3] * 40) == 0
    assert count_stalls([2.3, 2.0, *[2.0] * 9]) == 0
    assert count_stalls([2.3, 2.0, *[2.0] * 10]) == 1
    assert count_stalls([2.3, 2.0, *[2.0] * 10, 1.0, *[1.0] * 20]) == 3


def test_the_learning_rate_warms_up_and_is_halved_when_the_loss_stalls():
    """Four steps an epoch, warm-up over two epochs: eighths of the rate; after a stall half."""
    decaying = Recipe(lr=0.8, warmup=2.0, schedule="on-stall")
    assert learning_rates(decaying, [], 4) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert learning_rates(decaying, [2.3], 4) == pytest.approx([0.5, 0.6, 0.7, 0.8])
    assert learning_rates(decaying, [2.3, 1.0, *[1.0] * 10], 2) == pytest.approx([0.4, 0.4])


def test_the_paper_preset_is_plain_sgd_and_fast_is_the_default(tmp_path):
    """The checkpoint holds the options of the preset; --lr overrides that of the preset."""
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


OPTIONS = {"optimizer": "sgd", "momentum": None, "lr": None}


def test_the_default_rate_of_an_mlp_is_0_01():
    """At 0.03 a narrow MLP can keep one wrong image for good; --lr overrides the default."""
    assert training_options("fast", "mlp", None, OPTIONS)["lr"] == 0.01
    assert training_options("fast", "mlp", None, OPTIONS | {"lr": 0.1})["lr"] == 0.1


@pytest.mark.parametrize(("width", "rate"), [(None, 0.01), (2, 0.005), (0.25, 0.04), (0.1, 0.04)])
def test_the_default_rate_of_a_vgg_falls_with_its_width(width, rate):
    """0.01 / width, at most 0.04, so that hidden units stay on; --lr and `paper` override it."""
    assert training_options("fast", "vgg", width, OPTIONS)["lr"] == rate
    assert training_options("fast", "vgg", width, OPTIONS | {"lr": 0.1})["lr"] == 0.1
    assert training_options("paper", "vgg", width, OPTIONS)["lr"] == 0.01


def test_an_unknown_recipe_is_an_error_that_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown recipe 'papr' \(did you mean 'paper'\?\)"):
        training_options("papr", "vgg", None, {})


def test_an_outcome_without_gave_up_can_be_read():
    """As the first checkpoints wrote it."""
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


def test_the_network_is_kept_at_the_first_loss_below_each_threshold(tmp_path, capsys):
    """Each has the loss, the stop loss of its threshold, and the weights of that epoch."""
    options = ["--lr", "0.1", "--epochs", "40", "--keep-at", "2,1", "--save-every", "1"]
    assert run([*DIGITS, *options, "-o", "a.safetensors"]) == 0
    assert "a.loss2.safetensors" in capsys.readouterr().out
    losses = {
        epoch: checkpoint.read(tmp_path / f"a.epoch{epoch:04}.safetensors").outcome.train_loss
        for epoch in range(1, 41)
        if (tmp_path / f"a.epoch{epoch:04}.safetensors").exists()
    }
    for threshold in (2, 1):
        kept = checkpoint.read(tmp_path / f"a.loss{threshold}.safetensors")
        first = min(epoch for epoch, loss in losses.items() if loss < threshold)
        same = checkpoint.read(tmp_path / f"a.epoch{first:04}.safetensors")
        assert kept.recipe.stop_loss == threshold
        assert kept.outcome.epochs == first
        assert all((kept.tensors[name] == same.tensors[name]).all() for name in kept.tensors)


def test_a_threshold_that_was_passed_is_not_kept_again_after_resuming(tmp_path, monkeypatch):
    """The state of a run remembers what it has kept."""
    from gentool.training import run as training_run

    monkeypatch.setattr(training_run, "SECONDS_BETWEEN_STATES", 0)
    keep = ["--keep-at", "2.2", "-o", "a.safetensors"]
    stop = training_run.Run.after_epoch

    def interrupt(self, *values):
        stop(self, *values)
        if self.state.epoch == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(training_run.Run, "after_epoch", interrupt)
    assert run([*DIGITS, "--epochs", "30", *keep]) == 130
    monkeypatch.setattr(training_run.Run, "after_epoch", stop)
    before = (tmp_path / "a.loss2.2.safetensors").read_bytes()
    assert run([*DIGITS, "--epochs", "30", *keep, "--resume"]) == 0
    assert (tmp_path / "a.loss2.2.safetensors").read_bytes() == before


def test_the_stop_rule_can_take_the_training_mode_loss(tmp_path):
    """It ends the run where the running loss is below, and both losses are in the outcome."""
    options = ["--lr", "0.1", "--stop-on", "training", "--stop-loss", "1", "--dropout", "0.3"]
    assert run([*DIGITS, *options, "-o", "a.safetensors"]) == 0
    kept = checkpoint.read(tmp_path / "a.safetensors")
    running = kept.outcome.history["loss"]
    assert kept.outcome.stop_rule_met
    assert running[-1] < 1 <= min(running[:-1])
    assert kept.outcome.training_mode_loss == running[-1]
    assert kept.outcome.train_loss < kept.outcome.training_mode_loss  # without dropout


def test_batch_norm_takes_a_value_or_none_on_the_command_line():
    """Alone it is that of the model, as it was before it had values."""
    from gentool.cli.train import with_batch_norm_value

    assert with_batch_norm_value(["--batch-norm", "hidden"]) == ["--batch-norm", "hidden"]
    assert with_batch_norm_value(["--batch-norm", "-q"]) == ["--batch-norm", "on", "-q"]
    assert with_batch_norm_value(["--no-batch-norm"]) == ["--batch-norm", "none"]
