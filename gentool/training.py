"""Training: from a recipe and its examples to a trained network and its outcome.

The stop rule is judged in evaluation mode on everything that is trained on: a rule on the
training-mode loss never fires with dropout. Every random choice of an epoch comes from the seed and
the number of that epoch, so that a resumed run needs no state of any generator to repeat what an
uninterrupted one does, bit for bit on a CPU.
"""

import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gentool.errors import GentoolError
from gentool.files import write_whole
from gentool.models import build, initialised
from gentool.recipe import Outcome, Recipe
from gentool.registry import Registry
from gentool.training_set import Examples, TrainingSet

OPTIMIZERS = Registry("optimizer")
SCHEDULES = Registry("schedule")

SECONDS_BETWEEN_STATES = 10.0
EVALUATION_BATCH = 1000
SMALL_STEP = 2**24  # multiplications of a forward pass


@OPTIMIZERS.register
def sgd(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(
        parameters, lr=recipe.lr, momentum=recipe.momentum or 0.0, weight_decay=recipe.weight_decay
    )


@OPTIMIZERS.register
def adam(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Adam with PyTorch's betas; weight decay is decoupled (AdamW)."""
    return torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)


@SCHEDULES.register
def constant(epoch: float, epochs: int) -> float:
    """The learning rate stays as it is."""
    return 1.0


@SCHEDULES.register
def cosine(epoch: float, epochs: int) -> float:
    """Half a cosine from the learning rate to 0 at the last epoch."""
    return (1 + math.cos(math.pi * epoch / epochs)) / 2


@SCHEDULES.register
def one_cycle(epoch: float, epochs: int) -> float:
    """Up from 1/25 for a quarter of the epochs, then half a cosine down (Smith, 2018)."""
    rise = 0.25 * epochs
    if epoch < rise:
        return 1 / 25 + (1 - 1 / 25) * epoch / rise
    return (1 + math.cos(math.pi * (epoch - rise) / (epochs - rise))) / 2


@SCHEDULES.register
def exponential(epoch: float, epochs: int) -> float:
    """Times 0.95 an epoch, as Zhang et al. (ICLR 2017) fit random labels."""
    return 0.95 ** math.floor(epoch)


@dataclass
class State:
    """A run between two epochs, whole: what a resumed run goes on from."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    history: dict[str, list[float]] = field(
        default_factory=lambda: {"epoch": [], "loss": [], "error": []}
    )
    stopped: bool = False

    def write(self, path: Path, recipe: Recipe) -> None:
        """Write the state, whole or not at all."""
        content = io.BytesIO()
        torch.save(
            {
                "recipe": recipe.to_json(),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "epoch": self.epoch,
                "history": self.history,
                "stopped": self.stopped,
            },
            content,
        )
        write_whole(path, content.getvalue())

    def load(self, path: Path, recipe: Recipe) -> None:
        """Go on from a written state; GentoolError where it is damaged or of another recipe."""
        try:
            saved = torch.load(path, weights_only=True, map_location="cpu")
            other = Recipe.from_json(saved["recipe"]).to_json()
        except Exception as error:  # torch.load raises anything on a damaged file
            raise GentoolError(f"{path} is no state of a run; start over with --force") from error
        for name, value in recipe.to_json().items():
            if other[name] != value:
                raise GentoolError(
                    f"{path} is of a run with {name} {other[name]!r}, not {value!r}; "
                    "resume with the same options or start over with --force"
                )
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.epoch, self.history, self.stopped = saved["epoch"], saved["history"], saved["stopped"]


@dataclass(frozen=True)
class EpochReport:
    """What is known after an epoch: running loss and error in training mode, and the speed."""

    epoch: int
    loss: float
    error: float
    images_per_second: float


def train(
    recipe: Recipe,
    sets: TrainingSet,
    device: torch.device,
    *,
    state_path: Path | None = None,
    resume: bool = False,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
) -> tuple[nn.Module, Outcome]:
    """Train the network of a recipe until the stop rule is met or the epochs are over.

    The stop rule: mean cross-entropy below `stop_loss` and error zero on the subset and the
    confusion set together, in evaluation mode. `state_path` is where the state is kept while
    training (at the end of an epoch, not more often than every ten seconds); with `resume`,
    training goes on from there where it exists.

    Returns the network in evaluation mode, and the outcome. Raises GentoolError where the loss is
    no longer finite.
    """
    model = initialised(recipe).to(device)
    if any(isinstance(module, nn.Conv2d) for module in model.modules()):
        model = model.to(memory_format=torch.channels_last)
    optimizer = OPTIMIZERS[recipe.optimizer](list(model.parameters()), recipe)
    state = State(model, optimizer)
    schedule = SCHEDULES[recipe.schedule]
    if resume and state_path is not None and state_path.exists():
        state.load(state_path, recipe)
    examples = sets.all.normalised()
    saved_at = -math.inf
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        while state.epoch < recipe.epochs and not state.stopped:
            began = time.perf_counter()
            loss, error = _train_epoch(state, examples, recipe, schedule)
            seconds = time.perf_counter() - began
            state.epoch += 1
            for name, value in {"epoch": state.epoch, "loss": loss, "error": error}.items():
                state.history[name].append(value)
            on_epoch(EpochReport(state.epoch, loss, error, len(examples) / seconds))
            if not math.isfinite(loss):
                raise GentoolError(
                    f"training diverged in epoch {state.epoch} (loss {loss}); lower --lr"
                )
            state.stopped = _worth_checking(state, recipe) and _stop_rule_met(
                model, examples, recipe
            )
            if state_path is not None and time.monotonic() - saved_at > SECONDS_BETWEEN_STATES:
                state.write(state_path, recipe)
                saved_at = time.monotonic()
    return model.eval(), _outcome(state, sets)


def is_small(recipe: Recipe) -> bool:
    """Whether a step is too small to share between threads, which then wait for each other."""
    parameters = list(build(recipe).parameters())
    has_convolutions = any(parameter.dim() == 4 for parameter in parameters)
    multiplications = recipe.batch_size * sum(parameter.numel() for parameter in parameters)
    return not has_convolutions and multiplications < SMALL_STEP


def check_names(recipe: Recipe) -> None:
    """Raise UsageError, before any data is loaded, for an optimizer or schedule that is unknown."""
    OPTIMIZERS[recipe.optimizer]
    SCHEDULES[recipe.schedule]


def _train_epoch(
    state: State, examples: Examples, recipe: Recipe, schedule: Callable[[float, int], float]
) -> tuple[float, float]:
    """One pass over the examples in a new order; the running loss and error in training mode."""
    order, dropout = numpy.random.SeedSequence([recipe.seed, state.epoch]).generate_state(
        2, numpy.uint64
    )
    torch.manual_seed(
        int(dropout)
    )  # dropout knows no other generator; the caller's is kept by fork_rng
    shuffled = torch.randperm(len(examples), generator=torch.Generator().manual_seed(int(order)))
    # batches of nearly one size: a last batch of one image would have no variance to normalise by
    batches = shuffled.to(examples.labels.device).tensor_split(
        math.ceil(len(examples) / recipe.batch_size)
    )
    losses = torch.zeros((), dtype=torch.float64, device=examples.labels.device)
    errors = torch.zeros((), dtype=torch.int64, device=examples.labels.device)
    state.model.train()
    for step, indices in enumerate(batches):
        factor = schedule(state.epoch + step / len(batches), recipe.epochs)
        for group in state.optimizer.param_groups:
            group["lr"] = recipe.lr * factor
        images, labels = examples.batch(indices)
        logits = state.model(images)
        loss = cross_entropy(logits, labels)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()
        losses += loss.detach() * len(labels)
        errors += _wrong(logits, labels)
    return losses.item() / len(examples), errors.item() / len(examples)


def _worth_checking(state: State, recipe: Recipe) -> bool:
    """Whether to judge the stop rule after this epoch, a third of an epoch's work.

    At a training-mode loss near the rule's, where it may be met; at every fifth epoch, for with
    dropout the training-mode loss never comes near; and at the last.
    """
    near = state.history["loss"][-1] < 3 * recipe.stop_loss
    return near or state.epoch % 5 == 0 or state.epoch == recipe.epochs


def _stop_rule_met(model: nn.Module, examples: Examples, recipe: Recipe) -> bool:
    loss, error = evaluate(model, examples)
    return error == 0 and loss < recipe.stop_loss


def evaluate(model: nn.Module, examples: Examples) -> tuple[float, float]:
    """Mean cross-entropy and error, as a fraction, of a network in evaluation mode."""
    losses = torch.zeros((), dtype=torch.float64, device=examples.labels.device)
    errors = torch.zeros((), dtype=torch.int64, device=examples.labels.device)
    model.eval()
    with torch.inference_mode():
        for images, labels in examples.batches(EVALUATION_BATCH):
            logits = model(images)
            losses += cross_entropy(logits, labels, reduction="none").double().sum()
            errors += _wrong(logits, labels)
    return losses.item() / len(examples), errors.item() / len(examples)


def _wrong(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(dim=1) != labels).sum()


def _outcome(state: State, sets: TrainingSet) -> Outcome:
    train_loss, train_error = evaluate(state.model, sets.subset)
    confusion_loss, confusion_error = (
        evaluate(state.model, sets.confusion) if len(sets.confusion) else (None, None)
    )
    test_loss, test_error = evaluate(state.model, sets.test)
    return Outcome(
        epochs=state.epoch,
        stop_rule_met=state.stopped,
        train_loss=train_loss,
        train_error=train_error,
        confusion_loss=confusion_loss,
        confusion_error=confusion_error,
        test_loss=test_loss,
        test_error=test_error,
        history=state.history,
    )
