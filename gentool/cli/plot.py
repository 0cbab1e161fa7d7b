"""Define `gentool plot`: draw measure files. Imports torch only for figures of a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gentool.cli import options
from gentool.cli.choices import Errorbar, Figure, PageStyle, PathNorms
from gentool.cli.declaring import MESSAGES
from gentool.cli.inputs import CHECKPOINTS, RECORDS, RecordFiles
from gentool.cli.lists import listed
from gentool.common.console import print_path, say
from gentool.common.errors import UsageError
from gentool.common.files import check_output
from gentool.common.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gentool.figures.page import Page
    from gentool.figures.registry import FigureOptions, NamedFigure

PAGE_OPTIONS = {"title", "size", "page_style", "output"}
COMMON_OPTIONS = {"files", "figure", "force", "skip_existing", "quiet", "debug"} | PAGE_OPTIONS
CHART_OPTIONS = {"x", "y", "by", "errorbar"}
SUFFIXES = {"records": RECORDS, "outcomes": RECORDS + CHECKPOINTS, "checkpoint": CHECKPOINTS}
"""Endings of the files that a figure takes from a folder."""


@options.shared
def plot(
    context: typer.Context,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...",
            help="Measure files or folders of them; for some figures, checkpoints.",
            show_default=False,
        ),
    ] = None,
    figure: Annotated[
        Figure | None,
        typer.Option(
            help="Named figure: 1, 2, 3 or 4 (of the paper), growth, training, margins, ranking, "
            "samples or direction.",
            show_default="--y against --x",
        ),
    ] = None,
    reference: Annotated[
        bool,
        typer.Option(
            "--reference", help="With --figure 1 to 4: draw the paper's values behind ours."
        ),
    ] = False,
    path_norms: Annotated[
        PathNorms,
        typer.Option(
            help="With --figure 1, 3, 4 or growth: path norms in which a max pooling passes its "
            "largest path sum (maxpool, as in the paper's values) or all its inputs (sum)."
        ),
    ] = "maxpool",
    x: Annotated[
        str | None,
        typer.Option(
            help="Key of the x axis, as recipe.subset.", show_default="the key that varies most"
        ),
    ] = None,
    y: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY,...",
            help="Keys of the y axes, as l2,spectral, or groups, as @norms; each is a panel.",
            show_default="the measures",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="Key whose values are drawn as separate lines; several with commas between.",
            show_default="recipe.labels if they vary",
        ),
    ] = None,
    errorbar: Annotated[
        Errorbar | None,
        typer.Option(
            help="Bars over seeds: minmax, sd (standard deviation), se (standard error), ci95 (95 "
            "% interval of the mean) or none.",
            show_default="sd of three seeds or more, else all points",
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Title of the figure.", show_default=False)
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Figure to write: .png, .pdf or .svg.")
    ] = Path("figure.png"),
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH",
            help="Width and height of the figure in inches, as 3.3x2.5, or as 88x60mm or 9x6cm.",
            show_default="as large as its panels need",
        ),
    ] = None,
    page_style: Annotated[
        PageStyle,
        typer.Option(
            "--style",
            help="Letters and lines for the screen, for a paper (small) or for a talk (large).",
        ),
    ] = "screen",
    witness: Annotated[
        Path | None,
        typer.Option(
            help="With --figure direction: witness of `gentool sharpness --save-perturbation`.",
            show_default="a new search",
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=options.LARGEST,
            help="With --figure direction: size alpha of the box.",
            show_default="0.0005",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=options.LAST_SEED,
            help="With --figure ranking, samples or direction: seed of the random draws.",
        ),
    ] = 0,
    list_names: Annotated[
        bool,
        typer.Option(
            "--list",
            rich_help_panel=MESSAGES,
            help="Print the names of the figures and, with measure files, the keys in them.",
        ),
    ] = False,
    data: options.DataOverride = None,
    *,
    network: options.ForeignNetwork,
    training_data: options.TrainingDataBesideSeed,
    data_folder: options.DataFolder,
    machine: options.Machine,
    outputs: options.Outputs,
    messages: options.Messages,
) -> None:
    """Plot figures of the paper, figures of one network, or any measure against any key.

    Files about the same checkpoint are merged. Values are averaged over the seed alone: networks
    that differ in anything else, or were measured with other settings, have lines of their own; a
    named figure refuses them. A key is a measure (l2), a dotted path (recipe.subset,
    outcome.test_error), gap (test error minus training error) or loss_gap.

    \b
    Example:
      gentool plot ./*.measures.json --x recipe.subset --y l2 --force
    """
    from gentool.figures import FIGURES
    from gentool.figures.page import parse_page
    from gentool.figures.registry import FigureOptions
    from gentool.figures.save import check_format, write

    if list_names:
        _print_names(files or [])
        return
    if not files:
        raise UsageError("name one file or more, or --list")
    y = list(listed("y", y) or ()) or None
    entry = None if figure is None else FIGURES[figure]
    page = parse_page(page_style, size)
    _check_options(context, entry)
    check_format(output)
    if not check_output(output, outputs.existing()):
        print_path(output)
        return
    reads = "records" if entry is None else entry.reads
    found = RecordFiles(files, SUFFIXES[reads])
    if entry is None:
        drawn, notes = _chart(found, messages.debug, x, y, by, errorbar, title, page)
    else:
        figure_options = FigureOptions(
            reference,
            path_norms,
            errorbar,
            witness,
            alpha,
            data,
            data_folder.data_dir,
            machine.device,
            seed,
            machine.threads,
            messages.quiet,
            options.parse_hints(network, training_data),
        )
        drawn, notes = _figure(entry, found, messages.debug, figure_options, title, page)
    if not messages.quiet:
        for note in notes:
            say(f"note: {note}")
    write(drawn, output)
    print_path(output)
    found.check()


def _print_names(files: list[Path]) -> None:
    """Print the names of the figures and the keys of measure files on stdout."""
    from gentool.figures import FIGURES
    from gentool.records.measure_file import known_keys
    from gentool.records.reading import read_each

    if files:
        found = RecordFiles(files, RECORDS)
        records = read_each(found.paths, found.report, passes_over=found.passes_over)
        print("\n".join(map(printable, known_keys(records))))
        return
    for name in FIGURES.names:
        print(f"{name}: {(FIGURES[name].prepare.__doc__ or '').partition(chr(10))[0]}")


def _check_options(context: typer.Context, entry: "NamedFigure | None") -> None:
    """Raise UsageError for an option on the command line that the figure does not use."""
    used = COMMON_OPTIONS | (entry.options if entry else CHART_OPTIONS)
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in used and source is not None and source.name == "COMMANDLINE":
            figure = f"--figure {entry.name}" if entry else "a plot without --figure"
            raise UsageError(
                f"--{name.replace('_', '-')} has no meaning for {figure}; leave it out"
            )


def _chart(
    found: RecordFiles,
    debug: bool,
    x: str | None,
    y: list[str] | None,
    by: str | None,
    errorbar: str | None,
    title: str | None,
    page: "Page",
) -> "tuple[Figure, list[str]]":
    """Draw any measures against any key; return the figure and its notes."""
    from gentool.figures import draw
    from gentool.figures.chart import chart
    from gentool.records.measure_file import merge
    from gentool.records.reading import read_each

    report = None if debug else found.report
    records = merge(read_each(found.paths, report, passes_over=found.passes_over))
    sheet = chart(records, x, y, by, errorbar)
    return draw(sheet, title, page), sheet.notes


def _figure(
    entry: "NamedFigure",
    found: RecordFiles,
    debug: bool,
    figure_options: "FigureOptions",
    title: str | None,
    page: "Page",
) -> "tuple[Figure, list[str]]":
    """Draw a named figure; return the figure and its notes."""
    from gentool.figures import draw
    from gentool.figures.inputs import read_inputs

    report = None if debug else found.report
    inputs = read_inputs(entry, found.paths, report, found.passes_over)
    sheet = entry.prepare(inputs, figure_options)
    return draw(sheet, title, page), sheet.notes
