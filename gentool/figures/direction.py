"""Sharpness to be seen: the loss around a network, in the worst direction found and in others."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from gentool.common.console import progress
from gentool.common.errors import GentoolError, Interrupted, UsageError
from gentool.common.paths import default_data_dir
from gentool.figures import style
from gentool.figures.inputs import inferred
from gentool.figures.registry import FIGURES, FigureOptions
from gentool.figures.series import DECADES_FOR_LOG
from gentool.figures.sheet import Axis, Curve, Layout, Panel, Remark, Sheet
from gentool.sharpness.search.progress import search_progress

if TYPE_CHECKING:  # torch is imported when the figure is asked for
    from torch import Tensor

    from gentool.checkpoints.checkpoint import Checkpoint
    from gentool.sharpness.inputs import SharpnessInputs
    from gentool.sharpness.landscape import Landscape, Losses

OPTIONS = ("witness", "alpha", "seed", "data", "data_dir", "device", "threads")
HEADROOM = 0.15  # of the range, for the words above the highest point


@FIGURES.register("direction", "checkpoint", *OPTIONS)
def direction(path: Path, options: FigureOptions) -> Sheet:
    """The training loss along the worst perturbation found, and along random ones."""
    if options.witness is not None and options.alpha is not None:
        raise UsageError("the witness says what alpha is; leave out --alpha")
    if options.alpha is not None and not 0 < options.alpha < math.inf:
        raise UsageError(f"--alpha is {options.alpha:g}; it has to be a number above 0")
    from gentool.checkpoints import checkpoint
    from gentool.sharpness.landscape import landscape

    read = checkpoint.read(path)
    inputs, point, alpha = (_claimed if options.witness else _searched)(read, options)
    with progress(options.quiet) as bar:
        task = bar.add_task(f"{path.name}: losses along it", total=1.0)
        found = landscape(
            inputs.network,
            inputs.sets.all,
            point,
            alpha,
            options.seed,
            lambda done: bar.update(task, completed=done),
        )
    return _sheet(found, f"{path.stem}, {len(inputs.sets.all):,} images", inferred(read))


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
    )


def _claimed(read: "Checkpoint", options: FigureOptions) -> "tuple[SharpnessInputs, Tensor, float]":
    """The point of a witness that holds, and its alpha."""
    from gentool.sharpness import witness

    made = witness.read(options.witness)
    witness.check_checkpoint(options.witness, made, read)
    inputs = _load(read, options, fold_batch_norm=made.claim.folded)
    witness.verify(made, inputs.network, inputs.sets.all).check(options.witness)
    return inputs, made.point(inputs.network), made.claim.alpha


def _searched(
    read: "Checkpoint", options: FigureOptions
) -> "tuple[SharpnessInputs, Tensor, float]":
    """The point that the default search finds, and its alpha."""
    from gentool.sharpness.worst_case import SearchOptions, WorstCaseSearch
    from gentool.sharpness.worst_case_record import SharpnessOptions

    alpha = options.alpha or SharpnessOptions.alphas[0]
    inputs = _load(read, options, fold_batch_norm=True)
    with search_progress(options.quiet, read.path.name) as show:
        search = WorstCaseSearch(
            inputs.network, inputs.sets.all, SearchOptions(seed=options.seed), show
        )
        if not math.isfinite(search.before.loss):
            raise GentoolError(f"the training loss is {search.before.loss}; nothing can be drawn")
        found = search.find(alpha)
    if found.stopped == "interrupted":
        raise Interrupted("interrupted; nothing was drawn")
    return inputs, found.point, alpha


def _sheet(found: "Landscape", name: str, notes: list[str]) -> Sheet:
    """The losses as curves, as exponents where they span decades."""
    losses = [loss for line in (found.worst, *found.random) for loss in line.values()]
    losses = [loss for loss in losses if math.isfinite(loss)]
    is_log = min(losses) > 0 and math.log10(max(losses) / min(losses)) >= DECADES_FOR_LOG
    scaled = math.log10 if is_log else float
    low, high = scaled(min(losses)), scaled(max(losses))
    padding = HEADROOM * ((high - low) or 1.0)
    colour, marker = style.fixed("sharpness")
    random = f"{len(found.random)} random corners of the box"
    worst = _curve("worst perturbation found", found.worst, colour, marker, scaled)
    others = [_curve(random, line, style.FAINT, "", scaled) for line in found.random]
    panel = Panel(
        "",
        Axis("multiple of the perturbation ν", low=-1.1, high=1.1),
        Axis(
            "training loss",
            "log10" if is_log else "linear",
            low - padding / 3,
            high + padding,
        ),
        [worst, *others],
        level=scaled(found.before),
        remarks=[Remark(1.0, worst.y[-1], f"rise {found.rise:.4g}")],
    )
    box = f"|νᵢ| ≤ α(|wᵢ| + 1), α = {found.alpha:g}"
    caption = f"{name}; {box}; the level line is the loss at 0"
    return Sheet([panel], caption, 1, "figure", layout=Layout(panel_width=6.0), notes=notes)


def _curve(label: str, losses: "Losses", colour: str, marker: str, scaled: object) -> Curve:
    """One line's losses; the marker is at its end."""
    points = [(t, scaled(loss)) for t, loss in losses.items() if math.isfinite(loss)]
    x, y = zip(*points, strict=True)
    return Curve(
        label, x, y, colour, marker, marked=(len(x) - 1,) if marker else None, is_thin=not marker
    )
