"""Make the sharpness record of a checkpoint."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial

from gentool.checkpoints.hints import NO_HINTS, Hints
from gentool.checkpoints.record import Values, assemble
from gentool.common.json import Json, finite
from gentool.sharpness.flatness_record import flatness_values, notes_on_missing
from gentool.sharpness.inputs import SharpnessInputs
from gentool.sharpness.m_sharpness import (
    M_SHARPNESS,
    M_SHARPNESS_L2,
    RHO,
    M,
    m_sharpness_values,
)
from gentool.sharpness.readings import other_reading
from gentool.sharpness.search.enumeration import check_enumerable
from gentool.sharpness.search.protocols import highest_of_corners, in_percent
from gentool.sharpness.search.state import SearchState
from gentool.sharpness.worst_case import (
    NEYSHABUR2017,
    SearchOptions,
    SearchResult,
    WorstCaseSearch,
)

MEASURES = (
    "sharpness",
    "sharpness_keskar",
    "sharpness_first_order",
    "sharpness_interval_bound",
    "sharpness_exact",
)
BOUNDS = ("first_order", "interval_bound", "exact")
DESTROYED = 0.5  # training error beyond which the worst network no longer fits its training set


@dataclass(frozen=True)
class SharpnessOptions:
    """Hold the options of `gentool sharpness`; `data` None means the recipe's."""

    alphas: tuple[float, ...] = (5e-4,)
    search: SearchOptions = field(default_factory=SearchOptions)
    fold_batch_norm: bool = True
    compare: bool = False
    exact: bool = False
    flatness: bool = False
    rel_error: float | None = None  # of the estimates of flatness
    both_readings: bool = False  # of batch norm, folded in and raw
    protocol: str | None = None
    rho: float = RHO
    data: str | None = None
    hints: Hints = NO_HINTS

    def to_json(self) -> Json:
        return {
            "name": "sharpness",
            "alpha": list(self.alphas),
            "fold_batch_norm": self.fold_batch_norm,
            **asdict(self.search),
            "compare": self.compare,
            "exact": self.exact,
            "flatness": self.flatness,
            **({"rel_error": self.rel_error} if self.flatness else {}),
            "protocol": self.protocol,
            **({"both_readings": True} if self.both_readings else {}),
            **({"m": M} if self.protocol in (M_SHARPNESS, M_SHARPNESS_L2) else {}),
            **({"rho": self.rho} if self.protocol == M_SHARPNESS_L2 else {}),
            "data": self.data,
            **self.hints.to_json("data_seed"),
        }


def worst_case_record(
    inputs: SharpnessInputs,
    options: SharpnessOptions,
    show: Callable[[SearchState], None] = lambda state: None,
) -> tuple[Json, list[SearchResult]]:
    """Search at every α; return the record, and the results in the order of the alphas.

    An interruption ends the list; the result until then is in it, marked.
    """
    began = time.perf_counter()
    record_of = partial(
        assemble,
        inputs.checkpoint,
        recipe=inputs.recipe,
        device=inputs.sets.subset.labels.device,
        command=options.to_json(),
        began=began,
        evaluation=inputs.evaluation,
        layers=inputs.layers,
    )
    search = WorstCaseSearch(inputs.network, inputs.sets.all, options.search, show)
    if (reason := search.prepared.fault) is not None:
        values = dict.fromkeys(MEASURES)
        notes = [f"{name}: {reason}" for name in values]
        return record_of(measures=values, notes=notes), []
    about: Json = {}
    if options.protocol in (M_SHARPNESS, M_SHARPNESS_L2):
        values, searched, notes = m_sharpness_values(
            search, options.protocol, options.alphas[0], options.rho
        )
        if options.flatness and searched["stopped"] != "interrupted":
            flat = dict(_further_measures(search, options, about, inputs))
            values, notes = values | flat, notes + notes_on_missing(flat)
        record = record_of(measures=values, notes=notes) | {"m_sharpness": searched}
        return record | ({"flatness": about} if about else {}), []
    if options.exact:
        check_enumerable(search.network)
    results, others, bounds, further, interrupted = [], [], [], {}, []
    try:
        for alpha in options.alphas:
            results.append(search.find(alpha))
            others.append([])
            bounds.append(dict.fromkeys(BOUNDS))
            bounds[-1] = _bounds(search, alpha, options.exact and results[-1].stopped is None)
            if options.compare and results[-1].stopped != "interrupted":
                for other in search.compare(alpha, results[-1].units):
                    others[-1].append(other)
                    if other.stopped == "interrupted":
                        break
            if "interrupted" in [result.stopped for result in (results[-1], *others[-1])]:
                break
        else:
            for name, value in _further_measures(search, options, about, inputs):
                further[name] = value
            if options.both_readings:
                other = other_reading(inputs, options.alphas[0], options.search)
                further |= dict([other]) if other is not None else {}
    except KeyboardInterrupt:  # after the first search, whose result is not to be lost
        if not results:
            raise
        interrupted = [
            "sharpness: interrupted before all was computed; what is missing is left out"
        ]
    values = dict.fromkeys(("sharpness", "sharpness_keskar"))
    if results[0].is_evaluated:
        values = {"sharpness": results[0].rise, "sharpness_keskar": results[0].keskar}
    values |= {f"sharpness_{name}": value for name, value in bounds[0].items()}
    notes = [note for result in results for note in _notes(result)] + interrupted
    notes += _missing(bounds[0], options.exact)
    notes += [
        f"sharpness: at alpha {result.alpha:g} the network is destroyed at the worst point, where "
        "more than half of the training images are wrong: the rise measures the scale of the logits"
        for result in results
        if is_destroyed(result)
    ]
    if options.protocol == "keskar2017":
        keskar = values["sharpness_keskar"]
        values["sharpness_keskar2017"] = None if keskar is None else in_percent(keskar)
    if options.protocol == NEYSHABUR2017:
        values["sharpness_neyshabur2017"] = results[0].rise
    if options.protocol == "random":
        values["sharpness_random"] = highest_of_corners(results[0].rise)
    if options.protocol is not None:  # weaker than the search, and so no value of these
        del values["sharpness"], values["sharpness_keskar"]
    values |= further
    notes += notes_on_missing(further)
    record = record_of(measures=values, notes=notes)
    record["sharpness"] = {
        "folded": inputs.network.is_folded,
        "parameters": inputs.network.size,
        "images": len(inputs.sets.all),
        "loss": search.before.loss,
        "error": search.before.error,
        "batching": results[0].batching.to_json(),
        "points": [
            _row(result, rest) | limits
            for result, rest, limits in zip(results, others, bounds, strict=True)
        ],
    }
    if about:
        record["flatness"] = about
    return record, results


