"""Hold the state of a run between two epochs; write it to a file and read it to resume."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from gentool.common.errors import GentoolError
from gentool.common.files import write_whole
from gentool.networks.models import has_convolutions, initialised
from gentool.records.recipe import Recipe
from gentool.training.continuing import check_continuation
from gentool.training.optimizers import OPTIMIZERS


@dataclass
class State:
    """Hold the complete state of a run between two epochs, from which it can be resumed."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    history: dict[str, list[float]] = field(
        default_factory=lambda: {"epoch": [], "loss": [], "error": []}
    )
    stopped: bool = False
    kept: list[float] = field(default_factory=list)  # thresholds of `keep_at` that were passed

    @classmethod
    def initial(cls, recipe: Recipe, device: torch.device) -> "State":
        """Return the state before the first epoch."""
        model = initialised(recipe).to(device)
        if has_convolutions(model):
            model = model.to(memory_format=torch.channels_last)  # their fastest format
        for module in model.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = True  # nothing else reads the output of the layer before it
        return cls(model, OPTIMIZERS[recipe.optimizer](list(model.parameters()), recipe))

    def write(self, path: Path, recipe: Recipe) -> None:
        """Write the state to a file, atomically."""
        content = io.BytesIO()
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {i: _copied(tensors) for i, tensors in optimizer["state"].items()}
        torch.save(
            {
                "recipe": recipe.to_json(),
                "model": _copied(self.model.state_dict()),
                "optimizer": optimizer,
                "epoch": self.epoch,
                "history": self.history,
                "stopped": self.stopped,
                "kept": self.kept,
            },
            content,
        )
        write_whole(path, content.getvalue())

    def load(self, path: Path, recipe: Recipe, content: bytes | None = None) -> None:
        """Load a state file; raise GentoolError if it is damaged or belongs to another recipe.

        A recipe with other limits, as more epochs, is the same where that changes nothing before.
        `content` is the content of the file, if another process has read it.
        """
        try:
            file = path if content is None else io.BytesIO(content)
            saved = torch.load(file, weights_only=True, map_location="cpu")
            other = Recipe.from_json(saved["recipe"])
            losses = list(saved["history"]["loss"])
        except Exception as error:  # torch.load raises anything on a damaged file
            raise GentoolError(f"{path} is no state of a run; start over with --force") from error
        check_continuation(path, other, recipe, losses)
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.epoch, self.history, self.stopped = saved["epoch"], saved["history"], saved["stopped"]
        self.kept = saved.get("kept", [])  # states of earlier versions have none


def recipe_of_state(path: Path) -> Recipe | None:
    """Return the recipe of the run whose state a file holds; None if it is no such file."""
    try:
        return Recipe.from_json(torch.load(path, weights_only=True, map_location="cpu")["recipe"])
    except Exception:  # torch.load raises anything on a damaged file; told where it is resumed
        return None


def _copied(tensors: Mapping[str, object]) -> dict[str, object]:
    """Copy tensors out of shared buffers: torch.save would write the whole buffer of a view."""
    return {
        name: value.clone() if isinstance(value, Tensor) else value
        for name, value in tensors.items()
    }
