"""`gentool sharpness`: from checkpoints to the largest rise of their training loss."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gentool.cli import options
from gentool.cli.outputs import Job, for_each, jobs_for, say_inferred
from gentool.cli.sharpness_tables import print_list, show_expected, show_found
from gentool.common.console import progress
from gentool.common.errors import Interrupted, UsageError
from gentool.common.files import Existing, check_output
from gentool.sharpness.search.progress import search_progress

if TYPE_CHECKING:
    import torch

    from gentool.data.sources import DataSets
    from gentool.sharpness.expected import ExpectedOptions
    from gentool.sharpness.inputs import SharpnessInputs
    from gentool.sharpness.worst_case import SearchResult
    from gentool.sharpness.worst_case_record import SharpnessOptions

DEFAULT_ALPHA = 5e-4
BATCHINGS = ("auto", "loop", "vmap", "stacked", "compiled")


@options.shared
def sharpness(
    checkpoints: Annotated[
        list[Path] | None,
        typer.Argument(metavar="CKPT...", help="Checkpoints.", show_default=False),
    ] = None,
    alpha: Annotated[
        list[float] | None,
        typer.Option(
            help="Size of the box; several are searched one after the other, and the first is "
            "the measure `sharpness`.",
            show_default=f"{DEFAULT_ALPHA:g}",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="default, vertex, apgd, pga, lbfgsb, lbfgsb-subspace or random.",
        ),
    ] = "default",
    protocol: Annotated[
        str | None,
        typer.Option(
            help="keskar2017, m-sharpness or random: as the literature did it.",
            show_default=False,
        ),
    ] = None,
    restarts: Annotated[
        int | None,
        typer.Option(
            min=1, help="Starts of the default search.", show_default="min(classes, 10) + 10"
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Iterations over the whole set for each finalist.", show_default="12"
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds that each search may take.", show_default="until it has arrived"
        ),
    ] = None,
    units: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Cost that a search by --method may have, in passes over the training set.",
            show_default="100",
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Run the other searches too, each at the cost of the default one."
        ),
    ] = False,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="Try all corners too: for linear models of 24 parameters at most."
        ),
    ] = False,
    flatness: Annotated[
        bool,
        typer.Option(
            "--flatness",
            help="Compute the Hessian's top eigenvalue and trace, PAC-Bayes sigma and the "
            "magnitude-aware sharpness too.",
        ),
    ] = False,
    fold_batch_norm: Annotated[
        bool,
        typer.Option(
            "--fold-batch-norm/--no-fold-batch-norm",
            help="Perturb the network with batch norm folded in, or the raw parameters.",
        ),
    ] = True,
    batching: Annotated[
        str,
        typer.Option(
            help="auto, loop, vmap, stacked (MLPs) or compiled (vmap under torch.compile): "
            "candidates one by one or together."
        ),
    ] = "auto",
    save_perturbation: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint to write the worst network to, for the first alpha; a small witness, "
            "which `gentool sharpness verify` checks, goes beside it.",
            show_default=False,
        ),
    ] = None,
    expected: Annotated[
        bool,
        typer.Option(
            "--expected",
            help="Sample Gaussian noise instead: the expected rise against the KL term, over a "
            "grid of alpha, or at the one --alpha. Writes CKPT.expected.json.",
        ),
    ] = False,
    precision: Annotated[
        float, typer.Option(help="Standard error over the value at which --expected stops.")
    ] = 0.05,
    draws: Annotated[
        int, typer.Option(min=2, help="Draws at each alpha that --expected takes at most.")
    ] = 20_000,
    delta: Annotated[
        float, typer.Option(help="Probability with which the PAC-Bayes bound may fail.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search and of the noise.")] = 0,
    list_measures: Annotated[
        bool, typer.Option("--list", help="Print each measure's name, formula and source.")
    ] = False,
    output: options.Output = None,
    data: options.DataOverride = None,
    *,
    data_folder: options.DataFolder,
    machine: options.Machine,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Search the worst perturbation of trained networks: the largest rise of the training loss.

    The record of CKPT.safetensors goes to CKPT.sharpness.json beside it, or to the file (folder,
    for several checkpoints) that -o names; -o - prints it. Each parameter w may move by
    alpha (|w| + 1). Ctrl-C writes the best so far, marked as stopped early.

    \b
    Example:
      gentool sharpness --force mlp-digits-random-500-seed0.safetensors
    """
    if list_measures:
        print_list()
        return
    if not checkpoints:
        raise UsageError("name one checkpoint or more, or --list")
    alphas = _alphas(alpha)
    if batching not in BATCHINGS:
        raise UsageError(f"--batching is {batching!r}; it has to be one of {', '.join(BATCHINGS)}")
    kind = "expected" if expected else "sharpness"
    jobs = jobs_for(checkpoints, output, kind, outputs.existing())
    _check_perturbation(save_perturbation, len(jobs), outputs.existing(), expected)
    device = machine.use_device()
    data_sets = data_folder.data_sets(messages.quiet)
    if expected:
        noise = _expected_options(alpha, precision, draws, delta, seed)
        sampling = (noise, fold_batch_norm, batching, data)
        for_each(
            jobs,
            lambda job: _sample(job, sampling, device, data_sets, messages.quiet),
            messages.debug,
        )
        return
    from gentool.sharpness.search.baselines import METHODS
    from gentool.sharpness.search.multi_start import DEFAULT_STEPS
    from gentool.sharpness.worst_case import KESKAR2017, SearchOptions
    from gentool.sharpness.worst_case_record import SharpnessOptions

    METHODS.check(method)
    if protocol is not None:
        method = _method_of(protocol, method)
    asked = SharpnessOptions(
        alphas=alphas,
        search=SearchOptions(
            method=method,
            restarts=restarts,
            steps=steps or DEFAULT_STEPS,
            seconds=budget,
            units=units if method in ("default", KESKAR2017) else units or 100.0,
            seed=seed,
            batching=batching,
        ),
        fold_batch_norm=fold_batch_norm,
        compare=compare,
        exact=exact,
        flatness=flatness,
        protocol=protocol,
        data=data,
    )
    for_each(
        jobs,
        lambda job: _search(job, asked, device, data_sets, messages.quiet, save_perturbation),
        messages.debug,
    )


