"""`gentool plot`: from measure files to a figure. No torch."""

from pathlib import Path
from typing import Annotated

import typer

from gentool.cli import options
from gentool.cli.options import existing
from gentool.console import say
from gentool.files import check_output


def plot(
    records: Annotated[list[Path], typer.Argument(metavar="JSON...", help="Measure files.")],
    x: Annotated[
        str | None,
        typer.Option(help="Key of the x axis, as recipe.subset.", show_default="what varies most"),
    ] = None,
    y: Annotated[
        list[str] | None,
        typer.Option(help="Key of a y axis, as l2; several make panels.", show_default="measures"),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="Key that tells the lines apart.", show_default="recipe.labels if they vary"
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Figure: .png, .pdf or .svg.")
    ] = Path("figure.png"),
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Plot measures against any key of their recipes.

    Files about the same checkpoint are merged; points with the same x are averaged over seeds, with
    their spread. A key is a measure (l2) or a dotted path (recipe.subset, outcome.test_error).

    \b
    Example:
      gentool plot ./*.measures.json --x recipe.subset --y l2 --by recipe.labels --force
    """
    if not check_output(output, existing(force, skip_existing)):
        print(output)
        return
    from gentool import plot as figures
    from gentool.records import merge, read

    figures.check_format(output)
    prepared = figures.chart(merge(map(read, records)), x, y, by)
    if not quiet:
        for warning in prepared.warnings:
            say(f"note: {warning}")
    figures.write(figures.draw(prepared), output)
    print(output)
