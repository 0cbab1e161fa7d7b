"""The sharpness of one network at one α: search, then judge the point that was found.

ζ_α(w) = max over |νᵢ| ≤ α(|wᵢ| + 1) of L(f_{w+ν}) − L(f_w). What is reported is the rise at a point
that was checked to be in the box and evaluated over the whole set in float64, so that it is a true
lower bound of ζ however the search went. It is never negative, for ν = 0 is in the box.
"""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gentool.common.errors import GentoolError
from gentool.data.examples import Examples
from gentool.numerics.device import fast_products
from gentool.numerics.memory import memory_budget
from gentool.sharpness.autotune import Batching, choose
from gentool.sharpness.bounds import first_order, interval_bound
from gentool.sharpness.box import Box, box
from gentool.sharpness.definitions import defines
from gentool.sharpness.evaluate import Evaluation, evaluate
from gentool.sharpness.forward import ways_of
from gentool.sharpness.functional import Subject
from gentool.sharpness.objective import Objective, Spent
from gentool.sharpness.search.baselines import METHODS, lbfgsb_run, run
from gentool.sharpness.search.enumeration import check_enumerable, enumerate_corners
from gentool.sharpness.search.multi_start import DEFAULT_STEPS, multi_start
from gentool.sharpness.search.protocols import m_sharpness
from gentool.sharpness.search.state import OutOfTimeError, Problem, Start

FEW_PARAMETERS = 1024  # with which float64 costs nothing
EXACT = "exact"
KESKAR2017 = "keskar2017"
LINE_SEARCHES = ("lbfgsb", "lbfgsb-subspace", KESKAR2017)  # to which TF32's rounding is a slope
FINEST_FLOAT32 = 1e-5  # α below which the box has too few points in float32


@dataclass(frozen=True)
class SearchOptions:
    """How to search.

    `restarts` None: one a class, ten at most, and ten others; `seconds` and `units` None: no limit.
    """

    method: str = "default"
    restarts: int | None = None
    steps: int = DEFAULT_STEPS
    seconds: float | None = None
    units: float | None = None
    seed: int = 0
    batching: str = "auto"
    offset: float = 1.0  # of the box, |νᵢ| ≤ α(|wᵢ| + offset)


@dataclass(frozen=True)
class Found:
    """The worst point that a search found, and what it cost to find.

    `stopped` is None where the search went to its end, else "time" or "interrupted".
    `overflowed` says that points were met whose loss is no finite number.
    """

    alpha: float
    method: str
    before: Evaluation
    after: Evaluation
    point: Tensor  # (P,), w + ν
    starts: list[Start]
    spent: Spent
    units: float
    precision: str
    batching: Batching
    stopped: str | None
    overflowed: bool

    @property
    @defines("sharpness")
    def rise(self) -> float:
        """Largest rise of the training loss found in the box: a lower bound of the maximum.

            max over |νᵢ| ≤ α(|wᵢ|+1) of L(f_{w+ν}) − L(f_w)

        Neyshabur et al., Exploring Generalization in Deep Learning, NIPS 2017.
        """
        return self.after.loss - self.before.loss

    @property
    @defines("sharpness_keskar")
    def keskar(self) -> float:
        """The same rise over one plus the loss; Keskar et al. multiply it by 100.

            sharpness / (1 + L(f_w))

        Keskar et al., On Large-Batch Training for Deep Learning, ICLR 2017.
        """
        return self.rise / (1 + self.before.loss)


