"""Choose when a network is evaluated, to see where its loss falls below a threshold. No torch.

An evaluation costs about a third of training steps on as many images. The running loss of the
steps costs nothing, and tells when to evaluate: the loss in evaluation mode is expected to be as
many times as large as it was at the evaluation before. Everything follows from the losses and from
counts, never from a clock, so that a recipe gives the same network on each machine.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from gentool.common.json import Json
from gentool.records import ranges
from gentool.records.recipe import Recipe
from gentool.records.schemas import list_of, object_of

SHARE = 0.6  # images evaluated for each image trained on: a fifth of the time of training,
FIRST = 2.0  # and so many times the training set besides, for runs of few epochs
NEAR = 3.0  # times a threshold, from where evaluations begin
FALL = 0.7  # of the loss since the evaluation before, after which there is another
RATIO, RATIO_WITH_DROPOUT = 1 / 4, 1 / 30  # before the first evaluation: rather low
WINDOW = 500  # images of which the running loss is the mean: few have a large part of the loss
LOWEST_RATIO, HIGHEST_RATIO = 1e-4, 10.0

RECORDED = (0.1, 0.01)
"""Losses of which the steps until they are reached are recorded, as Jiang et al. (2020) do."""


WATCH = object_of(
    {
        "ratio": ranges.POSITIVE,
        "checked": ranges.NOT_NEGATIVE.or_none(),
        "evaluated": ranges.NOT_NEGATIVE,
        "wrong": list_of(ranges.whole_number(0)),
    },
    required=("ratio", "checked", "evaluated", "wrong"),
)
"""What a state holds of a watch."""


RECENT = list_of(list_of(ranges.NOT_NEGATIVE, 2, 2))
"""The running losses of the last parts of epochs, each with its number of images."""


def with_part(
    recent: Sequence[list[float]], loss: float, images: int, least: int
) -> list[list[float]]:
    """Return the losses of the last parts with another one: no more than have `least` images."""
    recent = [*recent, [loss, images]]
    while sum(count for _, count in recent[1:]) >= least:
        recent = recent[1:]
    return recent


def running_loss(recent: Sequence[list[float]]) -> float:
    """Return the mean loss of the images of the last parts."""
    return sum(loss * count for loss, count in recent) / sum(count for _, count in recent)


@dataclass
class LossWatch:
    """Hold what evaluations of a run have shown, and say when the next one is due.

    `ratio` is the loss in evaluation mode over the running loss, as last seen; `checked` is the
    loss that was seen last, None before the first evaluation; `evaluated` counts evaluations of
    the whole training set. `wrong` are some images that were wrong where the loss was low enough.
    """

    ratio: float = RATIO
    checked: float | None = None
    evaluated: float = 0.0
    wrong: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, recipe: Recipe) -> "LossWatch":
        """Return the watch of a run before its first step."""
        return cls(RATIO_WITH_DROPOUT if recipe.dropout else RATIO)

    def to_json(self) -> Json:
        return asdict(self)

    def is_due(
        self, thresholds: Sequence[float], running: float, trained: float, is_end: bool = False
    ) -> bool:
        """Return whether to evaluate the network now.

        `thresholds` are those that the loss has not been seen below, or that wait for the last
        errors; `running` is the running loss of the steps just taken, `trained` the number of
        epochs so far, and `is_end` says whether one ends here.
        """
        if not thresholds or self.evaluated > FIRST + SHARE * trained:
            return False
        target, expected = max(thresholds), self.ratio * running
        if self.checked is not None and self.checked < target:  # errors are left
            return expected < NEAR * target
        has_fallen = self.checked is None or expected < FALL * self.checked
        if is_end:
            expected = min(expected, running)  # should the ratio have been seen too high
        return expected < target or (expected < NEAR * target and has_fallen)

    def saw(self, loss: float, running: float, part: float, wrong: Sequence[int] = ()) -> None:
        """Record an evaluation of a part of the training set: its mean loss and its wrong images.

        `running` is the running loss before.
        """
        self.evaluated += part
        self.wrong = list(wrong)
        if not math.isfinite(loss):
            return
        if 0 < running < math.inf:
            ratio = loss / running
            if self.checked is not None:
                ratio = (ratio * self.ratio) ** 0.5  # a part has few images: less noise
            self.ratio = min(max(ratio, LOWEST_RATIO), HIGHEST_RATIO)
        self.checked = loss
