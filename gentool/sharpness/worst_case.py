"""Search the sharpness of one network at one α, then evaluate the best point in float64.

ζ_α(w) = max over |νᵢ| ≤ α(|wᵢ| + 1) of L(f_{w+ν}) − L(f_w). The rise is reported at a point that
was checked to be in the box and evaluated over the whole set in float64, so that it is a true lower
bound of ζ however the search went. It is never negative, for ν = 0 is in the box.
"""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gentool.data.examples import Examples
from gentool.numerics.device import fast_products
from gentool.sharpness.autotune import BatchingChoice
from gentool.sharpness.bounds import first_order, interval_bound
from gentool.sharpness.box import Box, box
from gentool.sharpness.definitions import defines
from gentool.sharpness.evaluate import Evaluation, evaluate_point
from gentool.sharpness.functional import FunctionalNetwork
from gentool.sharpness.objective import Spent
from gentool.sharpness.prepared import PreparedNetwork
from gentool.sharpness.search.baselines import METHODS, lbfgsb_run, run_method
from gentool.sharpness.search.bits import corner_at
from gentool.sharpness.search.enumeration import check_enumerable, enumerate_corners
from gentool.sharpness.search.multi_start import multi_start
from gentool.sharpness.search.protocols import stochastic_ascent
from gentool.sharpness.search.state import OutOfTimeError, SearchState, Start

EXACT = "exact"
KESKAR2017, NEYSHABUR2017 = "keskar2017", "neyshabur2017"
UNLIMITED = ("default", KESKAR2017, NEYSHABUR2017)  # searches that end by themselves
LINE_SEARCHES = ("lbfgsb", "lbfgsb-subspace", KESKAR2017)  # TF32's rounding misleads them
FINEST_FLOAT32 = 1e-5  # α below which the box has too few points in float32


@dataclass(frozen=True)
class SearchOptions:
    """Hold the settings of a search.

    `restarts` None: two a class, of ten at most, and ten others; `steps` None: until the search has
    arrived; `seconds` and `units` None: no limit.
    """

    method: str = "default"
    restarts: int | None = None
    steps: int | None = None
    seconds: float | None = None
    units: float | None = None
    seed: int = 0
    batching: str = "auto"
    offset: float = 1.0  # of the box, |νᵢ| ≤ α(|wᵢ| + offset)


