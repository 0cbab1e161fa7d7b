"""Define `gentool claims`: judge the paper's claims on measure files. Imports no torch."""

from pathlib import Path
from typing import Annotated

import typer

from gentool.cli import options
from gentool.cli.declaring import Enables
from gentool.cli.inputs import RecordFiles
from gentool.cli.lists import listed
from gentool.common.console import print_content, print_path
from gentool.common.errors import GentoolError, UsageError
from gentool.common.files import check_output


@options.shared
def claims(
    records: Annotated[
        list[Path], typer.Argument(metavar="JSON...", help="Measure files, or folders of them.")
    ],
    measure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            help="Measures to correlate with the gap, as l2,spectral, or groups, as @norms.",
            show_default="all",
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            help="What measures are correlated with: gap (test error minus training error), "
            "loss_gap, or another key, as outcome.test_error."
        ),
    ] = "gap",
    bootstrap: Annotated[
        int,
        typer.Option(min=0, max=100_000, help="Number of bootstrap resamples; 0 for no interval."),
    ] = 1000,
    seed: Annotated[
        int, typer.Option(min=0, max=options.LAST_SEED, help="Seed of the bootstrap resamples.")
    ] = 0,
    must_hold: Annotated[
        bool, typer.Option("--must-hold", help="Exit with 1 if a claim fails.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            rich_help_panel=options.OUTPUT,
            help="JSON output too: file, or - for stdout.",
            show_default="none",
        ),
        Enables("force", "skip_existing"),
    ] = None,
    *,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Judge the paper's claims, and rank measures by their correlation with the gap.

    Two tables are printed on stderr. The first holds the verdict on each claim (holds, fails,
    cannot be told, cannot be judged) and its numbers. The second holds Kendall's tau between each
    measure and the generalization gap (test error minus training error), with a 95 % bootstrap
    interval over recipes (seeds are no independent evidence), tau averaged over groups of networks
    that differ in one setting only, the conditional mutual information (Jiang et al. 2020), and the
    mean and the worst sign error over environments (Dziugaite et al. 2020). Files about the same
    checkpoint are merged.

    \b
    Example:
      gentool claims ./*.measures.json ./*.sharpness.json -o - |
        python3 -m json.tool
    """
    measure = list(listed("measure", measure) or ()) or None
    path = None if output in (None, "-") else Path(output)
    if outputs.skip_existing and must_hold:
        raise UsageError(
            "--must-hold and --skip-existing exclude each other: a skipped file has no verdict"
        )
    if path is not None and not check_output(path, outputs.existing()):
        print_path(path)
        return
    from gentool.claims.report import report
    from gentool.cli.claims_tables import show_claims, show_correlations
    from gentool.records.measure_file import dumps_line, write
    from gentool.records.reading import read_each

    found = RecordFiles(records)
    tell = None if messages.debug else found.report
    readable = read_each(found.paths, tell, passes_over=found.passes_over)
    judged = report(readable, measure, bootstrap, seed, against)
    command = {"name": "claims", "measure": measure, "against": against}
    command |= {"bootstrap": bootstrap, "seed": seed}
    written = {"command": command, "files": [file.name for file in found.paths]} | judged.to_json()
    if path is not None:
        write(path, written)
        print_path(path)
    elif output == "-":
        print_content(f"{dumps_line(written)}\n".encode())
    if not messages.quiet:
        show_claims(judged.rows, judged.left_out)
        show_correlations(judged.ranked)
    found.check()
    if must_hold and judged.failing:
        failing = ", ".join(judged.failing)
        raise GentoolError(f"{len(judged.failing)} of {len(judged.rows)} claims fail: {failing}")
