"""One network in training: its state, its examples, its stop rule and its checkpoints."""

import copy
import math
import time
from dataclasses import replace

import numpy
import torch
from torch import Tensor, nn

from gentool.common.errors import GentoolError
from gentool.data.examples import TrainingSet
from gentool.networks.models import has_convolutions
from gentool.numerics.compiled import compiled
from gentool.records.recipe import Outcome, Recipe, stop_check_of
from gentool.training.batches import as_gathered, check_batches
from gentool.training.bias_free_vgg import bias_free
from gentool.training.distributed import SINGLE_PROCESS, ProcessGroup
from gentool.training.evaluation import Look, evaluate, is_any_wrong, look, meets_stop_rule
from gentool.training.parts import EpochParts
from gentool.training.policy import CheckpointPolicy, EpochReport
from gentool.training.schedules import has_given_up, learning_rates
from gentool.training.state import State
from gentool.training.watch import RECORDED, WINDOW, LossWatch, running_loss, with_part

SECONDS_BETWEEN_STATES = 10.0
COLLAPSE = 10.0  # the last running loss over the least, from which a run has collapsed


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
        check_batches(recipe, len(sets.subset) + len(sets.confusion))
        recipe = replace(recipe, stop_check=stop_check_of(recipe))
        self.recipe, self.sets, self.policy, self.group = recipe, sets, policy, group
        self.state = State.initial(recipe, device)
        self.examples = as_gathered(sets.all, has_convolutions(self.state.model))
        self.module = group.parallel(self.state.model)  # called in training steps
        if device.type == "cuda" and group.size == 1:
            self.module = bias_free(self.state.model)
        if is_compiled:
            self.module = compiled(self.module)
        self.saved_at = -math.inf
        self.rates = [recipe.lr]
        self.begun = EpochParts()

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
            watched = [*self.state.watch.wrong, *self.state.keeping.wrong]
            if max(watched, default=0) >= len(self.examples):
                raise GentoolError(
                    f"{path or policy.state_path} does not fit its recipe: image {max(watched)} of "
                    f"{len(self.examples)}; start over with --force"
                )
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
        """Begin an epoch: return the order of the examples; seed dropout for it, if there is any.

        Dropout draws from PyTorch's global generator, which the caller restores. Without dropout it
        is not seeded: that takes as long as a step of a small network.
        """
        self.begun = EpochParts()
        order, dropout = numpy.random.SeedSequence(
            [self.recipe.seed, self.state.epoch]
        ).generate_state(2, numpy.uint64)
        if self.recipe.dropout:
            torch.manual_seed(int(dropout))
        generator = torch.Generator().manual_seed(int(order))
        return torch.randperm(len(self.examples), generator=generator)

    def learning_rates(self, steps: int) -> list[float]:
        """Return the learning rate of each step of the next epoch."""
        self.rates = learning_rates(self.recipe, self.state.history["loss"], steps)
        return self.rates

    def after_part(self, loss: float, error: float, images: int, steps: int) -> None:
        """Record the running loss and error of a part of the epoch; check the stop rule if due.

        With the stop check `steps` the epoch ends here where `state.stopped` is true afterwards;
        with `epoch` it has one part, and the rule is checked in `after_epoch`.
        """
        self.begun.add(loss, error, images, steps)
        if self.recipe.stop_check == "steps":
            self.state.steps = self.state.epoch * self.steps_of_epoch + self.begun.steps
            least = min(WINDOW, len(self.examples))
            self.state.recent = with_part(self.state.recent, loss, images, least)
            self._check_within_epoch(running_loss(self.state.recent))

    def after_epoch(self, loss: float, error: float, seconds: float) -> None:
        """Record an epoch, check the stop rule, and write checkpoint and state if they are due.

        Raise GentoolError if the loss is not finite.
        """
        state, steps = self.state, self.begun.steps or self.steps_of_epoch
        speed, rate = (self.begun.images or len(self.examples)) / seconds, self.rates[steps - 1]
        state.steps = state.epoch * self.steps_of_epoch + steps
        state.epoch += 1
        if self.examples.labels.device.type == "cpu":
            threads = torch.get_num_threads()
            state.threads += [threads] if state.threads[-1:] != [threads] else []
        for name, value in {"epoch": state.epoch, "loss": loss, "error": error}.items():
            state.history[name].append(value)
        self.begun = EpochParts()
        self.policy.on_epoch(EpochReport(state.epoch, loss, error, speed, rate, seconds))
        if not math.isfinite(loss):
            raise GentoolError(
                f"training diverged in epoch {state.epoch} (loss {loss}); lower --lr"
            )
        if self.recipe.stop_check == "epoch":
            state.stopped = self._is_worth_checking() and self._fits()
            if seen := self._look(state.watch, self._to_record(), loss):
                self._record(seen.loss)
        elif not state.stopped and self._is_last_epoch:
            state.stopped = self._fits()
        self._keep_at_thresholds()
        if state.stopped:
            self._record_at_stop()
        else:
            state.keep_best()
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
        history = self._history()
        outcome = Outcome(
            epochs=len(history["epoch"]),
            stop_rule_met=state.stopped,
            gave_up=not state.stopped and self.has_given_up,
            train_loss=None,
            train_error=train_error,
            confusion_loss=None,
            confusion_error=confusion_error,
            test_loss=None,
            test_error=test_error,
            training_mode_loss=history["loss"][-1] if history["loss"] else None,
            training_mode_error=history["error"][-1] if history["error"] else None,
            history=history,
            steps=state.steps,
            steps_to_loss_0_1=state.steps_to.get(0.1),
            steps_to_loss_0_01=state.steps_to.get(0.01),
            threads=state.threads[0] if len(state.threads) == 1 else None,
            notes=self._notes(),
        )
        return outcome.with_losses(
            train_loss=train_loss, confusion_loss=confusion_loss, test_loss=test_loss
        )

    def _notes(self) -> tuple[str, ...]:
        """Tell what keeps this run from the bytes of an uninterrupted one."""
        if len(self.state.threads) < 2:
            return ()
        numbers = ", then ".join(map(str, self.state.threads))
        return (f"steps were computed with {numbers} CPU threads, which round sums otherwise",)

    def _history(self) -> dict[str, list[float]]:
        """Return the history, with the epoch that has begun, if one has."""
        history = {name: list(values) for name, values in self.state.history.items()}
        if self.begun.parts:
            loss, error = self.begun.means()
            for name, value in {
                "epoch": self.state.epoch + 1,
                "loss": loss,
                "error": error,
            }.items():
                history[name].append(value)
        return history

    def _check_within_epoch(self, running: float) -> None:
        """Evaluate the network if it may have come below a threshold; `running` is the loss now.

        What `keep_at` waits for has a watch of its own, since it is no part of the recipe and must
        not change where the run stops.
        """
        state, stop_loss = self.state, self.recipe.stop_loss
        if seen := self._look(state.watch, [*self._to_record(), stop_loss], running):
            self._record(seen.loss)
            state.stopped = seen.error == 0 and seen.loss < stop_loss
        waiting = [loss for loss in self.policy.keep_at if loss not in state.kept]
        if seen := self._look(state.keeping, waiting, running):
            self._keep_at(seen.loss, seen.error)

    def _look(self, watch: LossWatch, thresholds: list[float], running: float) -> Look | None:
        """Evaluate the network if that is due; return what was seen of a loss below a threshold."""
        n = len(self.examples)
        trained = self.state.epoch + self.begun.images / n
        if not watch.is_due(thresholds, running, trained, is_end=self.begun.images in (0, n)):
            return None
        if watch.wrong and is_any_wrong(self.state.model, self.examples, watch.wrong):
            watch.evaluated += len(watch.wrong) / n
            return None
        seen = look(self.state.model, self.examples, max(thresholds), self.group)
        is_below = seen.is_whole and seen.loss < max(thresholds)
        watch.saw(seen.loss, running, seen.images / n, seen.wrong if is_below else ())
        return seen if is_below else None

    def _to_record(self) -> list[float]:
        """Return the losses to record the steps to that the network has not come below yet."""
        return [loss for loss in RECORDED if loss not in self.state.steps_to]

    def _record_at_stop(self) -> None:
        """Record the steps to what the network that stops has come below, if no look was due."""
        if self._to_record():
            loss, _ = evaluate(self.state.model, self.examples, self.group)
            self._record(loss)

    def _record(self, loss: float) -> None:
        """Record that the network has a loss in evaluation mode, after the steps so far."""
        for threshold in self._to_record():
            if loss < threshold:
                self.state.steps_to[threshold] = self.state.steps

    def _fits(self) -> bool:
        """Return whether the loss, and the error of evaluation mode, meet the stop rule now.

        In training mode it is the running loss of the epoch, whatever the errors are, as in the
        first author's code.
        """
        if self.recipe.stop_on == "training":
            return self.state.history["loss"][-1] < self.recipe.stop_loss
        return meets_stop_rule(self.state.model, self.examples, self.recipe.stop_loss, self.group)

    def _keep_at_thresholds(self) -> None:
        """After each epoch, evaluate a network that is yet to come below a loss of `keep_at`."""
        if any(threshold not in self.state.kept for threshold in self.policy.keep_at):
            self._keep_at(*evaluate(self.state.model, self.examples, self.group))

    def _keep_at(self, loss: float, error: float) -> None:
        """Pass the network to `on_threshold` for each threshold that its loss first falls below."""
        state = self.state
        passed = [t for t in self.policy.keep_at if t not in state.kept and loss < t]
        outcome = self.outcome() if passed else None
        for threshold in passed:
            met = replace(outcome, stop_rule_met=error == 0, gave_up=False)
            self.policy.on_threshold(state.model.eval(), met, threshold)
        state.kept += passed

    @property
    def _is_last_epoch(self) -> bool:
        return self.state.epoch == self.recipe.epochs or self.has_given_up

    def _is_worth_checking(self) -> bool:
        """Return whether to check the stop rule after this epoch; a check costs a third of one.

        It is checked at a training-mode loss near that of the rule; at every fifth epoch where the
        loss in evaluation mode may be far lower (dropout raises the training-mode loss, which is
        also the mean over an epoch in which it fell); and at the last epoch. In training mode it
        costs nothing.
        """
        if self.recipe.stop_on == "training":
            return True
        epoch, loss = self.state.epoch, self.state.history["loss"][-1]
        near, far = 3 * self.recipe.stop_loss, 30 * self.recipe.stop_loss
        may_be_lower = bool(self.recipe.dropout) or loss < far
        return loss < near or (epoch % 5 == 0 and may_be_lower) or self._is_last_epoch

    def save_state(self) -> None:
        """Write the state file, where the policy says so and this is the main process."""
        path = self.policy.state_path if self.group.is_main else None
        if path is not None:
            self.state.write(path, self.recipe)
            self.saved_at = time.monotonic()
