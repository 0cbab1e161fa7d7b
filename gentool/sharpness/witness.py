"""Write and read the worst point: as a checkpoint for any command, and as a small witness.

A witness stores w + ν relative to a checkpoint: one bit a parameter for the side of the box, and
the values of the parameters that are not on a face. With it anyone can check a reported sharpness
by one pass over the data, without repeating the search.
"""

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy
import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from gentool.checkpoints import checkpoint as checkpoints
from gentool.checkpoints.checkpoint import Checkpoint
from gentool.common.errors import GentoolError
from gentool.common.files import write_whole
from gentool.common.json import Json, dumps, loads
from gentool.common.paths import readable
from gentool.data.examples import Examples, TrainingSet
from gentool.networks.models import build
from gentool.records import ranges
from gentool.records.file_kind import TAKEN_BY, WITNESS, own_kind
from gentool.records.formats import check_format
from gentool.records.ranges import Range
from gentool.records.recipe import Outcome
from gentool.records.schemas import object_of
from gentool.sharpness.box import Box, box
from gentool.sharpness.evaluate import evaluate_point
from gentool.sharpness.functional import FunctionalNetwork

FORMAT = 1
KEY = "gentool-witness"


def _claimed(values: Range) -> Any:  # noqa: ANN401 - as `dataclasses.field` itself
    """Return a field of a claim with its range as metadata."""
    return field(metadata={"range": values})


@dataclass(frozen=True)
class WitnessClaim:
    """Hold the claim of a witness: checkpoint, box, and the rise at its point."""

    checkpoint: str = _claimed(ranges.SHA256)  # of the file
    alpha: float = _claimed(ranges.NOT_NEGATIVE)
    folded: bool = _claimed(ranges.BOOLEAN)
    precision: str = _claimed(ranges.one_of("float32", "float64"))
    parameters: int = _claimed(ranges.COUNT)
    loss_before: float = _claimed(ranges.FINITE)
    rise: float = _claimed(ranges.FINITE)


_CLAIMED = {part.name: part.metadata["range"] for part in fields(WitnessClaim)}
_CLAIM = object_of(_CLAIMED, _CLAIMED)


@dataclass(frozen=True)
class Witness:
    """Hold a claim with the point that proves it."""

    claim: WitnessClaim
    signs: Tensor  # (⌈P/8⌉,), uint8: bits, 1 where the point is on the upper face
    inner: Tensor  # (n,), int64: parameters on neither face
    values: Tensor  # (n,): values of these parameters

    def point(self, network: FunctionalNetwork) -> Tensor:
        """Return w + ν, shape (P,); raise GentoolError if it does not fit the network."""
        if len(network.weights) != self.claim.parameters:
            raise GentoolError(
                f"the witness is for {self.claim.parameters} parameters, but the network has "
                f"{len(network.weights)}"
            )
        within = _box(network, self.claim)
        bits = numpy.unpackbits(self.signs.numpy(), count=self.claim.parameters)
        point = within.corner(torch.from_numpy(bits).bool())
        point[self.inner] = self.values.to(point.dtype)
        return point


def make_witness(claim: WitnessClaim, network: FunctionalNetwork, point: Tensor) -> Witness:
    """Return the witness of a point in the box of a claim."""
    within = _box(network, claim)
    point = point.to("cpu", within.dtype)
    is_low, is_high = point == within.low, point == within.high
    inner = (~(is_low | is_high)).nonzero().flatten()
    bits = numpy.packbits(is_high.numpy())
    return Witness(claim, torch.from_numpy(bits), inner, point[inner])


def write(path: Path, witness: Witness) -> None:
    """Write a witness atomically."""
    tensors = {"signs": witness.signs, "inner": witness.inner, "values": witness.values}
    about = {"format": FORMAT, **asdict(witness.claim)}
    write_whole(path, save(tensors, {KEY: dumps(about)}))


def read(path: Path) -> Witness:
    """Read a witness; raise GentoolError if the file is missing, damaged or no witness."""
    try:
        with readable(path) as whole, safetensors.safe_open(whole, framework="pt") as file:
            about = loads((file.metadata() or {})[KEY])
            tensors = [file.get_tensor(name) for name in ("signs", "inner", "values")]
    except FileNotFoundError:
        raise GentoolError(f"{path} does not exist") from None
    except (OSError, safetensors.SafetensorError, KeyError, ValueError) as error:
        kind = own_kind(path)
        if kind in (None, WITNESS):
            raise GentoolError(
                f"{path} is not a witness file; gentool sharpness --save-perturbation writes them"
            ) from error
        raise GentoolError(f"{path} is {kind}, not a witness; {TAKEN_BY[kind]}") from None
    check_format(about, FORMAT, str(path))
    if fault := _CLAIM.fault(about, ""):
        raise GentoolError(f"{path} is no whole witness: {fault}")
    claim = WitnessClaim(**{name: about[name] for name in _CLAIMED})
    witness = Witness(claim, *tensors)
    if fault := _fault_of_tensors(witness):
        raise GentoolError(f"{path} is no whole witness: {fault}")
    return witness


