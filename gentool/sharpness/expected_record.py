"""Make the record of the expected sharpness of a checkpoint."""

import math
import time
from dataclasses import asdict, dataclass, field
from functools import partial

import torch

from gentool.checkpoints.hints import NO_HINTS, Hints
from gentool.checkpoints.record import Values, assemble
from gentool.common.json import Json, finite
from gentool.sharpness.certificate import ERROR_BOUND, certified
from gentool.sharpness.expected import (
    LEVEL,
    ExpectedOptions,
    NoiseCurve,
    NoisePoint,
    Show,
    at_level,
    expected_curve,
    kl,
    least_bound,
    pac_bayes_bound,
)
from gentool.sharpness.inputs import SharpnessInputs
from gentool.sharpness.prepared import PreparedNetwork


@dataclass(frozen=True)
class ExpectedSharpnessOptions:
    """Hold the options of `gentool sharpness --expected`; `data` None means the recipe's."""

    sampling: ExpectedOptions = field(default_factory=ExpectedOptions)
    fold_batch_norm: bool = True
    batching: str = "auto"
    data: str | None = None
    hints: Hints = NO_HINTS

    def to_json(self) -> Json:
        return {
            "name": "sharpness",
            "expected": True,
            "fold_batch_norm": self.fold_batch_norm,
            **asdict(self.sampling),
            "batching": self.batching,
            "data": self.data,
            **self.hints.to_json("data_seed"),
        }


def expected_record(
    inputs: SharpnessInputs,
    options: ExpectedSharpnessOptions,
    show: Show = lambda done, points, draws: None,
) -> tuple[Json, NoiseCurve]:
    """Sample expected sharpness, at one α or the whole curve; return the record and the curve."""
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
    prepared = PreparedNetwork(inputs.network, inputs.sets.all, options.batching)
    single = options.sampling.alpha is not None
    names = (
        ("expected_sharpness", "expected_sharpness_stderr", "expected_sharpness_kl_at_alpha")
        if single
        else (
            "expected_sharpness_alpha",
            "expected_sharpness_alpha_stderr",
            "expected_sharpness_kl",
            "expected_sharpness_kl_stderr",
            "pac_bayes_bound",
            ERROR_BOUND,
        )
    )
    values: Values = dict.fromkeys(names)
    loss, images = prepared.before.loss, len(inputs.sets.all)
    if (reason := prepared.fault) is not None:
        notes = [f"{name}: {reason}" for name in names]
        return record_of(measures=values, notes=notes), NoiseCurve([])
    objective, batching = prepared.objective(torch.float32)
    curve = expected_curve(objective, options.sampling, show)
    weights, delta = prepared.network.weights, options.sampling.delta
    rows = [_expected_row(point, weights, loss, images, delta) for point in curve.points]
    notes = [*curve.notes]
    if curve.stopped is not None:
        because = {"draws": "at the most draws allowed", "interrupted": "by an interruption"}
        notes.append(
            f"expected_sharpness: stopped early, {because[curve.stopped]}; see the standard errors"
        )
    level = None
    if single and rows:
        values |= {
            "expected_sharpness": rows[0]["value"],
            "expected_sharpness_stderr": rows[0]["stderr"],
            "expected_sharpness_kl_at_alpha": rows[0]["kl"],
        }
        if rows[0]["value"] is None:
            notes.append("expected_sharpness: the loss overflows at some of the draws")
    elif rows:
        level = at_level(curve, weights)
        if level is not None:
            values |= {
                "expected_sharpness_alpha": level.alpha,
                "expected_sharpness_alpha_stderr": level.alpha_stderr,
                "expected_sharpness_kl": level.kl,
                "expected_sharpness_kl_stderr": level.kl_stderr,
            }
        else:
            notes += [
                f"expected_sharpness_{name}: the curve does not cross {LEVEL}"
                for name in ("kl", "alpha")
            ]
        bound = least_bound(curve.points, weights, loss, images, delta)
        values["pac_bayes_bound"] = finite(bound)
        if not math.isfinite(bound):
            notes.append("pac_bayes_bound: the loss overflows at all of the draws")
    certificate = None
    if not single and curve.stopped != "interrupted":
        certificate, reason = certified(inputs, objective, options.sampling)
        if certificate is not None:
            values[ERROR_BOUND] = certificate.bound
        notes += [f"{ERROR_BOUND}: {reason}"] if reason else []
    record = record_of(measures=values, notes=notes)
    record["expected_sharpness"] = {
        "folded": inputs.network.is_folded,
        "parameters": len(weights),
        "images": images,
        "loss": loss,
        "delta": delta,
        "level": LEVEL,
        "batching": batching.to_json(),
        "stopped": curve.stopped,
        "forward_evaluations": objective.spent.forward,
        "curve": rows,
        "error_bound": None if certificate is None else certificate.to_json(),
    }
    return record, curve


def _expected_row(
    point: NoisePoint, weights: torch.Tensor, loss: float, images: int, delta: float
) -> Json:
    """Return one point of the curve as a row; null for numbers that overflowed."""
    kl_there = kl(weights, point.alpha) if point.alpha > 0 else math.inf
    bound = pac_bayes_bound(loss, point.value, kl_there, images, delta)
    return {
        "alpha": point.alpha,
        "value": finite(point.value),
        "stderr": finite(point.stderr),
        "draws": point.draws,
        "paired": point.paired,
        "error_rise": point.error_rise,
        "kl": finite(kl_there),
        "kl_without_half": finite(2 * kl_there),
        "bound": finite(bound),
    }
