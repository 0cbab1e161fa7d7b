"""Hold the state of a run between two epochs; write it to a file and read it to resume."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from gentool.common.errors import GentoolError
from gentool.common.files import write_whole
from gentool.networks.models import has_convolutions, initialised
from gentool.records.recipe import Recipe, stop_check_of
from gentool.training.continuing import check_continuation
from gentool.training.optimizers import OPTIMIZERS
from gentool.training.saved_tensors import fill
from gentool.training.schedules import UNDER_WAY
from gentool.training.state_file import SavedState, content_of, parse
from gentool.training.watch import RECORDED, LossWatch


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
    steps: int = 0
    steps_to: dict[float, int | None] = field(default_factory=dict)  # None where it is not known
    recent: list[list[float]] = field(default_factory=list)  # losses of the last parts of epochs
    watch: LossWatch = field(default_factory=LossWatch)
    keeping: LossWatch = field(default_factory=LossWatch)  # the watch of `keep_at`
    best: dict[str, Tensor] = field(default_factory=dict)  # of the model after its best epoch
    threads: list[int] = field(default_factory=list)  # numbers of CPU threads, one after the other

    @classmethod
    def initial(cls, recipe: Recipe, device: torch.device) -> "State":
        """Return the state before the first epoch."""
        model = initialised(recipe).to(device)
        if has_convolutions(model):
            model = model.to(memory_format=torch.channels_last)  # their fastest format
        for module in model.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = True  # nothing else reads the output of the layer before it
        optimizer = OPTIMIZERS[recipe.optimizer](list(model.parameters()), recipe)
        watches = LossWatch.of(recipe), LossWatch.of(recipe)
        return cls(model, optimizer, watch=watches[0], keeping=watches[1])

    def write(self, path: Path, recipe: Recipe) -> None:
        """Write the state to a file, atomically."""
        saved = SavedState(
            recipe,
            self.epoch,
            self.history,
            self.stopped,
            self.kept,
            self.model.state_dict(),
            {
                index: {name: value for name, value in tensors.items() if value is not None}
                for index, tensors in self.optimizer.state_dict()["state"].items()
            },
            {} if self.is_at_its_best else self.best,
            progress={
                "steps": self.steps,
                "steps_to": {str(loss): steps for loss, steps in self.steps_to.items()},
                "recent": self.recent,
                "watch": self.watch.to_json(),
                "keeping": self.keeping.to_json(),
                "threads": self.threads,
            },
        )
        write_whole(path, content_of(saved))

    def load(self, path: Path, recipe: Recipe, content: bytes, steps: int) -> None:
        """Load a state file; raise GentoolError if it is damaged or belongs to another recipe.

        A recipe with other limits, as more epochs, is the same where that changes nothing before.
        `content` is the content of the file, `steps` the number of steps of an epoch.
        """
        try:
            saved = parse(content)
        except GentoolError as error:
            raise GentoolError(
                f"{path} is no state of a run; {error}; start over with --force"
            ) from error
        check_continuation(path, saved.recipe, recipe, saved.history["loss"])
        try:
            fill(self.model, self.optimizer, saved, steps)
        except GentoolError as error:
            raise GentoolError(
                f"{path} does not fit its recipe: {error}; start over with --force"
            ) from error
        self.epoch, self.history = saved.epoch, saved.history
        self.stopped, self.kept = saved.stopped, saved.kept
        self.best = saved.best
        self._take_progress(saved, steps)
        if not saved.best and self.is_at_its_best:
            self.keep_best()

    def _take_progress(self, saved: SavedState, steps: int) -> None:
        """Take the counts and watches of a saved state.

        A state of an earlier version has none. When its loss fell below 0.1 is not known then.
        """
        if saved.progress is None:
            self.steps = saved.epoch * steps
            self.steps_to = dict.fromkeys(RECORDED) if saved.epoch else {}
            return
        progress = saved.progress
        self.steps, self.recent = progress["steps"], progress["recent"]
        self.steps_to = {float(loss): at for loss, at in progress["steps_to"].items()}
        self.threads = progress.get("threads", [])
        self.watch, self.keeping = (LossWatch(**progress[n]) for n in ("watch", "keeping"))

    @property
    def is_at_its_best(self) -> bool:
        """Return whether the last epoch was the one of the least running loss."""
        losses = self.history["loss"]
        return bool(losses) and losses[-1] == min(losses)

    def keep_best(self) -> None:
        """Keep a copy of the model, if the last epoch was its best one and training is under way.

        Until the loss is a tenth below its first value there is nothing to lose.
        """
        losses = self.history["loss"]
        if self.is_at_its_best and losses[-1] < UNDER_WAY * losses[0]:
            self.best = {
                name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()
            }


def with_stop_check(recipe: Recipe, state: Path | None) -> Recipe:
    """Return a recipe that says when the stop rule is checked.

    One that does not goes on as the run that it resumes, whose `state` may be of an earlier
    version.
    """
    resumed = recipe_of_state(state) if recipe.stop_check is None and state is not None else None
    return replace(recipe, stop_check=(resumed and resumed.stop_check) or stop_check_of(recipe))


def recipe_of_state(path: Path) -> Recipe | None:
    """Return the recipe of the run whose state a file holds; None if it is no such file."""
    try:
        return parse(path.read_bytes()).recipe
    except (GentoolError, OSError):
        return None  # told where it is resumed