def _further_measures(
    search: WorstCaseSearch, options: SharpnessOptions, about: Json, inputs: SharpnessInputs
) -> Iterator[tuple[str, float | None]]:
    """Compute the measures that are asked for besides the search, at the first α, one by one."""
    if options.flatness:
        yield from flatness_values(
            search, options.alphas[0], about, options.rel_error, inputs.initial_weights
        )


def is_destroyed(result: SearchResult) -> bool:
    """Return whether the worst point is a network that gets most training images wrong.

    The loss then grows with the logits, however wrong they are already, so that the rise compares
    networks by the scale of their logits rather than by the flatness of the minimum.
    """
    return result.after.error > DESTROYED >= result.before.error


def _row(result: SearchResult, others: list[SearchResult]) -> Json:
    """Return the row of one α: the result of the search, and those of the searches compared."""
    rises = [start.rise for start in result.starts if math.isfinite(start.rise)]
    images = result.spent.forward + result.spent.gradient
    return {
        "alpha": result.alpha,
        "method": result.method,
        "rise": result.rise if result.is_evaluated else None,
        "keskar": result.keskar if result.is_evaluated else None,
        "loss": result.after.loss,
        "error": result.after.error,
        "destroyed": is_destroyed(result),
        "class": result.after.top_class,
        "class_fraction": result.after.top_fraction,
        "starts": [{**asdict(start), "rise": finite(start.rise)} for start in result.starts],
        "spread": max(rises) - min(rises) if rises else None,
        "forward_evaluations": result.spent.forward,
        "gradient_evaluations": result.spent.gradient,
        "units": round(result.units, 3),
        "images_per_second": round(images / max(result.spent.seconds, 1e-9)),
        "seconds": round(result.spent.seconds, 3),
        "precision": result.precision,
        "stopped": result.stopped,
        "compared": [
            {
                "method": other.method,
                "rise": other.rise if other.is_evaluated else None,
                "units": round(other.units, 3),
                "seconds": round(other.spent.seconds, 3),
            }
            for other in others
        ],
    }


def _bounds(search: WorstCaseSearch, alpha: float, exact: bool) -> Values:
    """Compute what the rise at an α is compared with."""
    bounds: Values = {
        "first_order": search.first_order(alpha),
        "interval_bound": search.interval_bound(alpha),
        "exact": None,
    }
    if exact:
        enumerated = search.exact(alpha)
        bounds["exact"] = enumerated.rise if enumerated.stopped is None else None
    return {name: value if value is None else finite(value) for name, value in bounds.items()}


def _missing(bounds: Values, exact: bool) -> list[str]:
    """Return notes that say why bounds are null."""
    notes = []
    if bounds["interval_bound"] is None:
        notes.append("sharpness_interval_bound: known for MLPs, where it is finite")
    if bounds["exact"] is None:
        because = "the enumeration was stopped" if exact else "not asked for with --exact"
        notes.append(f"sharpness_exact: {because}")
    return notes


def _notes(result: SearchResult) -> list[str]:
    notes = []
    if not result.is_evaluated:
        because = {"time": "its time was over", "interrupted": "it was interrupted"}
        remedy = ", which a larger --budget gives" if result.stopped == "time" else ""
        notes.append(
            f"sharpness: at alpha {result.alpha:g} the search stopped early, before any point was "
            f"evaluated, when {because[result.stopped]}; null stands for the value{remedy}"
        )
    elif result.stopped is not None:
        because = {"time": "its time was over", "interrupted": "it was interrupted"}
        notes.append(
            f"sharpness: at alpha {result.alpha:g} the search stopped early, when "
            f"{because[result.stopped]}; the value is the best until then"
        )
    if result.overflowed:
        notes.append(
            f"sharpness: at alpha {result.alpha:g} the loss overflows at some points of the box; "
            "the value is the best of the others, and the maximum is larger"
        )
    return notes
