"""Define `gentool sharpness`: search the largest rise of the training loss near a network."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gentool.cli import options
from gentool.cli.choices import Batching, Method, Protocol
from gentool.cli.declaring import EVERYTHING, MESSAGES, Enables, Excludes
from gentool.cli.lists import numbers
from gentool.cli.outputs import Job, for_each, jobs_for
from gentool.cli.remarks import Remarks
from gentool.cli.sharpness_tables import notes_to_say, print_list, show_expected, show_worst_cases
from gentool.common import stops
from gentool.common.console import print_path, say
from gentool.common.errors import Interrupted, UsageError
from gentool.common.files import Existing, check_output
from gentool.common.progress import progress
from gentool.common.run_log import RunLog, steps_of
from gentool.sharpness.search.progress import as_step, search_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from gentool.common.json import Json
    from gentool.data.sources import DataSets
    from gentool.sharpness.expected import ExpectedOptions
    from gentool.sharpness.expected_record import ExpectedSharpnessOptions
    from gentool.sharpness.inputs import SharpnessInputs
    from gentool.sharpness.search.state import SearchState
    from gentool.sharpness.worst_case import SearchResult
    from gentool.sharpness.worst_case_record import SharpnessOptions

DEFAULT_ALPHA = 5e-4
SEARCH = "Search of the worst perturbation"
NOISE = "Expected sharpness"
MOST_PRECISE = 1e-6  # relative error, for which 10^12 draws would be too few
IN_A_BOX = ("keskar2017", "neyshabur2017", "random")  # protocols over the whole set


@options.shared
def sharpness(
    checkpoints: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CKPT...", help="Checkpoints, or folders of them.", show_default=False
        ),
    ] = None,
    alpha: Annotated[
        list[str] | None,
        typer.Option(
            min=0,
            max=options.LARGEST,
            metavar="X,...",
            rich_help_panel=SEARCH,
            help="Size alpha of the box, or several. The measure `sharpness` is the result at the "
            "first.",
            show_default=f"{DEFAULT_ALPHA:g}",
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(
            rich_help_panel=SEARCH,
            help="Search method: default, vertex, apgd, pga, lbfgsb, lbfgsb-subspace or random.",
        ),
        Excludes("restarts", "steps", "compare", unless=("default",)),
    ] = "default",
    protocol: Annotated[
        Protocol | None,
        typer.Option(
            rich_help_panel=SEARCH,
            help="Search as in the literature: keskar2017, m-sharpness, m-sharpness-l2, "
            "neyshabur2017 or random.",
            show_default=False,
        ),
        Excludes("compare", "both_readings"),
        Excludes("restarts", "steps", unless=("m-sharpness",)),
        Excludes("exact", "save_perturbation", unless=IN_A_BOX),
        Excludes("alpha", "flatness", unless=(*IN_A_BOX, "m-sharpness")),
        Excludes("rho", unless=("m-sharpness-l2",)),
        Enables("rho"),
    ] = None,
    rho: Annotated[
        float,
        typer.Option(
            rich_help_panel=SEARCH,
            help="Radius of the ball of --protocol m-sharpness-l2.",
        ),
    ] = 0.05,
    restarts: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            rich_help_panel=SEARCH,
            help="Number of starts of the default search.",
            show_default="2 min(classes, 10) + 10",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            rich_help_panel=SEARCH,
            help="Iterations over the whole training set for each of the best starts.",
            show_default="until they have arrived",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=options.MOST,
            rich_help_panel=SEARCH,
            help="Time limit of each search, in seconds.",
            show_default="until the search converges",
        ),
    ] = None,
    units: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=options.MOST,
            rich_help_panel=SEARCH,
            help="Cost limit of a search by --method, in passes over the training set.",
            show_default="100",
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            rich_help_panel=SEARCH,
            help="Run the other search methods too, each at the cost of the default one.",
        ),
    ] = False,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            rich_help_panel=SEARCH,
            help="Try all corners of the box too; only for linear models of at most 24 parameters.",
        ),
    ] = False,
    flatness: Annotated[
        bool,
        typer.Option(
            "--flatness",
            rich_help_panel=SEARCH,
            help="Compute the top eigenvalue and trace of the Hessian, adaptive sharpness and the "
            "flatness measures of Jiang et al. too.",
        ),
        Enables("rel_error"),
    ] = False,
    fold_batch_norm: Annotated[
        bool,
        typer.Option(
            "--fold-batch-norm/--no-fold-batch-norm",
            rich_help_panel=SEARCH,
            help="Perturb the weights with batch norm folded in, or the raw parameters.",
        ),
    ] = True,
    both_readings: Annotated[
        bool,
        typer.Option(
            "--both-readings",
            rich_help_panel=SEARCH,
            help="With batch norm, search the other reading too (raw parameters, or folded): "
            "twice the cost.",
        ),
    ] = False,
    batching: Annotated[
        Batching,
        typer.Option(
            rich_help_panel=options.MACHINE,
            help="Evaluation of candidate points: auto, loop (one by one), vmap, stacked (MLPs) "
            "or compiled (vmap under torch.compile).",
        ),
    ] = "auto",
    save_perturbation: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.OUTPUT,
            help="File for the worst network at the first alpha, as a checkpoint. A small witness "
            "file for `gentool verify` is written beside it.",
            show_default=False,
        ),
    ] = None,
    expected: Annotated[
        bool,
        typer.Option(
            "--expected",
            rich_help_panel=NOISE,
            help="Sample Gaussian noise instead of searching: expected rise against the KL term, "
            "over a grid of alpha or at one --alpha. Writes CKPT.expected.json.",
        ),
        Enables("rel_error", "precision", "draws", "delta"),
        Excludes(
            "method",
            "protocol",
            "rho",
            "restarts",
            "steps",
            "budget",
            "units",
            "compare",
            "exact",
            "flatness",
            "both_readings",
            "rho",
            "save_perturbation",
        ),
    ] = False,
    rel_error: Annotated[
        float | None,
        typer.Option(
            min=MOST_PRECISE,
            max=1,
            rich_help_panel=NOISE,
            help="Relative standard error of --expected, and of the trace and sigma of --flatness: "
            "draws are as many as a pilot says.",
            show_default="0.05; --flatness: 32 products, 128 draws",
        ),
        Excludes("precision"),
    ] = None,
    precision: Annotated[  # the name until 0.1
        float | None, typer.Option(min=MOST_PRECISE, max=1, hidden=True)
    ] = None,
    draws: Annotated[
        int,
        typer.Option(
            min=2,
            max=options.MOST,
            rich_help_panel=NOISE,
            help="Highest number of draws of --expected at each alpha.",
        ),
    ] = 20_000,
    delta: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            rich_help_panel=NOISE,
            help="Highest probability that the PAC-Bayes bound fails.",
        ),
    ] = 0.05,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=options.LAST_SEED,
            rich_help_panel=SEARCH,
            help="Seed of the search and of the noise.",
        ),
    ] = 0,
    list_measures: Annotated[
        bool,
        typer.Option(
            "--list",
            rich_help_panel=MESSAGES,
            help="Print each measure's name, formula and source.",
        ),
        Excludes(EVERYTHING),
    ] = False,
    output: options.Output = None,
    data: options.DataOverride = None,
    log: options.Log = None,
    *,
    network: options.ForeignNetwork,
    training_data: options.TrainingDataBesideSeed,
    data_folder: options.DataFolder,
    machine: options.Machine,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Search the worst perturbation of trained networks: the largest rise of the training loss.

    The record of CKPT.safetensors is written to CKPT.sharpness.json beside it, or to the file (for
    several checkpoints, the folder) of -o. With -o - it is printed. Each parameter w may move by
    alpha (|w| + 1). Ctrl-C writes the best result so far, marked as stopped early.

    `gentool verify CKPT WITNESS` checks a number by one pass over the data.

    \b
    Example:
      gentool sharpness --force mlp-digits-random-500-seed0.safetensors
    """
    if list_measures:
        print_list()
        return
    if not checkpoints:
        raise UsageError("name one checkpoint or more, or --list")
    hints = options.parse_hints(network, training_data)
    given = numbers("alpha", alpha, float)
    alphas = _alphas(given)
    if not 0 < rho < float("inf"):
        raise UsageError(f"--rho is {rho:g}; it has to be a number above 0")
    if protocol == "m-sharpness" and len(alphas) > 1:
        raise UsageError("--protocol m-sharpness takes one --alpha")
    _check_no_verify(checkpoints)
    if precision is not None and not messages.quiet:
        say("note: --precision is called --rel-error now")
    rel_error = rel_error if precision is None else precision
    ending = ".expected.json" if expected else ".sharpness.json"
    jobs = jobs_for(checkpoints, output, ending, outputs.existing())
    _check_perturbation(save_perturbation, len(jobs), outputs.existing(), expected)
    run_log = None if log is None else RunLog(log)
    device = machine.use_device()
    data_sets = data_folder.data_sets(messages.quiet)
    options.check_data(data)
    if expected:
        from gentool.sharpness.expected_record import ExpectedSharpnessOptions

        noise = _noise_options(given, rel_error, draws, delta, seed)
        expected_options = ExpectedSharpnessOptions(noise, fold_batch_norm, batching, data, hints)
        with _summary(len(jobs), messages.quiet, show_expected) as (records, remarks):
            for_each(
                jobs,
                lambda job: _sample(
                    job,
                    expected_options,
                    device,
                    data_sets,
                    records,
                    remarks,
                    messages.quiet,
                    run_log,
                ),
                messages.debug,
            )
        return
    from gentool.sharpness.worst_case import UNLIMITED, SearchOptions
    from gentool.sharpness.worst_case_record import SharpnessOptions

    if protocol is not None:
        method = _method_of(protocol, method)
    sharpness_options = SharpnessOptions(
        alphas=alphas,
        search=SearchOptions(
            method=method,
            restarts=restarts,
            steps=steps,
            seconds=budget,
            units=units if method in UNLIMITED else units or 100.0,
            seed=seed,
            batching=batching,
        ),
        fold_batch_norm=fold_batch_norm,
        compare=compare,
        exact=exact,
        flatness=flatness,
        rel_error=rel_error,
        both_readings=both_readings,
        protocol=protocol,
        rho=rho,
        data=data,
        hints=hints,
    )
    with _summary(len(jobs), messages.quiet, show_worst_cases) as (records, remarks):
        for_each(
            jobs,
            lambda job: _search(
                job,
                sharpness_options,
                device,
                data_sets,
                records,
                remarks,
                messages.quiet,
                save_perturbation,
                run_log,
            ),
            messages.debug,
        )


