"""Decide whether the state of one run is that of another with more epochs. No torch."""

from pathlib import Path

from gentool.common.errors import GentoolError
from gentool.records.recipe import Recipe, Role, fields_with
from gentool.training.schedules import SPREAD_OVER_EPOCHS, has_given_up


class OtherRunError(GentoolError):
    """Report that a state belongs to a run with other options than the limits."""


def check_continuation(path: Path, saved: Recipe, asked: Recipe, losses: list[float]) -> None:
    """Raise GentoolError if a state is none that the run of a recipe passes through.

    `saved` is the recipe of the state in the file `path`, `losses` those of its epochs. The two
    recipes may differ in the limits, epochs and patience: the state is then one of the longer run,
    bit for bit, unless the schedule of the learning rate is spread over all epochs, or the longer
    run would have ended before.
    """
    limits = fields_with(Role.LIMIT)
    before, now = saved.to_json(), asked.to_json()
    for name, value in now.items():
        if before[name] != value and name not in limits:
            raise OtherRunError(
                f"{path} is of a run with {name} {before[name]!r}, not {value!r}; "
                "resume with the same options or start over with --force"
            )
    if saved.epochs != asked.epochs and asked.schedule in SPREAD_OVER_EPOCHS:
        raise GentoolError(
            f"the schedule {asked.schedule} is spread over all epochs, {saved.epochs} of them in "
            f"{path}; resume with --epochs {saved.epochs}, or start over with --force"
        )
    if asked.epochs < len(losses):
        raise GentoolError(
            f"{path} is of a run after {len(losses)} epochs; --epochs {asked.epochs} is fewer, "
            "name at least as many, or start over with --force"
        )
    if saved.patience != asked.patience:
        for epoch in range(1, len(losses)):
            if has_given_up(losses[:epoch], asked.patience):
                raise GentoolError(
                    f"with --patience {asked.patience} the run of {path} ends after {epoch} "
                    f"epochs, and it is at {len(losses)}; name more, or start over with --force"
                )