@dataclass(frozen=True)
class SearchResult:
    """Hold the worst point of a search, and the cost of the search.

    `stopped` is None if the search went to its end, else "time" or "interrupted". `is_evaluated` is
    False if it was stopped before any point was evaluated: the rise of 0 then says nothing.
    `overflowed` is True if the loss of some point was not finite.
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
    batching: BatchingChoice
    stopped: str | None
    overflowed: bool
    is_evaluated: bool = True

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


class WorstCaseSearch:
    """Search the sharpness of one network over one set, at any α.

    Raise GentoolError on a device without float64.
    """

    def __init__(
        self,
        network: FunctionalNetwork,
        examples: Examples,
        options: SearchOptions,
        show: Callable[[SearchState], None] = lambda state: None,
    ) -> None:
        self._prepared_since: float | None = time.monotonic()  # until a search has begun
        self.prepared = PreparedNetwork(network, examples, options.batching)
        self.options, self.show = options, show
        self.part = (0, 1)  # number, and of how many searches

    @property
    def network(self) -> FunctionalNetwork:
        return self.prepared.network

    @property
    def before(self) -> Evaluation:
        return self.prepared.before

    def compare(self, alpha: float, units: float) -> Iterator[SearchResult]:
        """Yield the result of each other search at one α, at a cost of so many units at most."""
        for name in METHODS.names:
            if name != "default":
                options = replace(self.options, method=name, units=units, seconds=None)
                yield self.with_options(options).find(alpha)

    def exact(self, alpha: float) -> SearchResult:
        """Return the highest of all corners; raise GentoolError if the network is not linear."""
        check_enumerable(self.network)
        return self.with_options(replace(self.options, method=EXACT))._find(alpha, torch.float64)

    def first_order(self, alpha: float) -> float:
        """Return Σ rᵢ |gᵢ|, the rise of the linearised loss."""
        return first_order(self.prepared.gradient, self.network.weights, alpha)

    def interval_bound(self, alpha: float) -> float | None:
        """Return an upper bound of the rise, for MLPs."""
        return interval_bound(self.network, self.prepared.examples, alpha, self.before.loss)

    def with_options(self, options: SearchOptions) -> "WorstCaseSearch":
        """Return a search of the same network and examples with other options."""
        other = copy.copy(self)
        other.options = options
        return other

    def with_seconds(self, seconds: float) -> "WorstCaseSearch":
        """Return the same search with another time limit."""
        return self.with_options(replace(self.options, seconds=seconds))

    def on_part(self, indices: Tensor, number: int, parts: int) -> "WorstCaseSearch":
        """Return a search over some of the examples, which is one of several."""
        other = copy.copy(self)
        other.prepared, other.part = self.prepared.part(indices), (number, parts)
        other._prepared_since = None  # its time begins with its search
        return other

    def find(self, alpha: float) -> SearchResult:
        """Search the worst point at one α; in float64 if the loss overflows in float32."""
        dtype = torch.float64 if alpha < FINEST_FLOAT32 else self.prepared.dtype
        result = self._find(alpha, dtype)
        if result.overflowed and dtype is torch.float32 and result.stopped is None:
            return self._find(alpha, torch.float64)
        return result

    def state(self, alpha: float, dtype: torch.dtype) -> tuple[SearchState, BatchingChoice]:
        """Return a search that has not begun, and how it batches candidates.

        Its time begins before it is prepared.
        """
        options = self.options
        deadline = float("inf")
        if options.seconds is not None:
            began = time.monotonic() if self._prepared_since is None else self._prepared_since
            deadline = began + options.seconds
        self._prepared_since = None
        objective, batching = self.prepared.objective(dtype, deadline)
        generator = torch.Generator().manual_seed(options.seed)
        units = float("inf") if options.units is None else options.units
        return SearchState(
            objective,
            box(self.network.weights, alpha, dtype, self.options.offset),
            self.before.loss,
            generator,
            alpha=alpha,
            method=options.method,
            units=units,
            deadline=deadline,
            show=self.show,
            part=self.part,
        ), batching

    def _find(self, alpha: float, dtype: torch.dtype) -> SearchResult:
        state, batching = self.state(alpha, dtype)
        began, stopped = time.perf_counter(), None
        if alpha > 0:  # at 0 the box is the point w
            try:
                with fast_products(tf32=self.options.method not in LINE_SEARCHES):
                    self._search(state)
            except OutOfTimeError:
                stopped = "time"
            except KeyboardInterrupt:
                stopped = "interrupted"
        state.objective.spent.seconds = time.perf_counter() - began
        try:
            point, after = self._evaluate_best(state)
        except KeyboardInterrupt:
            if stopped == "interrupted":
                raise  # asked for the second time
            stopped = "interrupted"
            point, after = self._evaluate_best(state)
        return SearchResult(
            alpha=alpha,
            method=self.options.method,
            before=self.before,
            after=after,
            point=point,
            starts=state.starts,
            spent=state.objective.spent,
            units=state.units_spent,
            precision=str(dtype).removeprefix("torch."),
            batching=batching,
            stopped=stopped,
            overflowed=state.overflowed,
            is_evaluated=stopped is None or state.has_evaluated,
        )

    def _search(self, state: SearchState) -> None:
        if self.options.method == "default":
            multi_start(state, self.options.restarts, self.options.steps)
        elif self.options.method == KESKAR2017:
            lbfgsb_run(state, None)
        elif self.options.method == NEYSHABUR2017:
            stochastic_ascent(state)
        elif self.options.method == EXACT:
            enumerate_corners(state)
        else:
            run_method(self.options.method, state)

    def _evaluate_best(self, state: SearchState) -> tuple[Tensor, Evaluation]:
        """Return the best point and its evaluation; w itself if no point is higher."""
        w = self.network.weights
        point = state.best_point
        if point is None and state.best_on_sample is not None:
            point = corner_at(state.box, state.best_on_sample)
        if point is None:
            return w, self.before
        check_inside(state.box, point)
        after = evaluate_point(self.network, self.prepared.examples, point)
        if not after.loss > self.before.loss or after.loss == float("inf"):
            return w, self.before
        return point, after


def check_inside(within: Box, point: Tensor) -> None:
    """Assert that a point is in the box: no search may leave it."""
    assert within.contains(point), "the search left its box"