class Finder:
    """Sharpness of one network over one set, at any α. `subject` and examples on one device.

    Raises GentoolError on a device without float64.
    """

    def __init__(
        self,
        subject: Subject,
        examples: Examples,
        options: SearchOptions,
        show: Callable[[Problem], None] = lambda problem: None,
    ) -> None:
        device = examples.labels.device
        if device.type == "mps":
            raise GentoolError("sharpness is judged in float64, which mps lacks; use --device cpu")
        self.subject = subject.to(device)
        self.examples, self.options, self.show = examples, options, show
        self.before = evaluate(self.subject, examples, self.subject.weights)
        self._is_small = len(self.subject.weights) <= FEW_PARAMETERS
        self._gradient: Tensor | None = None
        self._prepared: dict[torch.dtype, tuple[Objective, Batching]] = {}

    def compare(self, alpha: float, units: float) -> Iterator[Found]:
        """What each of the other searches finds at one α, at a cost of so many units at most."""
        for name in METHODS:
            if name != "default":
                options = replace(self.options, method=name, units=units, seconds=None)
                yield self.with_options(options).find(alpha)

    def exact(self, alpha: float) -> Found:
        """The highest corner, by trying them all; GentoolError for a network that is not linear."""
        check_enumerable(self.subject)
        return self.with_options(replace(self.options, method=EXACT))._find(alpha, torch.float64)

    def first_order(self, alpha: float) -> float:
        """Σ rᵢ |gᵢ|, the rise of the linearised loss."""
        if self._gradient is None:
            dtype = torch.float64 if self._is_small else torch.float32
            objective, _ = self.objective(dtype)
            self._gradient = objective.gradients(objective.subject.weights[None])[1][0]
        return first_order(self._gradient, self.subject.weights, alpha)

    def m_sharpness(self, alpha: float) -> float:
        """The maximum of each mini-batch, averaged."""
        dtype = torch.float64 if self._is_small else torch.float32
        within = box(self.subject.weights, alpha, dtype, self.options.offset)
        return m_sharpness(self.objective(dtype)[0], within, self.options.seed)

    def interval_bound(self, alpha: float) -> float | None:
        """A bound of the rise from above, for MLPs."""
        return interval_bound(self.subject, self.examples, alpha, self.before.loss)

    def with_options(self, options: SearchOptions) -> "Finder":
        """The same network and examples, searched otherwise."""
        other = copy.copy(self)
        other.options = options
        return other

    def find(self, alpha: float) -> Found:
        """The worst point at one α."""
        dtype = torch.float64 if self._is_small or alpha < FINEST_FLOAT32 else torch.float32
        found = self._find(alpha, dtype)
        if found.overflowed and dtype is torch.float32 and found.stopped is None:
            return self._find(alpha, torch.float64)
        return found

    def objective(self, dtype: torch.dtype) -> tuple[Objective, Batching]:
        """The loss in a precision, and how candidates are batched."""
        if dtype not in self._prepared:
            device = self.examples.labels.device
            examples = self.examples.normalised() if dtype is torch.float32 else self.examples
            if not self.subject.mlp:
                examples = examples.channels_last()
            objective = Objective(
                self.subject.to(device, dtype), examples, memory=memory_budget(device)
            )
            asked = self.options.batching
            if asked not in ("auto", *ways_of(self.subject)):
                raise GentoolError(
                    f"--batching {asked} is for MLPs; take auto, loop, vmap or compiled"
                )
            with fast_products():
                batching = choose(objective) if asked == "auto" else Batching(asked)
            self._prepared[dtype] = replace(objective, batching=batching.chosen), batching
        objective, batching = self._prepared[dtype]
        return replace(objective, spent=Spent()), batching

    def problem(self, alpha: float, dtype: torch.dtype) -> tuple[Problem, Batching]:
        """A search that has not begun."""
        objective, batching = self.objective(dtype)
        options = self.options
        deadline = float("inf")
        if options.seconds is not None:
            deadline = time.monotonic() + options.seconds
        generator = torch.Generator().manual_seed(options.seed)
        units = float("inf") if options.units is None else options.units
        return Problem(
            objective,
            box(self.subject.weights, alpha, dtype, self.options.offset),
            self.before.loss,
            generator,
            units=units,
            deadline=deadline,
            show=self.show,
        ), batching

    def _find(self, alpha: float, dtype: torch.dtype) -> Found:
        problem, batching = self.problem(alpha, dtype)
        began, stopped = time.perf_counter(), None
        if alpha > 0:  # at 0 the box is the point w
            try:
                with fast_products(tf32=self.options.method not in LINE_SEARCHES):
                    self._search(problem)
            except OutOfTimeError:
                stopped = "time"
            except KeyboardInterrupt:
                stopped = "interrupted"
        problem.objective.spent.seconds = time.perf_counter() - began
        point, after = self._judge(problem)
        return Found(
            alpha=alpha,
            method=self.options.method,
            before=self.before,
            after=after,
            point=point,
            starts=problem.starts,
            spent=problem.objective.spent,
            units=problem.units_spent,
            precision=str(dtype).removeprefix("torch."),
            batching=batching,
            stopped=stopped,
            overflowed=problem.overflowed,
        )

    def _search(self, problem: Problem) -> None:
        if self.options.method == "default":
            multi_start(problem, self.options.restarts, self.options.steps)
        elif self.options.method == KESKAR2017:
            lbfgsb_run(problem, None)
        elif self.options.method == EXACT:
            enumerate_corners(problem)
        else:
            run(self.options.method, problem)

    def _judge(self, problem: Problem) -> tuple[Tensor, Evaluation]:
        """The best point and its evaluation: w itself where nothing higher was found."""
        w = self.subject.weights
        point = problem.best_point
        if point is None and problem.promising is not None:
            point = problem.box.corner(problem.promising)
        if point is None:
            return w, self.before
        check_inside(problem.box, point)
        after = evaluate(self.subject, self.examples, point)
        if not after.loss > self.before.loss or after.loss == float("inf"):
            return w, self.before
        return point, after


def check_inside(within: Box, point: Tensor) -> None:
    """The proof that a point is in the box; AssertionError, for it cannot be outside."""
    assert within.contains(point), "the search left its box"
