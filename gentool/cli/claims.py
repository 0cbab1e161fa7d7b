"""`gentool claims`: the paper's claims and Kendall's tau, judged on measure files. No torch."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gentool import __version__
from gentool.cli import options
from gentool.cli.options import existing
from gentool.errors import GentoolError, unknown
from gentool.files import check_output


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
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
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
    policy = existing(force, skip_existing)
    if path is not None and not check_output(path, policy):
        print(path)
        return
    from gentool.claims import judge
    from gentool.cli.claims_tables import show_claims, show_correlations
    from gentool.correlation import correlations
    from gentool.records import dumps_line, merge, read, write

    networks = merge(map(read, records))
    known = dict.fromkeys(name for network in networks for name in network["measures"])
    for name in measure or []:
        if name not in known:
            raise unknown("measure", name, known)
    rows, left_out = judge(networks)
    ranked = correlations(networks, measure, bootstrap, seed)
    report = {
        "gentool": __version__,
        "command": {"name": "claims", "measure": measure, "bootstrap": bootstrap, "seed": seed},
        "files": [file.name for file in records],
        "networks": len(networks),
        "claims": [row.to_json() for row in rows],
        "kendall": [one.to_json() for one in ranked],
        "left_out": [asdict(left) for left in left_out],
    }
    if output == "-":
        print(dumps_line(report), flush=True)
    elif path is not None:
        write(path, report)
        print(path, flush=True)
    if not quiet:
        show_claims(rows, left_out)
        show_correlations(ranked)
    failing = [f"{row.claim.id} ({row.key})" for row in rows if row.verdict.outcome == "fails"]
    if must_hold and failing:
        raise GentoolError(f"{len(failing)} of {len(rows)} claims fail: {', '.join(failing)}")
