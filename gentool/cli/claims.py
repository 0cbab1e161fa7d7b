"""`gentool claims`: the paper's claims and Kendall's tau, judged on measure files. No torch."""

from pathlib import Path
from typing import Annotated

import typer

from gentool.cli import options
from gentool.common.errors import GentoolError, UsageError
from gentool.common.files import check_output


@options.shared
def claims(
    records: Annotated[list[Path], typer.Argument(metavar="JSON...", help="Measure files.")],
    measure: Annotated[
        list[str] | None,
        typer.Option(help="A measure to correlate; can be repeated.", show_default="all"),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(min=0, max=100_000, help="Resamples of the networks; 0 for no interval.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resamples.")] = 0,
    must_hold: Annotated[
        bool, typer.Option("--must-hold", help="Exit 1 if a claim fails.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="Also JSON: a file, or - for stdout.", show_default="none"
        ),
    ] = None,
    *,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Judge the paper's claims, and rank measures by their correlation with the gap.

    Two tables go to stderr. The first says of each claim whether it holds, fails, cannot be told or
    cannot be judged, and by which numbers. The second holds Kendall's tau between each measure and
    the generalization gap (test error less training error), with a 95 % bootstrap interval, and
    tau averaged over groups that differ in one setting alone. Files about the same checkpoint are
    merged.

    \b
    Example:
      gentool claims ./*.measures.json ./*.sharpness.json -o - | python3 -m json.tool
    """
    path = None if output in (None, "-") else Path(output)
    if outputs.skip_existing and must_hold:
        raise UsageError("--must-hold judges, --skip-existing may not: they exclude each other")
    if path is not None and not check_output(path, outputs.existing()):
        print(path)
        return
    from gentool.claims.report import report
    from gentool.cli.claims_tables import show_claims, show_correlations
    from gentool.records.measure_file import dumps_line, read, write

    found = report(map(read, records), measure, bootstrap, seed)
    asked = {"name": "claims", "measure": measure, "bootstrap": bootstrap, "seed": seed}
    written = {"command": asked, "files": [file.name for file in records]} | found.to_json()
    if path is not None:
        write(path, written)
        print(path, flush=True)
    elif output == "-":
        print(dumps_line(written), flush=True)
    if not messages.quiet:
        show_claims(found.rows, found.left_out)
        show_correlations(found.ranked)
    if must_hold and found.failing:
        failing = ", ".join(found.failing)
        raise GentoolError(f"{len(found.failing)} of {len(found.rows)} claims fail: {failing}")
