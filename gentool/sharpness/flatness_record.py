"""Compute the measures of flatness for a record, each with its error and how it was computed."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from gentool.checkpoints.record import Values
from gentool.common.json import Json, finite
from gentool.sharpness.definitions import defines
from gentool.sharpness.flatness import hessian_products, hessian_top, hessian_trace
from gentool.sharpness.jiang2020_record import OF_LEVELS, jiang2020_values
from gentool.sharpness.worst_case import WorstCaseSearch


@defines("sharpness_magnitude")
def sharpness_magnitude(search: WorstCaseSearch, alpha: float) -> float:
    """Adaptive l-infinity sharpness: each parameter moves by at most a fraction of itself.

        max over |νᵢ| ≤ α|wᵢ| of L(f_{w+ν}) − L(f_w)

    A lower bound, at the α asked for. It is not the magnitude-aware sharpness of Jiang et al.
    (2020), which is 1/α′² at the α′ where the training accuracy falls by 0.1. Andriushchenko et al.
    (ICML 2023) compare networks by it.
    Kwon et al., ASAM: Adaptive Sharpness-Aware Minimization, ICML 2021.
    """
    return search.with_options(replace(search.options, offset=0.0)).find(alpha).rise


def flatness_values(
    search: WorstCaseSearch,
    alpha: float,
    about: Json,
    rel_error: float | None = None,
    initial: Tensor | None = None,
) -> Iterator[tuple[str, float | None]]:
    """Compute the measures of flatness one by one: name and value.

    Residuals, brackets and numbers of draws go into `about`, by the name of the measure.
    `rel_error` is the relative standard error that estimates by sampling aim at; None: the default
    numbers of products and draws. `initial` are the parameters before training, (P,), None if they
    are unknown.
    """
    objective, seed = search.prepared.objective(torch.float32)[0], search.options.seed
    generator = torch.Generator().manual_seed(seed)
    products = hessian_products(objective)
    trace = hessian_trace(objective, generator, rel_error, products)
    top = hessian_top(objective, generator, products)
    del products  # and the graph that it holds
    if top is not None:
        about["hessian_top_eigenvalue"] = {
            "residual": finite(top.residual),
            "error": finite(top.error),
            "products": top.products,
        }
    if trace is not None:
        about["hessian_trace"] = {"products": trace.products}
    yield "hessian_top_eigenvalue", None if top is None else top.value
    yield "hessian_trace", None if trace is None else trace.value
    yield "hessian_trace_stderr", None if trace is None else finite(trace.stderr)
    yield from jiang2020_values(search, objective, initial, about, rel_error)
    yield "sharpness_magnitude", sharpness_magnitude(search, alpha)


def notes_on_missing(values: Values) -> list[str]:
    """Return notes that say why measures of flatness are null."""
    return [f"{name}: {_reason(name, values)}" for name, value in values.items() if value is None]


def _reason(name: str, values: Values) -> str:
    """Return why a measure is null: its level is, or the initial weights are unknown, or else."""
    plain = name.removesuffix("_stderr").removesuffix("_over_m")
    if name.startswith("hessian"):
        return "second derivatives of the loss are beyond the numbers of a computer"
    level = next((level for level in OF_LEVELS if plain in (level, *_names_of(level))), plain)
    if values.get(level) is None:
        if level.startswith("sharpness_alpha"):
            return (
                "no box between 1e-7 and 1e3 has a point found that costs 0.1 of the accuracy, or "
                "the smallest has one, or the time was over"
            )
        return "no noise between 1e-6 and 1e3 costs 0.1 of the accuracy"
    if values.get(plain) is None:
        return "the initial weights are not known, or this torch draws others"
    if name.endswith("_over_m"):
        return "the measure is negative"
    return "the training error does not change with the noise near this value, on these draws"


def _names_of(level: str) -> list[str]:
    """Return the names of the measures that follow from a level."""
    return [formula.__name__ for formula in OF_LEVELS[level]]
