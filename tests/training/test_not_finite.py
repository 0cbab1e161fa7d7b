"""A loss that is not finite at the end of training is null with a note; the grid goes on."""

import json
from pathlib import Path

import pytest
import torch

from gentool.checkpoints import checkpoint
from gentool.cli.main import run
from gentool.records import checkpoint_metadata

GRID = ["train", "--model", "mlp", "--data", "digits", "--hidden", "4", "--subset", "50"]
GRID += ["--epochs", "3", "--lr", "0.1"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_loss_that_is_not_finite_loses_neither_the_network_nor_the_grid(monkeypatch, capsys):
    """A weight of 1e38 in float32 overflows in the logits: the loss is NaN or infinite."""
    from gentool.training.run import Run

    outcome = Run.outcome

    def spoiled(self):
        if self.recipe.seed == 1:
            with torch.no_grad():
                next(self.state.model.parameters()).fill_(3e38)
        return outcome(self)

    monkeypatch.setattr(Run, "outcome", spoiled)
    assert run([*GRID, "--seed", "0,1,2", "-o", "grid"]) == 0
    out, err = capsys.readouterr()
    assert "cross-entropy not finite" in err
    paths = sorted(map(Path, out.split()))
    outcomes = [checkpoint.read(path).outcome for path in paths]
    assert [o.train_loss is None for o in outcomes] == [False, True, False]
    assert [o.test_loss is None for o in outcomes] == [False, True, False]
    assert outcomes[0].notes == ()
    assert [note.partition(":")[0] for note in outcomes[1].notes] == ["train_loss", "test_loss"]
    assert "notes" not in checkpoint_metadata.read(paths[0])["outcome"]
    assert run(["measure", "--only", "l2", "-q", *map(str, paths)]) in (0, 1)
    capsys.readouterr()
    assert run(["inspect", str(paths[1]), "-o", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"]["notes"]
