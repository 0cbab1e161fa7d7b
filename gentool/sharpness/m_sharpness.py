"""Compute m-sharpness: the largest rise of each mini-batch in a neighbourhood of its own, averaged.

Each batch gets the search that `sharpness` gets over the whole set, so that with one batch the two
are the same number. Every rise is evaluated in float64.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gentool.common.json import Json
from gentool.numerics.device import fast_products
from gentool.sharpness.definitions import defines
from gentool.sharpness.evaluate import evaluate_point
from gentool.sharpness.search.ball import ball_search
from gentool.sharpness.worst_case import WorstCaseSearch

M = 128
RHO = 0.05  # Foret et al.'s
M_SHARPNESS, M_SHARPNESS_L2 = "m-sharpness", "m-sharpness-l2"  # protocols


@dataclass(frozen=True)
class MSharpness:
    """Hold the mean rise of all batches, None if it was interrupted; and the cost.

    `units` counts passes over the whole set, a gradient as three. `stopped` is None, "time" or
    "interrupted": the rises of some batches are then the best until their time was over.
    """

    value: float | None
    batches: int
    units: float
    seconds: float
    stopped: str | None

    def to_json(self) -> Json:
        return {
            "m": M,
            "batches": self.batches,
            "units": round(self.units, 3),
            "seconds": round(self.seconds, 3),
            "stopped": self.stopped,
        }


@defines("sharpness_m")
def m_sharpness(search: WorstCaseSearch, alpha: float) -> MSharpness:
    """Largest rise of each mini-batch of {M} in a box of its own, averaged over the images.

        mean over B of max over |νᵢ| ≤ α(|wᵢ|+1) of L_B(f_{w+ν}) − L_B(f_w)

    Batches B are a random partition of the set; each is searched like the whole set for sharpness.
    A lower bound of the mean of the maxima; of a set of {M} images at most it is the sharpness.
    Foret et al. define it over a ball (sharpness_m_l2); the box is Keskar et al.'s.
    Foret et al., Sharpness-Aware Minimization, ICLR 2021.
    """

    def rise(part: WorstCaseSearch) -> tuple[float, float, str | None]:
        result = part.find(alpha)
        return result.rise, result.units, result.stopped

    return _mean_over_batches(search, rise)


@defines("sharpness_m_l2")
def m_sharpness_l2(search: WorstCaseSearch, rho: float = RHO) -> MSharpness:
    """Largest rise of each mini-batch of {M} in a Euclidean ball of its own, averaged.

        mean over B of max over ‖ν‖₂ ≤ ρ of L_B(f_{w+ν}) − L_B(f_w),  ρ = {RHO} unless --rho says

    Batches B are those of sharpness_m. The maximum of each is searched from starts towards all
    classes, by steps ν ← ρ g / ‖g‖ and shorter ones; a lower bound, where SAM takes one such step.
    Foret et al., Sharpness-Aware Minimization, ICLR 2021.
    """
    return _mean_over_batches(search, lambda part: _rise_in_ball(part, rho))


def _rise_in_ball(search: WorstCaseSearch, rho: float) -> tuple[float, float, str | None]:
    """Return the largest rise found, evaluated in float64 at a point of the ball, and its cost."""
    prepared, w = search.prepared, search.network.weights
    state, _ = search.state(0.0, prepared.dtype)
    generator = torch.Generator().manual_seed(search.options.seed)
    with fast_products():
        move = ball_search(state.objective, rho, prepared.before.loss, generator).double()
    move = move * min(1.0, rho * (1 - 1e-12) / max(float(move.norm()), 1e-300))
    after = evaluate_point(search.network, prepared.examples, w + move)
    rise = after.loss - prepared.before.loss
    return (rise if 0 < rise < float("inf") else 0.0), state.units_spent, None


def _mean_over_batches(
    search: WorstCaseSearch,
    rise_of: Callable[[WorstCaseSearch], tuple[float, float, str | None]],
) -> MSharpness:
    """Return the mean over the images of the rises of their batches."""
    began = time.monotonic()
    batches = _batches(search)
    images = len(search.prepared.examples)
    total, units, stopped = 0.0, 0.0, None
    for number, indices in enumerate(batches):
        part = search if len(batches) == 1 else search.on_part(indices, number, len(batches))
        if search.options.seconds is not None:
            left = began + search.options.seconds - time.monotonic()
            part = part.with_seconds(max(0.0, left) / (len(batches) - number))
        try:
            rise, cost, cut = rise_of(part)
        except KeyboardInterrupt:
            rise, cost, cut = None, 0.0, "interrupted"
        if (cut == "interrupted" and len(batches) > 1) or rise is None:
            return MSharpness(None, len(batches), units, time.monotonic() - began, "interrupted")
        stopped = cut or stopped
        total += rise * len(indices)
        units += cost * len(indices) / images
    return MSharpness(total / images, len(batches), units, time.monotonic() - began, stopped)


def _batches(search: WorstCaseSearch) -> tuple[Tensor, ...]:
    """Return the indices of each batch: a random partition, or the whole set in its own order."""
    labels = search.prepared.examples.labels
    if len(labels) <= M:
        return (torch.arange(len(labels), device=labels.device),)
    generator = torch.Generator().manual_seed(search.options.seed)
    return torch.randperm(len(labels), generator=generator).to(labels.device).split(M)


def m_sharpness_values(
    search: WorstCaseSearch, protocol: str, alpha: float, rho: float
) -> tuple[dict[str, float | None], Json, list[str]]:
    """Return the measures of a protocol of m-sharpness, how they were searched, and notes.

    Of one batch the same search gives `sharpness`; of several, nothing searched the whole set.
    """
    if protocol == M_SHARPNESS_L2:
        name, found = "sharpness_m_l2", m_sharpness_l2(search, rho)
    else:
        name, found = "sharpness_m", m_sharpness(search, alpha)
    values = {name: found.value}
    if name == "sharpness_m" and found.batches == 1 and found.value is not None:
        values = {"sharpness": found.value} | values
        values["sharpness_keskar"] = found.value / (1 + search.before.loss)
    notes = []
    if found.stopped is not None:
        because = {"time": "its time was over", "interrupted": "it was interrupted"}
        notes = [
            f"{name}: the search stopped early, when {because[found.stopped]}; "
            + ("there is no value" if found.value is None else "the value is the best until then")
        ]
    return values, found.to_json(), notes
