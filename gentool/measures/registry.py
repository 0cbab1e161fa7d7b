"""Register the measures: each is a function whose docstring holds its formula and source.

    @MEASURES.register
    def spectral(net: Measured) -> Log: ...

A measure that returns `Log` is a natural logarithm, one that returns `Estimate` has a standard
error, reported as `NAME_stderr`. A measure registered with `MEASURES.register_normalized` divides
by the margin; it is reported a second time with gamma = 1 as `NAME_unnormalized`.

Facts about a measure stand beside it, where they differ from the defaults:

    @MEASURES.register(cost="gradient", needs=("data", "gradients"), groups=("hessian",))
"""

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from gentool.common.errors import UsageError
from gentool.common.registry import Registry, definition_parts
from gentool.measures.families import (
    COSTS,
    FAMILIES,
    INVARIANCES,
    NEEDS,
    RESCALING,
    groups_of,
)
from gentool.measures.measured import Estimate, Log, Measured, Undefined
from gentool.records.measure_facts import Facts, group_names, is_group, made_by_sharpness

Function = Callable[[Measured], float | Estimate | None]
Progress = Callable[[str, float], None]

# Settings of `Measured` with which some measures are computed a second time.
UNIT_MARGIN = {"gamma_is_one": True}
LARGEST_PATH = {"largest_path": True}
TENTH_PERCENTILE = {"epsilon": 0.1}
AS_PUBLISHED = {"epsilon": 0.1, "circular": True}


@dataclass(frozen=True)
class Measure:
    """Hold a measure: its name, its function, the parts of its docstring, and what it takes.

    `cost` is one of COSTS, `needs` are some of NEEDS, and `larger` says what a larger value means.
    """

    name: str
    function: Function
    summary: str
    formula: str
    source: str
    is_log: bool
    family: str
    cost: str
    needs: tuple[str, ...]
    larger: str
    groups: tuple[str, ...]
    is_rescalable: bool

    @property
    def invariances(self) -> tuple[str, ...]:
        """Return the transformations that leave the measure as it is."""
        return (*INVARIANCES, RESCALING) if self.is_rescalable else INVARIANCES

    @property
    def facts(self) -> Facts:
        """Return what the rooms without torch know of the measure."""
        return Facts(
            self.family, self.cost, self.needs, self.larger, self.groups, self.is_rescalable
        )