def _fault_of_tensors(witness: Witness) -> str | None:
    """Return what is wrong with the tensors of a witness; None if they fit the claim."""
    size, inner, values = witness.claim.parameters, witness.inner, witness.values
    bits = (-(-size // 8),)
    if witness.signs.dtype != torch.uint8 or witness.signs.shape != bits:
        return f"signs is {_described(witness.signs)}; it has to be uint8 {bits}"
    if inner.dtype != torch.int64 or inner.dim() != 1:
        return f"inner is {_described(inner)}; it has to be a list of int64"
    if values.dtype not in (torch.float32, torch.float64) or values.shape != inner.shape:
        return f"values is {_described(values)}; it has to be floats of the shape of inner"
    if not values.isfinite().all():
        return "values has numbers that are not finite"
    if len(inner) and not 0 <= int(inner.min()) <= int(inner.max()) < size:
        return f"inner names a parameter beyond the {size} of the claim"
    return None


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


@dataclass(frozen=True)
class Verification:
    """Hold the rise recomputed here, and whether the point is in the box of the claim."""

    rise: float
    loss_before: float
    is_inside: bool
    claim: WitnessClaim

    @property
    def holds(self) -> bool:
        """Return whether the point is in the box and the rise is as claimed, to 1e-4 relative."""
        scale = max(abs(self.claim.rise), 1e-9 * (1 + abs(self.claim.loss_before)))
        return self.is_inside and abs(self.rise - self.claim.rise) <= 1e-4 * scale

    def check(self, path: Path) -> None:
        """Raise GentoolError if the witness, read from `path`, does not hold."""
        if not self.holds:
            why = "" if self.is_inside else "; its point is outside of the box"
            raise GentoolError(
                f"{path} does not hold: it claims a rise of {self.claim.rise:.6g}, but the rise "
                f"computed here is {self.rise:.6g}{why}"
            )


def check_checkpoint(path: Path, witness: Witness, checkpoint: Checkpoint) -> None:
    """Raise GentoolError if a witness, read from `path`, belongs to another checkpoint."""
    if checkpoint.sha256 != witness.claim.checkpoint:
        raise GentoolError(
            f"{path} belongs to another checkpoint (SHA-256 {witness.claim.checkpoint[:12]}..., "
            f"that of {checkpoint.path} is {checkpoint.sha256[:12]}...)"
        )


def verify(witness: Witness, network: FunctionalNetwork, examples: Examples) -> Verification:
    """Recompute a claimed rise by one pass over the data at w and one at w + ν, in float64."""
    point = witness.point(network)
    is_inside = _box(network, witness.claim).contains(point)
    here = network.to(examples.labels.device)
    before = evaluate_point(here, examples, here.weights)
    after = evaluate_point(here, examples, point.to(examples.labels.device))
    return Verification(after.loss - before.loss, before.loss, is_inside, witness.claim)


def _box(network: FunctionalNetwork, claim: WitnessClaim) -> Box:
    try:
        return box(network.weights, claim.alpha, getattr(torch, claim.precision))
    except (ValueError, AttributeError) as error:
        raise GentoolError(f"the witness claims a box that does not exist: {error}") from error


def write_perturbed(
    path: Path, original: Checkpoint, network: FunctionalNetwork, sets: TrainingSet, point: Tensor
) -> None:
    """Write w + ν as a checkpoint, with the losses and errors there.

    If batch norm was folded in, the recipe says that there is none: the folded weights are those of
    the same architecture without it.
    """
    recipe = original.recipe
    state = network.named(point.detach().cpu())
    if network.is_folded:
        recipe = replace(recipe, batch_norm=False, layers=_without_batch_norm(recipe.layers))
        names = [name for name, _ in build(recipe).named_parameters()]
        state = dict(zip(names, state.values(), strict=True))
    else:
        state = {**original.tensors, **state}
    outcome = _outcome_at(original.outcome, network, sets, point)
    model = replace(original, recipe=recipe, tensors=state).model()
    checkpoints.write(path, model, recipe, outcome)


def _without_batch_norm(layers: tuple[Json, ...] | None) -> tuple[Json, ...] | None:
    """Return a list of layers after batch norm was folded in, which gives each layer a bias."""
    if layers is None:
        return None
    kept: list[Json] = []
    for layer in layers:
        if not layer["type"].startswith("batch_norm"):
            kept.append(layer)
        elif kept:
            kept[-1] = kept[-1] | {"bias": True}
    return tuple(kept)


def _outcome_at(
    old: Outcome | None, network: FunctionalNetwork, sets: TrainingSet, point: Tensor
) -> Outcome | None:
    """Return the outcome of training, with losses and errors at another point.

    A network that another program trained has none.
    """
    if old is None:
        return None
    here = network.to(sets.subset.labels.device)
    train = evaluate_point(here, sets.subset, point)
    confusion, test = (
        evaluate_point(here, part, point) if len(part) else None
        for part in (sets.confusion, sets.test)
    )
    return replace(
        old,
        stop_rule_met=False,
        train_error=train.error,
        confusion_error=confusion.error if confusion else None,
        test_error=test.error if test else None,
        notes=(),
    ).with_losses(
        train_loss=train.loss,
        confusion_loss=confusion.loss if confusion else None,
        test_loss=test.loss if test else None,
    )
