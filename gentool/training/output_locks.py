"""Lock the output of a training, so that two commands do not train one network at a time. No torch.

What two commands trained into one file would be a mixture: each resumes from the other's state.
"""

import time

from gentool.common.errors import GentoolError
from gentool.common.json import Json
from gentool.common.locks import OutputLock, lock_output, lock_path
from gentool.records.checkpoint_metadata import read, recipe_and_outcome
from gentool.records.recipe import Outcome, Recipe
from gentool.training.plan import PlannedRun

POLL = 0.2  # seconds


def lock_or_refuse(planned: PlannedRun) -> OutputLock:
    """Lock the output of a run; raise GentoolError if another process trains it."""
    locked = _lock(planned)
    if not isinstance(locked, OutputLock):
        raise GentoolError(
            f"{planned.path} is being trained by {_holder(locked)}; wait for it with --wait, or "
            "stop it first"
        )
    return locked


def try_to_lock(planned: PlannedRun) -> OutputLock | None:
    """Lock the output of a run; None if another process trains the same network.

    Raise GentoolError if another process trains a network with other options into it.
    """
    locked = _lock(planned)
    return locked if isinstance(locked, OutputLock) else None


def wait_for_output(planned: PlannedRun) -> OutputLock:
    """Lock the output of a run, as soon as no other process trains the same network.

    Raise GentoolError if another process trains a network with other options into it.
    """
    while True:
        locked = try_to_lock(planned)
        if locked is not None:
            return locked
        time.sleep(POLL)


def finished(planned: PlannedRun) -> tuple[Recipe, Outcome] | None:
    """Return recipe and outcome of the network that is asked for, if it is trained already."""
    if not planned.path.exists():
        return None
    try:
        recipe, outcome = recipe_and_outcome(read(planned.path))
    except GentoolError:
        return None  # another file; what is to be done with it is decided where it is written
    if outcome is None or planned.differences(recipe, outcome.stop_rule_met):
        return None
    return recipe, outcome


def is_locked(planned: PlannedRun) -> bool:
    """Return whether another process trains the network; raise GentoolError as `try_to_lock`."""
    if not lock_path(planned.path).exists():
        return False
    locked = try_to_lock(planned)
    if locked is not None:
        locked.release()
    return locked is None


def _lock(planned: PlannedRun) -> OutputLock | Json:
    about = {"recipe": _asked(planned)}
    locked = lock_output(planned.path, about)
    if isinstance(locked, dict) and "recipe" in locked and locked["recipe"] != about["recipe"]:
        raise GentoolError(
            f"{planned.path} is being trained with other options by {_holder(locked)}; name "
            "another file with -o, or stop it first"
        )
    return locked


def _asked(planned: PlannedRun) -> Json:
    """Return what was asked for: recipe and model options, as JSON has them."""
    values = planned.recipe.to_json()
    values |= {name: value for name, value in planned.model_options.items() if value is not None}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _holder(about: Json) -> str:
    if "pid" not in about:
        return "another process"
    return f"process {about['pid']} on {about.get('host') or 'this machine'}"