@dataclass
class MeasureValues:
    """Hold the values of measures, their log10, and a note for each value that does not exist."""

    measures: dict[str, float | None] = field(default_factory=dict)
    log10: dict[str, float | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Measures(Registry[Measure]):
    """Hold all measures by name, in the order of definition."""

    def register(
        self,
        function: Function | None = None,
        *,
        cost: str = "cheap",
        needs: Iterable[str] = (),
        larger: str | None = None,
        groups: Iterable[str] = (),
        is_rescalable: bool | None = None,
    ) -> Function:
        """Add a measure; use as a decorator, with facts about the measure or bare.

        `cost` is one of COSTS, `needs` are some of NEEDS, `larger` says what a larger value means
        (the family's words by default), `groups` are those beside family, cost and source.
        `is_rescalable` says whether the measure stays where one layer is multiplied and another
        divided by a number, the function as it is (the family's answer by default).
        """
        if function is None:
            return lambda f: self.register(
                f,
                cost=cost,
                needs=needs,
                larger=larger,
                groups=groups,
                is_rescalable=is_rescalable,
            )
        name, family = function.__name__, function.__module__.rpartition(".")[2]
        if cost not in COSTS or not set(needs) <= set(NEEDS) or family not in FAMILIES:
            raise ValueError(f"{name} has an unknown cost, need or family (measures/families.py)")
        summary, formula, source = definition_parts(inspect.getdoc(function))
        is_log = inspect.signature(function).return_annotation is Log
        self.add(
            name,
            Measure(
                name,
                function,
                summary,
                formula,
                source,
                is_log,
                family,
                cost,
                tuple(needs),
                larger or FAMILIES[family].larger,
                groups_of(family, cost, source, tuple(groups)),
                FAMILIES[family].is_rescalable if is_rescalable is None else is_rescalable,
            ),
        )
        return function

    def register_normalized(self, function: Function | None = None, **facts: object) -> Function:
        """Add a measure with the factor gamma^-2, and with gamma = 1 as `NAME_unnormalized`."""
        if function is None:
            return lambda f: self.register_normalized(f, **facts)
        needs = dict.fromkeys(("margin", "data", *facts.pop("needs", ())))
        self.register(function, needs=needs, **facts)
        self._vary(function.__name__, "unnormalized", "without the margin", UNIT_MARGIN)
        return function

    def register_path(self, function: Function | None = None, **facts: object) -> Function:
        """Add a path norm as register_normalized does, and again with largest_path, `_maxpool`."""
        if function is None:
            return lambda f: self.register_path(f, **facts)
        self.register_normalized(function, **facts)
        name = function.__name__
        as_plotted = (
            "" if name.endswith("_bound") or "_bound_" in name else ", as the paper plots it"
        )
        words = f"the largest path sum alone through max pooling{as_plotted}"
        self._vary(name, "maxpool", words, LARGEST_PATH)
        self._vary(f"{name}_maxpool", "unnormalized", "without the margin", UNIT_MARGIN)
        return function

    def add_as_in_jiang2020(self, name: str) -> None:
        """Add a registered measure again with the margin of Jiang et al., as `NAME_jiang2020`."""
        words = "with the 10th percentile of the margins, ε = 0.1, as Jiang et al. (2020) normalise"
        self._vary(name, "jiang2020", words, TENTH_PERCENTILE)
        self.add_to_group("jiang2020", f"{name}_jiang2020")

    def add_as_published(self, name: str) -> None:
        """Add a registered measure again as the code of Dziugaite et al. has it."""
        words = (
            "as in public code: spectral norms of circular convolutions at the size of the images "
            "for every layer, and the 10th percentile of the margins"
        )
        self._vary(name, "as_published", words, AS_PUBLISHED)
        varied = _at_cost("spectrum", self[f"{name}_as_published"])
        self.add(varied.name, varied)
        self.add_to_group("jiang2020", varied.name)

    def add_over_m(self, *names: str) -> None:
        """Add registered measures again as √(measure / m), the normalisation of Jiang et al."""
        for name in names:
            measure = self[name]
            divided = replace(
                measure,
                name=f"{name}_over_m",
                function=partial(_over_m, measure.function, is_log=measure.is_log),
                summary=f"The square root of {name} over the number of training images.",
                formula=f"√({name} / m)",
                needs=tuple(dict.fromkeys([*measure.needs, "data"])),
            )
            divided = _at_cost("derived", divided) if measure.cost == "cheap" else divided
            self.add(divided.name, divided)
            self.add_to_group("jiang2020", divided.name)

    def add_to_group(self, group: str, *names: str) -> None:
        """Add registered measures to a group, as `--only @GROUP` selects it."""
        for name in names:
            measure = self[name]
            self.add(name, replace(measure, groups=tuple(dict.fromkeys([*measure.groups, group]))))

    def add_to_summary(self, name: str, words: str) -> None:
        """Add words to the summary of a registered measure."""
        measure = self[name]
        self.add(name, replace(measure, summary=f"{measure.summary.rstrip('.')}; {words}"))

    def _vary(self, name: str, suffix: str, words: str, settings: dict[str, bool | float]) -> None:
        """Add a registered measure again, computed with other settings of the measured network."""
        measure = self[name]
        varied = replace(
            measure,
            name=f"{name}_{suffix}",
            function=_with_settings(measure.function, settings),
            summary=f"{measure.summary.rstrip('.')}, {words}.",
            formula=measure.formula.replace("γ⁻² ", "", 1)
            if settings is UNIT_MARGIN
            else measure.formula,
        )
        if settings is UNIT_MARGIN:
            has_data = measure.cost != "cheap"
            removed = ("margin",) if has_data else ("margin", "data")
            varied = replace(varied, needs=tuple(n for n in measure.needs if n not in removed))
        self.add(varied.name, varied)

    def select(self, names: Iterable[str] | None) -> list[Measure]:
        """Return the measures of these names and groups (`@norms`), each once; the cheap for None.

        Raise UsageError, with the nearest name, if one is unknown or another command's.
        """
        if names is None:
            return [measure for measure in self if measure.cost == "cheap"]
        chosen: dict[str, Measure] = {}
        for name in names:
            own = self._of_group(name) if is_group(name) else [self._named(name)]
            chosen |= {measure.name: measure for measure in own}
        return list(chosen.values())

    def _of_group(self, group: str) -> list[Measure]:
        """Return the measures of a group; raise UsageError if there are none."""
        names = set(group_names(group))
        own = [measure for measure in self if measure.name in names]
        if not own:
            raise UsageError(f"{group} is computed by gentool sharpness, not by gentool measure")
        return own

    def _named(self, name: str) -> Measure:
        if name not in self.names and made_by_sharpness(name):
            raise UsageError(f"{name} is computed by gentool sharpness, not by gentool measure")
        return self[name]


def _at_cost(cost: str, measure: Measure) -> Measure:
    """Return a measure with another cost, and in its group."""
    groups = tuple(cost if group == measure.cost else group for group in measure.groups)
    return replace(measure, cost=cost, groups=groups)


def _over_m(function: Function, net: Measured, *, is_log: bool) -> float:
    """Return √(measure / m), as a logarithm if the measure is one."""
    value, m = function(net), net.points
    if is_log:
        return (value - math.log(m)) / 2
    if value < 0:
        raise Undefined(f"the measure is {value:.6g}, and a negative number has no root")
    return math.sqrt(value / m)


MEASURES = Measures("measure")


def evaluate_measures(
    net: Measured,
    measures: Iterable[Measure],
    on_progress: Progress = lambda what, fraction: None,
) -> MeasureValues:
    """Compute measures of one network; an estimate has its standard error beside it."""
    values, measures = MeasureValues(), list(measures)
    path_sums = (getattr(measure.function, "path_sum", None) for measure in measures)
    net = replace(net, path_sums=frozenset(of(net) for of in path_sums if of is not None))
    for done, measure in enumerate(measures):
        if measure.cost != "cheap":
            on_progress(measure.name.replace("_", " "), done / len(measures))
        error = None
        try:
            value = measure.function(net)
        except Undefined as reason:
            number, log10 = None, None
            values.notes.append(f"{measure.name}: {reason}")
        else:
            if isinstance(value, Estimate):
                value, error = value.value, value.stderr
            number, log10 = _from_log(value) if measure.is_log else _from_number(value)
            if number is None:
                reason = "outside the range of a float; see log10"
                reason = reason if measure.is_log else f"it is {value}, which is no number"
                values.notes.append(f"{measure.name}: {reason}")
        values.measures[measure.name] = number
        values.log10[measure.name] = log10
        if "sampling" in measure.needs:
            name = f"{measure.name}_stderr"
            values.measures[name], values.log10[name] = _from_number(error)
    return values


def _with_settings(function: Function, settings: dict[str, bool | float]) -> Function:
    """Return a measure's function of the network with other settings; so is the sum it needs."""

    def varied(net: Measured) -> float | None:
        return function(replace(net, **settings))

    if path_sum := getattr(function, "path_sum", None):
        varied.path_sum = lambda net: path_sum(replace(net, **settings))
    return varied


def _from_log(value: float) -> tuple[float | None, float | None]:
    """Return (number, log10) of a natural logarithm; no number if a float cannot hold it."""
    if value == -math.inf:
        return 0.0, None
    log10 = value / math.log(10)
    return (math.exp(value) if -300 < log10 < 308 else None), log10


def _from_number(value: float | None) -> tuple[float | None, float | None]:
    """Return (number, log10); no log10 if the number is not positive, neither for None."""
    if value is None or not math.isfinite(value):
        return None, None
    return value, (math.log10(value) if value > 0 else None)