def _alphas(given: list[float] | None) -> tuple[float, ...]:
    alphas = tuple(dict.fromkeys(given or [DEFAULT_ALPHA]))
    for alpha in alphas:
        if not 0 <= alpha < float("inf"):
            raise UsageError(f"--alpha is {alpha:g}; it has to be a number, 0 or more")
    return alphas


def _method_of(protocol: str, method: str) -> str:
    """The search that a protocol asks for."""
    from gentool.sharpness.search.protocols import PROTOCOLS

    PROTOCOLS.check(protocol)
    if method != "default":
        raise UsageError("--protocol names the search; leave out --method")
    return {"keskar2017": "keskar2017", "random": "random"}.get(protocol, "default")


def _expected_options(
    alpha: list[float] | None, precision: float, draws: int, delta: float, seed: int
) -> "ExpectedOptions":
    """What --expected was asked for."""
    if alpha is not None and len(alpha) > 1:
        raise UsageError("--expected takes one --alpha, or none for the whole curve")
    if not precision > 0:
        raise UsageError(f"--precision is {precision:g}; it has to be above 0")
    if not 0 < delta < 1:
        raise UsageError(f"--delta is {delta:g}; it has to be above 0 and below 1")
    from gentool.sharpness.expected import ExpectedOptions

    return ExpectedOptions(alpha[0] if alpha else None, precision, draws, delta, seed)


def _sample(
    job: Job,
    asked: "tuple[ExpectedOptions, bool, str, str | None]",
    device: "torch.device",
    data_sets: "DataSets",
    quiet: bool,
) -> None:
    """Sample the expected sharpness of one checkpoint and write its record."""
    from gentool.checkpoints import checkpoint
    from gentool.sharpness.expected_record import ExpectedSharpnessOptions, expected_record
    from gentool.sharpness.inputs import load_inputs

    options = ExpectedSharpnessOptions(*asked)
    read = checkpoint.read(job.checkpoint)
    if not quiet:
        say_inferred(read)
    inputs = load_inputs(
        read,
        fold_batch_norm=options.fold_batch_norm,
        data=options.data,
        device=device,
        data_sets=data_sets,
    )
    with progress(quiet, "precise") as bar:
        task = bar.add_task(f"{job.checkpoint.name}: expected", total=1.0, precise="-")

        def show(done: int, points: int) -> None:
            bar.update(task, completed=done / points, precise=f"{done} of {points}")

        record, curve = expected_record(inputs, options, show)
    job.write(record)
    if not quiet:
        show_expected(record)
    if curve.stopped == "interrupted":
        raise Interrupted("interrupted; what was sampled is written, marked as stopped early")


def _check_perturbation(
    path: Path | None, checkpoints: int, existing: Existing, expected: bool
) -> None:
    """Raise an error, before any work is done, where the worst network cannot be written."""
    if path is None:
        return
    if expected or checkpoints > 1:
        raise UsageError("--save-perturbation is for one search, of one checkpoint")
    if path.suffix != ".safetensors":
        raise UsageError(f"--save-perturbation is {path}; its name has to end in .safetensors")
    for one in (path, path.with_suffix(".witness")):
        check_output(one, existing)


def _search(
    job: Job,
    asked: "SharpnessOptions",
    device: "torch.device",
    data_sets: "DataSets",
    quiet: bool,
    perturbation: Path | None,
) -> None:
    """Search one checkpoint and write its record."""
    from gentool.checkpoints import checkpoint
    from gentool.sharpness.inputs import load_inputs
    from gentool.sharpness.worst_case_record import worst_case_record

    read = checkpoint.read(job.checkpoint)
    if not quiet:
        say_inferred(read)
    inputs = load_inputs(
        read,
        fold_batch_norm=asked.fold_batch_norm,
        data=asked.data,
        device=device,
        data_sets=data_sets,
    )
    with search_progress(quiet, job.checkpoint.name) as show:
        record, found = worst_case_record(inputs, asked, show)
    if perturbation is not None and found:
        _save(perturbation, inputs, found[0])
    job.write(record)
    if not quiet:
        show_found(record)
    if found and found[-1].stopped == "interrupted":
        raise Interrupted("interrupted; the best so far is written, marked as stopped early")


def _save(path: Path, inputs: "SharpnessInputs", found: "SearchResult") -> None:
    """Write the worst network and its witness, and print their paths."""
    from gentool.sharpness import witness

    claim = witness.WitnessClaim(
        checkpoint=inputs.checkpoint.sha256,
        alpha=found.alpha,
        folded=inputs.network.is_folded,
        precision=str(found.point.dtype).removeprefix("torch."),
        parameters=len(found.point),
        loss_before=found.before.loss,
        rise=found.rise,
    )
    witness.write_perturbed(path, inputs.checkpoint, inputs.network, inputs.sets, found.point)
    print(path, flush=True)
    beside = path.with_suffix(".witness")
    witness.write(beside, witness.make_witness(claim, inputs.network, found.point))
    print(beside, flush=True)