@contextmanager
def _summary(
    networks: int, quiet: bool, show: "Callable[[list[Json]], None]"
) -> "Iterator[tuple[list[Json], Remarks]]":
    """Collect records and remarks, and print them in one table at the end, however it comes."""
    records: list[Json] = []
    remarks = Remarks(networks, quiet)
    try:
        yield records, remarks
    finally:
        if records and not quiet:
            show(records)
        remarks.close()


def _check_no_verify(checkpoints: list[Path]) -> None:
    """Raise UsageError if the word verify stands after an option, where it would be a file."""
    if checkpoints[0] == Path("verify") and not checkpoints[0].exists():
        files = " ".join(map(str, checkpoints[1:])) or "CKPT WITNESS"
        raise UsageError(f"verify is a command of its own: gentool verify {files}")


def _alphas(values: tuple[float, ...] | None) -> tuple[float, ...]:
    """Return the alphas, each once; raise UsageError if one is out of range."""
    alphas = tuple(dict.fromkeys(values or [DEFAULT_ALPHA]))
    for alpha in alphas:
        if not 0 <= alpha < float("inf"):
            raise UsageError(f"--alpha is {alpha:g}; it has to be a number, 0 or more")
    return alphas


def _method_of(protocol: str, method: str) -> str:
    """Return the search method of a protocol."""
    if method != "default":
        raise UsageError("--protocol chooses the search method; leave out --method")
    return "default" if protocol.startswith("m-sharpness") else protocol


