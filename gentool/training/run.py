"""One network in training: its state, its examples, its stop rule and its checkpoints."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy
import torch
from torch import Tensor, nn

from gentool.common.errors import GentoolError
from gentool.common.json import Json, finite
from gentool.data.examples import Examples, TrainingSet
from gentool.networks.layer_shapes import output_shapes
from gentool.networks.models import build, has_convolutions
from gentool.numerics.compiled import compiled
from gentool.records.recipe import Outcome, Recipe
from gentool.training.bias_free_vgg import bias_free
from gentool.training.distributed import SINGLE_PROCESS, ProcessGroup
from gentool.training.evaluation import evaluate, meets_stop_rule
from gentool.training.schedules import has_given_up, learning_rates
from gentool.training.state import State


def in_batches(order: Tensor, size: int) -> tuple[Tensor, ...]:
    """Split indices into batches of nearly equal size, along the last dimension.

    A last batch of a single image would have no variance for batch norm.
    """
    return order.tensor_split(math.ceil(order.shape[-1] / size), dim=-1)


SECONDS_BETWEEN_STATES = 10.0
COLLAPSE = 10.0  # the last running loss over the least, from which a run has collapsed


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
    them, and the threshold, after the first epoch whose loss in evaluation mode, over all that is
    trained on, is below each threshold of `keep_at`.
    """

    state_path: Path | None = None
    resume: bool = False
    save_every: int | None = None
    on_epoch: Callable[[EpochReport], None] = lambda report: None
    on_checkpoint: Callable[[nn.Module, Outcome], None] | None = None
    keep_at: tuple[float, ...] = ()
    on_threshold: Callable[[nn.Module, Outcome, float], None] = lambda model, outcome, loss: None
    last_state_path: Path | None = None


