"""Register the measures: each is a function whose docstring holds its formula and source.

    @MEASURES.register
    def spectral(net: Measured) -> Log: ...

A measure that returns `Log` is a natural logarithm. A measure registered with
`MEASURES.register_normalized` divides by the margin; it is reported a second time with gamma = 1
as `NAME_unnormalized`.
"""

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from gentool.common.registry import Registry, definition_parts
from gentool.measures.measured import Log, Measured, Undefined

Function = Callable[[Measured], float | None]

# Settings of `Measured` with which some measures are computed a second time.
UNIT_MARGIN = {"gamma_is_one": True}
LARGEST_PATH = {"largest_path": True}
TENTH_PERCENTILE = {"epsilon": 0.1}


@dataclass(frozen=True)
class Measure:
    """Hold a measure: its name, its function, and the parts of its docstring."""

    name: str
    function: Function
    summary: str
    formula: str
    source: str
    is_log: bool


@dataclass
class MeasureValues:
    """Hold the values of measures, their log10, and a note for each value that does not exist."""

    measures: dict[str, float | None] = field(default_factory=dict)
    log10: dict[str, float | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Measures(Registry[Measure]):
    """Hold all measures by name, in the order of definition."""

    def register(self, function: Function) -> Function:
        """Add a measure; use as a decorator."""
        summary, formula, source = definition_parts(inspect.getdoc(function))
        is_log = inspect.signature(function).return_annotation is Log
        name = function.__name__
        self.add(name, Measure(name, function, summary, formula, source, is_log))
        return function

    def register_normalized(self, function: Function) -> Function:
        """Add a measure with the factor gamma^-2, and with gamma = 1 as `NAME_unnormalized`."""
        self.register(function)
        self._vary(function.__name__, "unnormalized", "without the margin", UNIT_MARGIN)
        return function

    def register_path(self, function: Function) -> Function:
        """Add a path norm as register_normalized does, and again with largest_path, `_maxpool`."""
        self.register_normalized(function)
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

    def _vary(self, name: str, suffix: str, words: str, settings: dict[str, bool | float]) -> None:
        """Add a registered measure again, computed with other settings of the measured network."""
        measure = self[name]
        varied = replace(
            measure,
            name=f"{name}_{suffix}",
            function=lambda net: measure.function(replace(net, **settings)),
            summary=f"{measure.summary.rstrip('.')}, {words}.",
            formula=measure.formula.replace("γ⁻² ", "", 1)
            if settings is UNIT_MARGIN
            else measure.formula,
        )
        self.add(varied.name, varied)

    def select(self, names: Iterable[str] | None) -> list[Measure]:
        """Return the measures of these names, or all for None.

        Raise UsageError, with the nearest name, if one is unknown.
        """
        return list(self) if names is None else [self[name] for name in names]


MEASURES = Measures("measure")


def evaluate_measures(net: Measured, measures: Iterable[Measure]) -> MeasureValues:
    """Compute measures of one network."""
    values = MeasureValues()
    for measure in measures:
        try:
            value = measure.function(net)
        except Undefined as reason:
            number, log10 = None, None
            values.notes.append(f"{measure.name}: {reason}")
        else:
            number, log10 = _from_log(value) if measure.is_log else _from_number(value)
            if number is None:
                values.notes.append(f"{measure.name}: outside the range of a float; see log10")
        values.measures[measure.name] = number
        values.log10[measure.name] = log10
    return values


def _from_log(value: float) -> tuple[float | None, float | None]:
    """Return (number, log10) of a natural logarithm; no number if a float cannot hold it."""
    if value == -math.inf:
        return 0.0, None
    log10 = value / math.log(10)
    return (math.exp(value) if -300 < log10 < 308 else None), log10


def _from_number(value: float) -> tuple[float, float | None]:
    """Return (number, log10); no log10 if the number is not positive."""
    return value, (math.log10(value) if value > 0 else None)