def _noise_options(
    alpha: tuple[float, ...] | None, rel_error: float | None, draws: int, delta: float, seed: int
) -> "ExpectedOptions":
    """Return the options of --expected; raise UsageError if one is out of range."""
    if alpha is not None and len(alpha) > 1:
        raise UsageError("--expected takes one --alpha, or none for the whole curve")
    rel_error = 0.05 if rel_error is None else rel_error
    if not rel_error > 0:
        raise UsageError(f"--rel-error is {rel_error:g}; it has to be above 0")
    if not 0 < delta < 1:
        raise UsageError(f"--delta is {delta:g}; it has to be above 0 and below 1")
    from gentool.sharpness.expected import ExpectedOptions

    return ExpectedOptions(alpha[0] if alpha else None, rel_error, draws, delta, seed)


def _sample(
    job: Job,
    expected_options: "ExpectedSharpnessOptions",
    device: "torch.device",
    data_sets: "DataSets",
    records: "list[Json]",
    remarks: Remarks,
    quiet: bool,
    log: RunLog | None,
) -> None:
    """Sample the expected sharpness of one checkpoint and write its record."""
    from gentool.sharpness.expected_record import expected_record

    inputs = _inputs(job, expected_options, device, data_sets, remarks)
    step = steps_of(log, "expected", job.checkpoint)
    with progress(quiet, job.checkpoint.stem, job.count) as show:

        def show_points(done: int, points: int, draws: int) -> None:
            show(done / points, precise=f"{done} of {points}")
            step(precise_points=done, points=points, draws=draws)

        record, curve = expected_record(inputs, expected_options, show_points)
    job.write(record, remarks.replaced)
    records.append(record)
    for note in record["notes"]:
        remarks.note(job.checkpoint.name, note)
    if stops.is_requested() or curve.stopped == "interrupted":
        raise Interrupted(
            "interrupted; the samples so far are written, marked as stopped early "
            "(--force samples again)"
        )


