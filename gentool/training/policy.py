"""What a run reports of an epoch, and when it saves its state and its checkpoints."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from gentool.common.json import Json, finite
from gentool.records.recipe import Outcome


@dataclass(frozen=True)
class EpochReport:
    """Hold the running loss and error of an epoch, in training mode, its time and its speed.

    `lr` is the learning rate of its last step.
    """

    epoch: int
    loss: float
    error: float
    images_per_second: float
    lr: float
    seconds: float

    def to_json(self) -> Json:
        """Return the report as it stands in a log: a loss that is not finite is null."""
        return asdict(self) | {
            "loss": finite(self.loss),
            "images_per_second": round(self.images_per_second),
            "seconds": round(self.seconds, 6),
        }


@dataclass(frozen=True)
class CheckpointPolicy:
    """Hold when a run saves its state and its checkpoints, and the functions that it calls.

    The state is written to `state_path` at the end of an epoch, at most every ten seconds; with
    `resume` training goes on from that file if it exists, else from `last_state_path`, the state at
    the end of a run with fewer epochs. `on_checkpoint` gets the network and its
    outcome so far before the first epoch and after every `save_every` epochs. `on_threshold` gets
    them, and the threshold, where the loss in evaluation mode, over all that is trained on, is
    first seen below each threshold of `keep_at`; the recipe's `stop_check` says when it is looked
    at.
    """

    state_path: Path | None = None
    resume: bool = False
    save_every: int | None = None
    on_epoch: Callable[[EpochReport], None] = lambda report: None
    on_checkpoint: Callable[[nn.Module, Outcome], None] | None = None
    keep_at: tuple[float, ...] = ()
    on_threshold: Callable[[nn.Module, Outcome, float], None] = lambda model, outcome, loss: None
    last_state_path: Path | None = None
