"""Compute the measures of flatness for a record, each with its error and how it was computed."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from gentool.checkpoints.record import Values
from gentool.common.json import Json, finite
from gentool.sharpness.definitions import defines
from gentool.sharpness.flatness import hessian_top, hessian_trace
from gentool.sharpness.pac_bayes_sigma import pac_bayes_sigma, pac_bayes_sigma_magnitude
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
    search: WorstCaseSearch, alpha: float, about: Json, rel_error: float | None = None
) -> Iterator[tuple[str, float | None]]:
    """Compute the measures of flatness one by one: name and value.

    Residuals, brackets and numbers of draws go into `about`, by the name of the measure.
    `rel_error` is the relative standard error that estimates by sampling aim at; None: the default
    numbers of products and draws.
    """
    objective, seed = search.prepared.objective(torch.float32)[0], search.options.seed
    generator = torch.Generator().manual_seed(seed)
    trace = hessian_trace(objective, generator, rel_error)
    top = hessian_top(objective, generator)
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
    for name, sigma in (
        ("pac_bayes_sigma", pac_bayes_sigma),
        ("pac_bayes_sigma_magnitude", pac_bayes_sigma_magnitude),
    ):
        level = sigma(objective, seed, rel_error)
        if level is not None:
            about[name] = {"bracket": [level.low, level.high], "draws": level.draws}
        yield name, None if level is None else level.value
        yield f"{name}_stderr", None if level is None else finite(level.stderr)
    yield "sharpness_magnitude", sharpness_magnitude(search, alpha)


def notes_on_missing(values: Values) -> list[str]:
    """Return notes that say why measures of flatness are null."""
    return [f"{name}: {_reason(name, values)}" for name, value in values.items() if value is None]


def _reason(name: str, values: Values) -> str:
    if values.get(name.removesuffix("_stderr")) is not None:
        return "the training error does not change with the noise near this value, on these draws"
    if name.startswith("hessian"):
        return "second derivatives of the loss are beyond the numbers of a computer"
    return "no noise between 1e-6 and 1e3 costs 0.1 of the accuracy"