def _check_perturbation(
    path: Path | None, checkpoints: int, existing: Existing, expected: bool
) -> None:
    """Raise an error, before any work, if the worst network cannot be written."""
    if path is None:
        return
    if expected or checkpoints > 1:
        raise UsageError("--save-perturbation works for one search of one checkpoint")
    if path.suffix != ".safetensors":
        raise UsageError(f"--save-perturbation is {path}; its name has to end in .safetensors")
    for file in (path, path.with_suffix(".witness")):
        check_output(file, existing)


def _search(
    job: Job,
    sharpness_options: "SharpnessOptions",
    device: "torch.device",
    data_sets: "DataSets",
    records: "list[Json]",
    remarks: Remarks,
    quiet: bool,
    perturbation: Path | None,
    log: RunLog | None,
) -> None:
    """Search one checkpoint and write its record."""
    from gentool.sharpness.worst_case_record import worst_case_record

    inputs = _inputs(job, sharpness_options, device, data_sets, remarks)
    is_read_again = sharpness_options.both_readings or perturbation is not None
    if not is_read_again:
        inputs = inputs.without_tensors()
    step = steps_of(log, "sharpness", job.checkpoint)
    with search_progress(quiet, job.checkpoint.stem, job.count) as show:

        def show_state(state: "SearchState") -> None:
            show(state)
            step(**as_step(state))

        record, results = worst_case_record(inputs, sharpness_options, show_state)
    if perturbation is not None and results:
        _save_worst(perturbation, inputs, results[0])
    job.write(record, remarks.replaced)
    records.append(record)
    for note in notes_to_say(record):
        remarks.note(job.checkpoint.name, note)
    if stops.is_requested() or (results and results[-1].stopped == "interrupted"):
        raise Interrupted(
            "interrupted; the best result so far is written, marked as stopped early "
            "(--force searches again)"
        )


def _inputs(
    job: Job,
    about: "SharpnessOptions | ExpectedSharpnessOptions",
    device: "torch.device",
    data_sets: "DataSets",
    remarks: Remarks,
) -> "SharpnessInputs":
    """Read a checkpoint with its data; say what was inferred, and how it does on its data."""
    from gentool.checkpoints import checkpoint
    from gentool.sharpness.inputs import load_inputs

    read = checkpoint.read(job.checkpoint, about.hints)
    remarks.inferred(read)
    inputs = load_inputs(
        read,
        fold_batch_norm=about.fold_batch_norm,
        data=about.data,
        device=device,
        data_sets=data_sets,
        hints=about.hints,
    )
    remarks.evaluation(job.checkpoint.name, inputs.evaluation)
    return inputs


def _save_worst(path: Path, inputs: "SharpnessInputs", result: "SearchResult") -> None:
    """Write the worst network and its witness, and print their paths."""
    from gentool.sharpness import witness

    claim = witness.WitnessClaim(
        checkpoint=inputs.checkpoint.sha256,
        alpha=result.alpha,
        folded=inputs.network.is_folded,
        precision=str(result.point.dtype).removeprefix("torch."),
        parameters=len(result.point),
        loss_before=result.before.loss,
        rise=result.rise,
    )
    witness.write_perturbed(path, inputs.checkpoint, inputs.network, inputs.sets, result.point)
    print_path(path)
    witness_path = path.with_suffix(".witness")
    witness.write(witness_path, witness.make_witness(claim, inputs.network, result.point))
    print_path(witness_path)
