"""Define `gentool measure`: read checkpoints and write measure files."""

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gentool.cli import options
from gentool.cli.declaring import EVERYTHING, MESSAGES, Excludes
from gentool.cli.invariance_table import show_invariance
from gentool.cli.lists import completing, listed
from gentool.cli.measure_list import print_list
from gentool.cli.networks_table import show_measures
from gentool.cli.outputs import Job, for_each, jobs_for
from gentool.cli.remarks import Remarks
from gentool.common.errors import GentoolError, UsageError
from gentool.common.files import Existing
from gentool.common.progress import progress
from gentool.records.extending import check_same_settings, extended, missing_measures
from gentool.records.reading import read_records

if TYPE_CHECKING:
    import torch

    from gentool.common.json import Json
    from gentool.data.sources import DataSets
    from gentool.measures.measure import MeasureOptions


MEASURES_PANEL = "Measures"
REL_ERROR = 0.05  # that of gentool.measures.measured, which imports torch


def _measure_names() -> list[str]:
    """Return the names of all measures and groups, for completion."""
    from gentool.records.measure_facts import facts_by_name, groups, made_by_sharpness

    return [*(name for name in facts_by_name() if not made_by_sharpness(name)), *groups()]


@options.shared
def measure(
    checkpoints: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CKPT...", help="Checkpoints, or folders of them.", show_default=False
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            rich_help_panel=MEASURES_PANEL,
            autocompletion=completing(_measure_names),
            help="Measures to compute, as l2,spectral, or groups of them, as @norms. They are "
            "added to an existing measure file of the same checkpoint and settings.",
            show_default="@cheap",
        ),
    ] = None,
    no_data: Annotated[
        bool,
        typer.Option(
            "--no-data",
            rich_help_panel=MEASURES_PANEL,
            help="Measure the weights alone, without margins.",
        ),
        Excludes(
            "data",
            "epsilon",
            "first_epoch",
            *(field.name for field in fields(options.TrainingData)),
        ),
    ] = False,
    epsilon: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            rich_help_panel=MEASURES_PANEL,
            help="Fraction of the training images with a margin below gamma.",
        ),
    ] = 0.05,
    biases: Annotated[
        bool,
        typer.Option(
            "--biases/--no-biases",
            rich_help_panel=MEASURES_PANEL,
            help="Include the paths that begin at a bias in path norms.",
        ),
    ] = True,
    initial: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=MEASURES_PANEL,
            help="Checkpoint of the network before training.",
            show_default="drawn again from the seed",
        ),
    ] = None,
    sampling_seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=options.LAST_SEED,
            rich_help_panel=MEASURES_PANEL,
            help="Seed of measures that are estimated by sampling.",
        ),
    ] = 0,
    rel_error: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            rich_help_panel=MEASURES_PANEL,
            help="Relative standard error at which their sampling stops.",
        ),
    ] = REL_ERROR,
    first_epoch: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=MEASURES_PANEL,
            help="Checkpoint of the network after the first epoch, for gradient_noise_first_epoch; "
            "gentool train --save-every 1 keeps it.",
            show_default="unknown",
        ),
    ] = None,
    invariance: Annotated[
        bool,
        typer.Option(
            "--invariance",
            rich_help_panel=MEASURES_PANEL,
            help="Tell by how much each measure changes where the network is written in other ways "
            "at the same function: layers rescaled, units permuted, batch norm apart.",
        ),
    ] = False,
    show_all: Annotated[
        bool,
        typer.Option(
            "--all",
            rich_help_panel=MESSAGES,
            help="Show all measures, not only those that matter most.",
        ),
    ] = False,
    list_measures: Annotated[
        bool,
        typer.Option(
            "--list",
            rich_help_panel=MESSAGES,
            help="Print each measure's name, formula and source; with names or groups (@norms) in "
            "place of checkpoints, those alone.",
        ),
        Excludes(EVERYTHING, but=("checkpoints",)),
    ] = False,
    output: options.Output = None,
    data: options.DataOverride = None,
    *,
    network: options.ForeignNetwork,
    training_data: options.TrainingData,
    data_folder: options.DataFolder,
    machine: options.Machine,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Measure trained networks: margins and norm-based capacities, in float64.

    The measures of CKPT.safetensors are written to CKPT.measures.json beside it, or to the file
    (for several checkpoints, the folder) of -o. With -o - they are printed, one JSON object a line.

    Foreign checkpoints, saved by other programs (safetensors, .pt, .pth), can be measured too: the
    inferred architecture is printed and recorded, and the options from --model to --std add facts
    that cannot be inferred.

    \b
    Example:
      gentool measure --force mlp-digits-random-500-seed0.safetensors
    """
    if list_measures:
        print_list([str(path) for path in checkpoints or []])
        return
    if not checkpoints:
        raise UsageError("name one checkpoint or more, or --list")
    if not 0 < epsilon < 1:
        raise UsageError(f"--epsilon is {epsilon}; it has to be above 0 and below 1")
    if not 0 < rel_error < 1:
        raise UsageError(f"--rel-error is {rel_error}; it has to be above 0 and below 1")
    hints = options.parse_hints(network, training_data)
    names = listed("only", only)
    existing = outputs.existing()
    if names is not None and existing is Existing.ERROR and not invariance:
        existing = Existing.EXTEND
    jobs = jobs_for(checkpoints, output, ".measures.json", existing)
    from gentool.measures import MEASURES
    from gentool.measures.measure import MeasureOptions

    names = names and tuple(measure.name for measure in MEASURES.select(names))
    measure_options = MeasureOptions(
        only=names,
        use_data=not no_data,
        epsilon=epsilon,
        biases=biases,
        data=data,
        initial=initial,
        first_epoch=first_epoch,
        hints=hints,
        sampling_seed=sampling_seed,
        rel_error=rel_error,
        invariance=invariance,
    )
    device = machine.use_device()
    data_sets = data_folder.data_sets(messages.quiet)
    options.check_data(data)
    is_extended = existing is Existing.EXTEND
    remarks = Remarks(len(jobs), messages.quiet)
    records: list[Json] = []
    try:
        for_each(
            jobs,
            lambda job: records.append(
                _measure(
                    job, measure_options, device, data_sets, remarks, messages.quiet, is_extended
                )
            ),
            messages.debug,
        )
    finally:
        if records and not messages.quiet:
            show_measures(records, measure_options.only, show_all)
            if invariance:
                show_invariance(records)
            remarks.close()


def _measure(
    job: Job,
    measure_options: "MeasureOptions",
    device: "torch.device",
    data_sets: "DataSets",
    remarks: Remarks,
    quiet: bool,
    is_extended: bool,
) -> "Json":
    """Measure one checkpoint, write its record and return it.

    With `is_extended` the measures are added to those of an existing record.
    """
    from gentool.checkpoints import checkpoint
    from gentool.measures import MEASURES
    from gentool.measures.measure import measure_checkpoint

    read = checkpoint.read(job.checkpoint, measure_options.hints)
    remarks.inferred(read)
    before = None
    if is_extended and job.output is not None and job.output.is_file():
        before = _existing_record(job.output, read.sha256, measure_options)
        missing = missing_measures(before, measure_options.only)
        if not missing:
            return before
        measure_options = replace(measure_options, only=missing)
    with progress(quiet, job.checkpoint.stem, job.count) as show:
        record = measure_checkpoint(
            read,
            measure_options,
            device=device,
            data_sets=data_sets,
            on_progress=lambda step, fraction: show(fraction, step=step),
        )

    def extend(record: "Json") -> "Json":
        """Add a record to what the file holds now, which another command may have written."""
        present = before
        if job.output.is_file():
            present = _existing_record(job.output, read.sha256, measure_options)
        if present is None:
            return record
        return extended(present, record, [measure.name for measure in MEASURES])

    record = job.write(record, remarks.replaced, extend)
    if record["evaluation"] is not None:
        remarks.evaluation(job.checkpoint.name, record["evaluation"])
    for reason in dict.fromkeys(note.partition(": ")[2] for note in record["notes"]):
        remarks.note(job.checkpoint.name, reason)
    if measure_options.use_data and record["recipe"]["data"] is None:
        remarks.note(job.checkpoint.name, "margins need the training data; name it with --data")
    return record


def _existing_record(path: Path, sha256: str, measure_options: "MeasureOptions") -> "Json":
    """Return the record in a file, to be added to; raise GentoolError if it cannot be."""
    [record, *others] = read_records(path)
    if others:
        raise GentoolError(f"{path} holds several records; name another file with -o")
    check_same_settings(record, sha256, measure_options.to_json(), path)
    return record
