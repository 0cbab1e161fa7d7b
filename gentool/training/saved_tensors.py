"""Put the tensors of a state file into a model and an optimizer, which are made from the recipe.

Names, shapes, types and settings are those of model and optimizer; the file has to agree. Its
numbers are copied into tensors laid out as the parameters are, since the kernels of optimizers take
for granted that a momentum is as large as its parameter.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gentool.common.errors import GentoolError
from gentool.records.ranges import shown
from gentool.records.recipe import Recipe
from gentool.training.schedules import learning_rates
from gentool.training.state_file import SavedState

STEP = "step"
LAST_STEP = 2**24  # where counting in float32 ends
_STATES = {
    torch.optim.SGD: ("momentum_buffer",),
    torch.optim.AdamW: (STEP, "exp_avg", "exp_avg_sq"),
}
"""What an optimizer holds for each parameter; all but `step`, which is one number, in its shape."""
_LATER_SETTINGS = {"decoupled_weight_decay"}  # of later versions of PyTorch
_NOT_NEGATIVE = ("exp_avg_sq", "running_var", "num_batches_tracked")


def fill(model: nn.Module, optimizer: torch.optim.Optimizer, saved: SavedState, steps: int) -> None:
    """Load the tensors of a state; raise GentoolError, with the field, if they do not fit.

    `steps` is the number of steps of an epoch.
    """
    _check_model(model, saved.model)
    if saved.best:
        _check_model(model, saved.best)
    if saved.groups is not None:
        _check_groups(optimizer, saved, steps)
    states = dict(_optimizer_states(model, optimizer, saved, _steps_taken(saved, steps)))
    model.load_state_dict(saved.model)  # copies into the parameters
    optimizer.load_state_dict(
        {"state": states, "param_groups": optimizer.state_dict()["param_groups"]}
    )


def _steps_taken(saved: SavedState, steps: int) -> int:
    """Return the number of steps of a run so far; only the epoch in which it stops may be cut."""
    last = saved.epoch * steps
    if saved.progress is None:
        return last
    taken, reached = saved.progress["steps"], saved.progress["steps_to"].values()
    first = max(0, last - steps) + 1 if saved.stopped else last
    if not first <= taken <= last:
        raise GentoolError(f"progress.steps is {taken}; {saved.epoch} epochs have {last}")
    if any(at is not None and at > taken for at in reached):
        raise GentoolError(f"progress.steps_to has more than the {taken} steps that were taken")
    return taken


def _check_model(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    expected = model.state_dict()
    if odd := sorted(expected.keys() ^ tensors.keys()):
        words = "is missing" if odd[0] in expected else "is of no layer of the model"
        raise GentoolError(f"model.{odd[0]} {words}")
    for name, tensor in expected.items():
        _check(f"model.{name}", tensors[name], tensor)


def _check(name: str, tensor: Tensor, like: Tensor) -> None:
    """Raise GentoolError unless a tensor has shape and type of another, and usable numbers."""
    for what, value, expected in (
        ("shape", tuple(tensor.shape), tuple(like.shape)),
        ("type", tensor.dtype, like.dtype),
    ):
        if value != expected:
            raise GentoolError(f"{name} has {what} {value}; it has to be {expected}")
    if not tensor.isfinite().all():
        raise GentoolError(f"{name} has numbers that are not finite")
    if name.endswith(_NOT_NEGATIVE) and (tensor < 0).any():
        raise GentoolError(f"{name} has negative numbers")


def _optimizer_states(
    model: nn.Module, optimizer: torch.optim.Optimizer, saved: SavedState, steps_taken: int
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Yield the index of each parameter with what the optimizer holds for it."""
    parameters = list(model.parameters())
    names = _STATES[type(optimizer)]
    may_lack = _without_gradient(model)
    if odd := sorted(saved.optimizer.keys() - set(range(len(parameters)))):
        raise GentoolError(f"optimizer.state.{odd[0]} is of no parameter of the model")
    for index, parameter in enumerate(parameters):
        tensors, where = saved.optimizer.get(index, {}), f"optimizer.state.{index}"
        if not tensors and (not saved.epoch or may_lack[index] or not _has_state(saved.recipe)):
            continue
        if odd := sorted(set(names) ^ tensors.keys()):
            words = "is missing" if odd[0] in names else "is unknown"
            raise GentoolError(f"{where}.{odd[0]} {words}")
        state = {}
        for name in names:
            like = torch.empty(()) if name == STEP else parameter
            _check(f"{where}.{name}", tensors[name], like)
            state[name] = torch.empty_like(like).copy_(tensors[name])
        taken = min(steps_taken, LAST_STEP)
        if STEP in state and state[STEP] != taken:
            raise GentoolError(f"{where}.step is {state[STEP]:g}; it has to be {taken}")
        yield index, state


def _has_state(recipe: Recipe) -> bool:
    """Return whether the optimizer of a recipe holds anything between steps."""
    return recipe.optimizer != "sgd" or bool(recipe.momentum)


def _without_gradient(model: nn.Module) -> list[bool]:
    """Return for each parameter whether it may have no gradient: a bias before batch norm."""
    has_norm = any(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in model.modules())
    biases = {id(m.bias) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    return [has_norm and id(parameter) in biases for parameter in model.parameters()]


def _check_groups(optimizer: torch.optim.Optimizer, saved: SavedState, steps: int) -> None:
    """Raise GentoolError unless the settings in a file of format 1 are those of the recipe.

    They are not used. The learning rate is that of the recipe, or of the last step.
    """
    expected = optimizer.state_dict()["param_groups"]
    if len(saved.groups) != len(expected):
        raise GentoolError(f"optimizer.param_groups has {len(saved.groups)} groups, not one")
    rates = [saved.recipe.lr]
    if saved.epoch:
        losses = saved.history["loss"][:-1]
        rates.append(learning_rates(saved.recipe, losses, steps)[-1])
    for group, ours in zip(saved.groups, expected, strict=True):
        if missing := sorted(ours.keys() - group.keys() - _LATER_SETTINGS):
            raise GentoolError(f"optimizer.param_groups.{missing[0]} is missing")
        for name in sorted(ours.keys() & group.keys()):
            value = group[name]
            allowed = rates if name == "lr" else [ours[name]]
            is_switch = isinstance(value, bool)
            if is_switch is not isinstance(allowed[0], bool) or value not in allowed:
                raise GentoolError(
                    f"optimizer.param_groups.{name} is {shown(value)}; by the recipe it is "
                    f"{shown(allowed[-1])}"
                )
