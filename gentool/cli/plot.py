"""`gentool plot`: from measure files to a figure. No torch but where a figure needs a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gentool.cli import options
from gentool.common.console import say
from gentool.common.errors import UsageError
from gentool.common.files import check_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gentool.figures.registry import FigureOptions, NamedFigure

ALWAYS = {"files", "figure", "title", "output", "force", "skip_existing", "quiet", "debug"}
OF_A_CHART = {"x", "y", "by"}


@options.shared
def plot(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Measure files; checkpoints for some figures."),
    ],
    figure: Annotated[
        str | None,
        typer.Option(
            help="1, 2, 3 or 4 of the paper; training, margins, samples or direction.",
            show_default="--y against --x",
        ),
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="With 1 to 4: the paper's values behind ours.")
    ] = False,
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
    title: Annotated[str | None, typer.Option(help="Title.", show_default=False)] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Figure: .png, .pdf or .svg.")
    ] = Path("figure.png"),
    witness: Annotated[
        Path | None,
        typer.Option(
            help="With direction: what --save-perturbation wrote.", show_default="search anew"
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="With direction: size of the box.", show_default="0.0005"),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="With samples and direction: of what is drawn at random.")
    ] = 0,
    data: options.DataOverride = None,
    *,
    data_folder: options.DataFolder,
    machine: options.Machine,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Plot figures of the paper, looks at networks, or any measure against any key.

    Files about the same checkpoint are merged; points with the same x are averaged over seeds, with
    their spread. A key is a measure (l2) or a dotted path (recipe.subset, outcome.test_error).

    \b
    Example:
      gentool plot ./*.measures.json --x recipe.subset --y l2 --by recipe.labels --force
    """
    from gentool.figures import FIGURES
    from gentool.figures.registry import FigureOptions
    from gentool.figures.save import check_format, write

    entry = None if figure is None else FIGURES[figure]
    _check_options(context, entry)
    check_format(output)
    if not check_output(output, outputs.existing()):
        print(output)
        return
    if entry is None:
        drawn, notes = _chart(files, x, y, by, title)
    else:
        asked = FigureOptions(
            reference,
            witness,
            alpha,
            data,
            data_folder.data_dir,
            machine.device,
            seed,
            machine.threads,
            messages.quiet,
        )
        drawn, notes = _figure(entry, files, asked, title)
    if not messages.quiet:
        for note in notes:
            say(f"note: {note}")
    write(drawn, output)
    print(output)


def _check_options(context: typer.Context, entry: "NamedFigure | None") -> None:
    """Raise UsageError for an option that was given and that the figure does not use."""
    used = ALWAYS | (entry.options if entry else OF_A_CHART)
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in used and source is not None and source.name == "COMMANDLINE":
            what = f"--figure {entry.name}" if entry else "a plot without --figure"
            raise UsageError(f"--{name.replace('_', '-')} has no meaning for {what}; leave it out")


def _chart(
    files: list[Path], x: str | None, y: list[str] | None, by: str | None, title: str | None
) -> "tuple[Figure, list[str]]":
    """Any measures against any key."""
    from gentool.figures import draw
    from gentool.figures.chart import chart
    from gentool.records.measure_file import merge, read

    sheet = chart(merge(map(read, files)), x, y, by)
    return draw(sheet, title), sheet.notes


def _figure(
    entry: "NamedFigure", files: list[Path], asked: "FigureOptions", title: str | None
) -> "tuple[Figure, list[str]]":
    """A figure with a name."""
    from gentool.figures import draw
    from gentool.figures.inputs import read_inputs

    sheet = entry.prepare(read_inputs(entry, files), asked)
    return draw(sheet, title), sheet.notes
