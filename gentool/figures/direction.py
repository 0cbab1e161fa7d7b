"""Prepare a figure of the loss around a network: along the worst perturbation, and random ones."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from gentool.common.errors import GentoolError, Interrupted, UsageError
from gentool.common.paths import default_data_dir
from gentool.common.progress import progress
from gentool.figures import style
from gentool.figures.inputs import inference_notes
from gentool.figures.registry import FIGURES, HINTS, FigureOptions
from gentool.figures.series import DECADES_FOR_LOG
from gentool.figures.sheet import Axis, Curve, Layout, Panel, Remark, Sheet
from gentool.sharpness.search.progress import search_progress

if TYPE_CHECKING:  # torch is imported only to prepare this figure
    from torch import Tensor

    from gentool.checkpoints.checkpoint import Checkpoint
    from gentool.sharpness.inputs import SharpnessInputs
    from gentool.sharpness.landscape import Landscape, Losses

OPTIONS = ("witness", "alpha", "seed", "data", "data_dir", "device", "threads", *HINTS)
HEADROOM = 0.15  # of the range, for the words above the highest point


@FIGURES.register("direction", "checkpoint", *OPTIONS)
def direction(path: Path, options: FigureOptions) -> Sheet:
    """Prepare the training loss along the worst perturbation of a search, and along random ones."""
    if options.witness is not None and options.alpha is not None:
        raise UsageError("the witness says what alpha is; leave out --alpha")
    if options.alpha is not None and not 0 < options.alpha < math.inf:
        raise UsageError(f"--alpha is {options.alpha:g}; it has to be a number above 0")
    from gentool.checkpoints import checkpoint
    from gentool.sharpness.landscape import landscape

    read = checkpoint.read(path, options.hints)
    inputs, point, alpha = (_from_witness if options.witness else _from_search)(read, options)
    with progress(options.quiet, f"{path.name}: losses along it") as show:
        losses = landscape(
            inputs.network,
            inputs.sets.all,
            point,
            alpha,
            options.seed,
            show,
        )
    return _sheet(
        losses,
        f"{path.stem}, {len(inputs.sets.all):,} images",
        inference_notes(read) + inputs.evaluation["warnings"],
    )


def _load(
    read: "Checkpoint", options: FigureOptions, *, fold_batch_norm: bool
) -> "SharpnessInputs":
    from gentool.data.sources import DataSets
    from gentool.numerics.device import in_double_precision, use
    from gentool.sharpness.inputs import load_inputs

    return load_inputs(
        read,
        fold_batch_norm=fold_batch_norm,
        data=options.data,
        device=in_double_precision(use(options.device, options.threads)),
        data_sets=DataSets(options.data_dir or default_data_dir(), not options.quiet),
        hints=options.hints,
    )


def _from_witness(
    read: "Checkpoint", options: FigureOptions
) -> "tuple[SharpnessInputs, Tensor, float]":
    """Return what the worst direction is drawn from, with the point and alpha of a witness.

    Raise GentoolError if the witness does not hold.
    """
    from gentool.sharpness import witness

    made = witness.read(options.witness)
    witness.check_checkpoint(options.witness, made, read)
    inputs = _load(read, options, fold_batch_norm=made.claim.folded)
    witness.verify(made, inputs.network, inputs.sets.all).check(options.witness)
    return inputs, made.point(inputs.network), made.claim.alpha


def _from_search(
    read: "Checkpoint", options: FigureOptions
) -> "tuple[SharpnessInputs, Tensor, float]":
    """Return what the worst direction is drawn from, with the point of the default search."""
    from gentool.sharpness.worst_case import SearchOptions, WorstCaseSearch
    from gentool.sharpness.worst_case_record import SharpnessOptions

    alpha = options.alpha or SharpnessOptions.alphas[0]
    inputs = _load(read, options, fold_batch_norm=True)
    with search_progress(options.quiet, read.path.stem) as show:
        search = WorstCaseSearch(
            inputs.network, inputs.sets.all, SearchOptions(seed=options.seed), show
        )
        if not math.isfinite(search.before.loss):
            raise GentoolError(f"the training loss is {search.before.loss}; nothing can be drawn")
        result = search.find(alpha)
    if result.stopped == "interrupted":
        raise Interrupted("interrupted; nothing was drawn")
    return inputs, result.point, alpha


def _sheet(around: "Landscape", name: str, notes: list[str]) -> Sheet:
    """Return a sheet with the losses as curves, logarithmic if they span decades."""
    losses = [loss for line in (around.worst, *around.random) for loss in line.values()]
    losses = [loss for loss in losses if math.isfinite(loss)]
    is_log = min(losses) > 0 and math.log10(max(losses) / min(losses)) >= DECADES_FOR_LOG
    scaled = math.log10 if is_log else float
    low, high = scaled(min(losses)), scaled(max(losses))
    padding = HEADROOM * ((high - low) or 1.0)
    colour, marker = style.fixed("sharpness")
    random = f"{len(around.random)} random corners of the box"
    worst = _curve("worst perturbation found", around.worst, colour, marker, scaled)
    others = [_curve(random, line, style.FAINT, "", scaled) for line in around.random]
    panel = Panel(
        "",
        Axis("multiple of the perturbation ν", low=-1.1, high=1.1),
        Axis(
            "training loss",
            "log10" if is_log else "linear",
            low - padding,
            high + padding,
        ),
        [worst, *others],
        level=scaled(around.before),
        level_label=f"loss at 0: {around.before:.4g}",
        remarks=[Remark(1.0, worst.y[-1], f"rise {around.rise:.4g}")],
    )
    box = f"|νᵢ| ≤ α(|wᵢ| + 1), α = {around.alpha:g}"
    caption = f"{name}; {box}"
    return Sheet([panel], caption, 1, "figure", layout=Layout(panel_width=6.0), notes=notes)


def _curve(label: str, losses: "Losses", colour: str, marker: str, scaled: object) -> Curve:
    """Return the losses along one line as a curve, with its marker at the end."""
    points = [(t, scaled(loss)) for t, loss in losses.items() if math.isfinite(loss)]
    x, y = zip(*points, strict=True)
    return Curve(
        label, x, y, colour, marker, marked=(len(x) - 1,) if marker else None, is_thin=not marker
    )
