"""From a checkpoint to its sharpness record."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import torch

from gentool.checkpoints.record import Values, assemble
from gentool.common.json import Json, finite
from gentool.sharpness.definitions import defines
from gentool.sharpness.flatness import Flatness, flatness
from gentool.sharpness.inputs import SharpnessInputs
from gentool.sharpness.search.enumeration import check_enumerable
from gentool.sharpness.search.protocols import in_percent
from gentool.sharpness.search.state import SearchState
from gentool.sharpness.worst_case import SearchOptions, SearchResult, WorstCaseSearch

MEASURES = (
    "sharpness",
    "sharpness_keskar",
    "sharpness_first_order",
    "sharpness_interval_bound",
    "sharpness_exact",
)


@dataclass(frozen=True)
class SharpnessOptions:
    """What `gentool sharpness` was asked for; `data` None means the recipe's."""

    alphas: tuple[float, ...] = (5e-4,)
    search: SearchOptions = field(default_factory=SearchOptions)
    fold_batch_norm: bool = True
    compare: bool = False
    exact: bool = False
    flatness: bool = False
    protocol: str | None = None
    data: str | None = None

    def to_json(self) -> Json:
        return {
            "name": "sharpness",
            "alpha": list(self.alphas),
            "fold_batch_norm": self.fold_batch_norm,
            **asdict(self.search),
            "compare": self.compare,
            "exact": self.exact,
            "flatness": self.flatness,
            "protocol": self.protocol,
            "data": self.data,
        }


def worst_case_record(
    inputs: SharpnessInputs,
    options: SharpnessOptions,
    show: Callable[[SearchState], None] = lambda state: None,
) -> tuple[Json, list[SearchResult]]:
    """The record of the searches at every α, and what they found, in the order of the alphas.

    An interruption ends the list; what was found until then is in it, marked.
    """
    began = time.perf_counter()
    record_of = partial(
        assemble,
        inputs.checkpoint,
        recipe=inputs.recipe,
        device=inputs.sets.subset.labels.device,
        command=options.to_json(),
        began=began,
    )
    search = WorstCaseSearch(inputs.network, inputs.sets.all, options.search, show)
    if not math.isfinite(search.before.loss):
        reason = f"the training loss is {search.before.loss}, which nothing can rise from"
        values = dict.fromkeys(MEASURES)
        notes = [f"{name}: {reason}" for name in values]
        return record_of(measures=values, notes=notes), []
    if options.exact:
        check_enumerable(search.network)
    found, others, bounds = [], [], []
    for alpha in options.alphas:
        found.append(search.find(alpha))
        others.append([])
        bounds.append(_bounds(search, alpha, options.exact and found[-1].stopped is None))
        if options.compare and found[-1].stopped != "interrupted":
            for other in search.compare(alpha, found[-1].units):
                others[-1].append(other)
                if other.stopped == "interrupted":
                    break
        if "interrupted" in [one.stopped for one in (found[-1], *others[-1])]:
            break
    values = {"sharpness": found[0].rise, "sharpness_keskar": found[0].keskar}
    values |= {f"sharpness_{name}": value for name, value in bounds[0].items()}
    notes = [note for one in found for note in _notes(one)] + _missing(bounds[0], options.exact)
    if options.protocol == "keskar2017":
        values["sharpness_keskar2017"] = in_percent(found[0].keskar)
    if options.protocol == "m-sharpness" and found[-1].stopped != "interrupted":
        values["sharpness_m"] = search.m_sharpness(options.alphas[0])
    if options.flatness and found[-1].stopped != "interrupted":
        flat = flatness(search.prepared.objective(torch.float32)[0], options.search.seed)
        values |= _flatness_values(flat)
        values["sharpness_magnitude"] = sharpness_magnitude(search, options.alphas[0])
        notes += [
            f"{name}: no noise between 1e-6 and 1e3 costs 0.1 of the accuracy"
            for name, value in _flatness_values(flat).items()
            if value is None
        ]
    record = record_of(measures=values, notes=notes)
    record["sharpness"] = {
        "folded": inputs.network.is_folded,
        "parameters": len(inputs.network.weights),
        "images": len(inputs.sets.all),
        "loss": search.before.loss,
        "error": search.before.error,
        "batching": found[0].batching.to_json(),
        "points": [
            _row(one, rest) | limits
            for one, rest, limits in zip(found, others, bounds, strict=True)
        ],
    }
    return record, found


@defines("sharpness_magnitude")
def sharpness_magnitude(search: WorstCaseSearch, alpha: float) -> float:
    """Largest rise found where each parameter may move by a fraction of itself alone.

        max over |νᵢ| ≤ α|wᵢ| of L(f_{w+ν}) − L(f_w)

    Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020.
    """
    return search.with_options(replace(search.options, offset=0.0)).find(alpha).rise


def _row(found: SearchResult, others: list[SearchResult]) -> Json:
    """What was found at one α, by the search asked for and by those compared with it."""
    best = [start.rise for start in found.starts if math.isfinite(start.rise)]
    images = found.spent.forward + found.spent.gradient
    return {
        "alpha": found.alpha,
        "method": found.method,
        "rise": found.rise,
        "keskar": found.keskar,
        "loss": found.after.loss,
        "error": found.after.error,
        "class": found.after.top_class,
        "class_fraction": found.after.top_fraction,
        "starts": [{**asdict(start), "rise": finite(start.rise)} for start in found.starts],
        "spread": max(best) - min(best) if best else None,
        "forward_evaluations": found.spent.forward,
        "gradient_evaluations": found.spent.gradient,
        "units": round(found.units, 3),
        "images_per_second": round(images / max(found.spent.seconds, 1e-9)),
        "seconds": round(found.spent.seconds, 3),
        "precision": found.precision,
        "stopped": found.stopped,
        "compared": [
            {
                "method": other.method,
                "rise": other.rise,
                "units": round(other.units, 3),
                "seconds": round(other.spent.seconds, 3),
            }
            for other in others
        ],
    }


def _flatness_values(flat: Flatness) -> Values:
    return {
        "hessian_top_eigenvalue": flat.top_eigenvalue,
        "hessian_trace": flat.trace,
        "hessian_trace_stderr": flat.trace_stderr,
        "pac_bayes_sigma": flat.sigma,
        "pac_bayes_sigma_magnitude": flat.sigma_magnitude,
    }


def _bounds(search: WorstCaseSearch, alpha: float, exact: bool) -> Values:
    """What the rise at an α is compared with."""
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
    """Why bounds are null."""
    notes = []
    if bounds["interval_bound"] is None:
        notes.append("sharpness_interval_bound: known for MLPs, where it is finite")
    if bounds["exact"] is None:
        because = "the enumeration was stopped" if exact else "not asked for with --exact"
        notes.append(f"sharpness_exact: {because}")
    return notes


def _notes(found: SearchResult) -> list[str]:
    notes = []
    if found.stopped is not None:
        because = {"time": "its time was over", "interrupted": "it was interrupted"}
        notes.append(
            f"sharpness: at alpha {found.alpha:g} the search stopped early, when "
            f"{because[found.stopped]}; the value is the best until then"
        )
    if found.overflowed:
        notes.append(
            f"sharpness: at alpha {found.alpha:g} the loss overflows at some points of the box; "
            "the value is the best of the others, and the maximum is larger"
        )
    return notes