class Run:
    """Train one network: hold its state and examples, apply its stop rule, save its checkpoints.

    Making a run reads and writes no file; `start` does. Raise GentoolError for dropout in several
    processes.
    """

    def __init__(
        self,
        recipe: Recipe,
        sets: TrainingSet,
        device: torch.device,
        policy: CheckpointPolicy,
        group: ProcessGroup = SINGLE_PROCESS,
        is_compiled: bool = False,
    ) -> None:
        if group.size > 1 and recipe.dropout:
            raise GentoolError(
                "dropout would differ with the number of processes; train without it, or in one"
            )
        _check_batches(recipe, len(sets.subset) + len(sets.confusion))
        self.recipe, self.sets, self.policy, self.group = recipe, sets, policy, group
        self.state = State.initial(recipe, device)
        self.examples = _as_gathered(sets.all, has_convolutions(self.state.model))
        self.module = group.parallel(self.state.model)  # called in training steps
        if device.type == "cuda" and group.size == 1:
            self.module = bias_free(self.state.model)
        if is_compiled:
            self.module = compiled(self.module)
        self.saved_at = -math.inf
        self.last_rate = recipe.lr

    def start(self) -> None:
        """Resume from the state file, if asked to; otherwise write the initial checkpoint."""
        if not self.resume():
            self.write_checkpoint()

    def resume(self) -> bool:
        """Load the state file where the policy says so and there is one; return whether it did.

        The main process reads the file for all. Raise GentoolError if it is damaged or belongs to a
        run with another recipe.
        """
        policy, path = self.policy, None
        for state in (policy.last_state_path, policy.state_path) if policy.resume else ():
            if state is not None and state.exists():
                path = state
        content = self.group.broadcast(path.read_bytes() if path is not None else None)
        if content is not None:
            self.state.load(path or policy.state_path, self.recipe, content, self.steps_of_epoch)
            if self.state.stopped and not self._fits():
                raise GentoolError(
                    f"{path or policy.state_path} says that the stop rule is met, and its weights "
                    "do not meet it; start over with --force"
                )
        return content is not None

    def write_checkpoint(self) -> None:
        """Evaluate the network and pass it with its outcome to `on_checkpoint`, if there is one."""
        if self.policy.on_checkpoint is not None:
            self.policy.on_checkpoint(self.state.model.eval(), self.outcome())

    @property
    def steps_of_epoch(self) -> int:
        """Return the number of steps of an epoch."""
        return math.ceil(len(self.examples) / self.recipe.batch_size)

    @property
    def is_over(self) -> bool:
        """Return whether the stop rule is met, the run has given up, or the epochs are over."""
        return self.state.stopped or self.has_given_up or self.state.epoch >= self.recipe.epochs

    @property
    def has_given_up(self) -> bool:
        """Return whether the loss has not fallen for `patience` epochs."""
        return has_given_up(self.state.history["loss"], self.recipe.patience)

    def order(self) -> Tensor:
        """Return the order of the examples in the next epoch; seed dropout for it, if there is any.

        Dropout draws from PyTorch's global generator, which the caller restores. Without dropout it
        is not seeded: that takes as long as a step of a small network.
        """
        order, dropout = numpy.random.SeedSequence(
            [self.recipe.seed, self.state.epoch]
        ).generate_state(2, numpy.uint64)
        if self.recipe.dropout:
            torch.manual_seed(int(dropout))
        generator = torch.Generator().manual_seed(int(order))
        return torch.randperm(len(self.examples), generator=generator)

    def learning_rates(self, steps: int) -> list[float]:
        """Return the learning rate of each step of the next epoch."""
        rates = learning_rates(self.recipe, self.state.history["loss"], steps)
        self.last_rate = rates[-1]
        return rates

    def after_epoch(self, loss: float, error: float, seconds: float) -> None:
        """Record an epoch, check the stop rule, and write checkpoint and state if they are due.

        Raise GentoolError if the loss is not finite.
        """
        state = self.state
        state.epoch += 1
        for name, value in {"epoch": state.epoch, "loss": loss, "error": error}.items():
            state.history[name].append(value)
        speed = len(self.examples) / seconds
        report = EpochReport(state.epoch, loss, error, speed, self.last_rate, seconds)
        self.policy.on_epoch(report)
        if not math.isfinite(loss):
            raise GentoolError(
                f"training diverged in epoch {state.epoch} (loss {loss}); lower --lr"
            )
        state.stopped = self._meets_stop_rule()
        if not state.stopped:
            state.keep_best()
        self._keep_at_thresholds()
        every = self.policy.save_every
        if every and state.epoch % every == 0:
            self.write_checkpoint()
        if time.monotonic() - self.saved_at > SECONDS_BETWEEN_STATES:
            self.save_state()

    def result(self) -> tuple[nn.Module, Outcome]:
        """Return the network that a run ends with, in evaluation mode, and its outcome.

        That is the last one, or of a run that collapsed the one after its best epoch, and a note
        says so. The state is left as it is, so that the run can be continued.
        """
        state, outcome = self.state, self.outcome()
        losses = state.history["loss"]
        if state.stopped or not state.best or losses[-1] < COLLAPSE * min(losses):
            return state.model.eval(), outcome
        best = copy.deepcopy(state.model).eval()
        best.load_state_dict(state.best)
        before = self.outcome(best)
        if outcome.train_loss is not None and not (
            before.train_loss is not None and before.train_loss < outcome.train_loss
        ):
            return state.model.eval(), outcome
        epoch = losses.index(min(losses)) + 1
        note = (
            f"training collapsed: the network is that of epoch {epoch}, with a training loss of "
            f"{min(losses):.4g}; after epoch {state.epoch} it was {losses[-1]:.4g}; lower --lr"
        )
        return best, replace(before, notes=(*before.notes, note))

    def outcome(self, model: nn.Module | None = None) -> Outcome:
        """Evaluate the network, in evaluation mode, and return its outcome so far.

        `model` is the network of another epoch of the run; None: the current one.
        """
        state, sets = self.state, self.sets
        model = state.model if model is None else model
        train_loss, train_error = evaluate(model, sets.subset, self.group)
        (confusion_loss, confusion_error), (test_loss, test_error) = (
            evaluate(model, part, self.group) if len(part) else (None, None)
            for part in (sets.confusion, sets.test)
        )
        outcome = Outcome(
            epochs=state.epoch,
            stop_rule_met=state.stopped,
            gave_up=not state.stopped and self.has_given_up,
            train_loss=None,
            train_error=train_error,
            confusion_loss=None,
            confusion_error=confusion_error,
            test_loss=None,
            test_error=test_error,
            training_mode_loss=state.history["loss"][-1] if state.epoch else None,
            training_mode_error=state.history["error"][-1] if state.epoch else None,
            history={name: list(values) for name, values in state.history.items()},
            steps=state.epoch * self.steps_of_epoch,
        )
        return outcome.with_losses(
            train_loss=train_loss, confusion_loss=confusion_loss, test_loss=test_loss
        )

    def _meets_stop_rule(self) -> bool:
        """Return whether the stop rule is met, in the mode that the recipe takes the loss in.

        In training mode it is the running loss of the epoch, whatever the errors are, as in the
        first author's code.
        """
        is_worth = self.recipe.stop_on == "training" or self._is_worth_checking()
        return is_worth and self._fits()

    def _fits(self) -> bool:
        """Return whether the loss, and the error of evaluation mode, meet the stop rule now."""
        if self.recipe.stop_on == "training":
            return self.state.history["loss"][-1] < self.recipe.stop_loss
        return meets_stop_rule(self.state.model, self.examples, self.recipe.stop_loss, self.group)

    def _keep_at_thresholds(self) -> None:
        """Pass the network to `on_threshold` for each threshold that its loss first falls below."""
        state, waiting = self.state, [t for t in self.policy.keep_at if t not in self.state.kept]
        if not waiting:
            return
        loss, error = evaluate(state.model, self.examples, self.group)
        passed = [threshold for threshold in waiting if loss < threshold]
        outcome = self.outcome() if passed else None
        for threshold in passed:
            met = replace(outcome, stop_rule_met=error == 0, gave_up=False)
            self.policy.on_threshold(state.model.eval(), met, threshold)
        state.kept += passed

    def _is_worth_checking(self) -> bool:
        """Return whether to check the stop rule now; a check costs up to a third of an epoch.

        It is checked at a training-mode loss near that of the rule; at every fifth epoch where the
        loss in evaluation mode may be far lower (dropout raises the training-mode loss, which is
        also the mean over an epoch in which it fell); and at the last epoch.
        """
        epoch, loss = self.state.epoch, self.state.history["loss"][-1]
        near, far = 3 * self.recipe.stop_loss, 30 * self.recipe.stop_loss
        may_be_lower = bool(self.recipe.dropout) or loss < far
        is_last = epoch == self.recipe.epochs or self.has_given_up
        return loss < near or (epoch % 5 == 0 and may_be_lower) or is_last

    def save_state(self) -> None:
        """Write the state file, where the policy says so and this is the main process."""
        path = self.policy.state_path if self.group.is_main else None
        if path is not None:
            self.state.write(path, self.recipe)
            self.saved_at = time.monotonic()


def _check_batches(recipe: Recipe, images: int) -> None:
    """Raise GentoolError if batch norm would have to take the variance of a single number."""
    if not recipe.batch_norm or images // math.ceil(images / recipe.batch_size) > 1:
        return
    model = build(recipe)
    shapes = output_shapes(model.eval(), recipe.input_shape)
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    if any(
        isinstance(model.get_submodule(name), norms) and math.prod(shape[1:]) == 1
        for name, shape in shapes.items()
    ):
        remedy = "--batch-size 2 or more" if recipe.batch_size < 2 else "more images"
        raise GentoolError(
            f"batch norm needs two images in each batch, but {images} in batches of "
            f"{recipe.batch_size} leave one alone; take {remedy}, or --batch-norm none"
        )


def _as_gathered(examples: Examples, is_convolutional: bool) -> Examples:
    """Return examples in the form that training steps gather batches from.

    They are normalised at once, except for convolutions on a GPU: there uint8 images take a quarter
    of the memory, and each step normalises its batch.
    """
    if not is_convolutional:
        return examples.normalised()
    on_gpu = examples.labels.device.type == "cuda"
    return (examples if on_gpu else examples.normalised()).channels_last()
