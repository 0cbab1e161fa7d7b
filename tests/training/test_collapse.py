"""A run that collapses ends with the network of its best epoch, says so, and can be continued."""

from pathlib import Path

import pytest
import torch

from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.data.examples import training_set
from gentool.data.reading import reading_of
from gentool.data.sources import DataSets
from gentool.networks.models import with_defaults
from gentool.records.recipe import Recipe
from gentool.training.loop import train_runs
from gentool.training.run import CheckpointPolicy, Run

LAST_GOOD, EPOCHS = 12, 15


@pytest.fixture
def collapse(monkeypatch):
    """Make all weights 0 after epoch 12, as if a step had been too large: all units are dead."""
    after_epoch = Run.after_epoch

    def then_collapse(self, *values):
        after_epoch(self, *values)
        if self.state.epoch == LAST_GOOD:
            with torch.no_grad():
                for parameter in self.state.model.parameters():
                    parameter.zero_()

    monkeypatch.setattr(Run, "after_epoch", then_collapse)


def a_run(**policy):
    options = with_defaults("mlp", {"hidden": 32})
    options |= {"subset": 200, "lr": 0.05, "epochs": EPOCHS, "stop_loss": 1e-9}
    recipe = Recipe(model="mlp", data="digits", **options)
    cpu = torch.device("cpu")
    recipe, sets = training_set(recipe, DataSets(Path()).load("digits", reading_of(recipe)), cpu)
    return Run(recipe, sets, cpu, CheckpointPolicy(**policy))


def test_the_network_of_the_best_epoch_is_kept(collapse):
    """Its training loss is that before the collapse; the note names epoch and losses."""
    collapsed = a_run()
    train_runs([collapsed])
    model, outcome = collapsed.result()
    losses = outcome.history["loss"]
    best = losses.index(min(losses)) + 1
    assert best <= LAST_GOOD < len(losses) == EPOCHS
    assert losses[-1] > 10 * min(losses)
    assert outcome.train_loss < 2 * min(losses)
    assert not outcome.stop_rule_met
    [note] = outcome.notes
    assert f"that of epoch {best}," in note
    assert f"after epoch {EPOCHS} it was {losses[-1]:.4g}" in note
    assert any(p.abs().sum() > 0 for p in model.parameters())
    assert not model.training


def test_a_run_that_does_not_collapse_ends_with_its_last_network():
    steady = a_run()
    train_runs([steady])
    model, outcome = steady.result()
    assert model is steady.state.model
    assert outcome.notes == ()


def test_a_resumed_run_keeps_the_same_network(collapse, tmp_path):
    """Interrupted after the collapse, when the best network is in the state file alone."""

    class Stop(Exception):
        pass

    def stop(report):
        if report.epoch == EPOCHS - 1:
            first.save_state()
            raise Stop

    whole = a_run()
    train_runs([whole])
    state = tmp_path / "a.state"
    first = a_run(state_path=state, on_epoch=stop)
    with pytest.raises(Stop):
        train_runs([first])
    second = a_run(state_path=state, resume=True)
    second.start()
    train_runs([second])
    for a, b in zip(whole.result()[0].parameters(), second.result()[0].parameters(), strict=True):
        assert torch.equal(a, b)
    assert whole.result()[1].notes == second.result()[1].notes != ()


def test_the_command_says_so_even_with_quiet_and_goes_on_from_the_last_state(
    collapse, tmp_path, capsys
):
    path = tmp_path / "a.safetensors"
    options = ["--model", "mlp", "--hidden", "32", "--data", "digits", "--subset", "200", "--quiet"]
    options += ["--lr", "0.05", "--epochs", str(EPOCHS), "--stop-loss", "1e-9", "--recipe", "paper"]
    assert run(["train", *options, "-o", str(path)]) == 0
    error = capsys.readouterr().err
    assert error.startswith(
        "gentool: warning: a.safetensors: training collapsed: the network is that of"
    )
    assert error.count("\n") == 1
    saved = checkpoint.read(path)
    assert saved.outcome.train_loss < 0.1 * saved.outcome.history["loss"][-1]
    assert len(list(tmp_path.glob("*last-state"))) == 1
